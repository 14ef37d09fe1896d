// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <compare>
#include <cstddef>
#include <functional>
#include <utility>

namespace segue::base {

// A value that can only be compared with its own kind:
//   using InstanceId = base::StrongId<struct InstanceTag, std::uint64_t>;
template <class Tag, class Rep>
class StrongId {
 public:
  StrongId() = default;
  explicit StrongId(Rep value) : value_(std::move(value)) {}

  [[nodiscard]] const Rep& value() const { return value_; }

  friend auto operator<=>(const StrongId&, const StrongId&) = default;
  friend bool operator==(const StrongId&, const StrongId&) = default;

 private:
  Rep value_{};
};

}  // namespace segue::base

template <class Tag, class Rep>
struct std::hash<segue::base::StrongId<Tag, Rep>> {
  std::size_t operator()(const segue::base::StrongId<Tag, Rep>& id) const {
    return std::hash<Rep>{}(id.value());
  }
};

template <class Tag, class Rep>
struct fmt::formatter<segue::base::StrongId<Tag, Rep>> : fmt::formatter<Rep> {
  template <class FormatContext>
  auto format(const segue::base::StrongId<Tag, Rep>& id, FormatContext& context) const {
    return fmt::formatter<Rep>::format(id.value(), context);
  }
};
