// SPDX-License-Identifier: Apache-2.0
// Which transfers get the line: those for what goes live first. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace segue::relay {

using GoLive = std::optional<std::int64_t>;  // seconds since 1970; nothing: last of all

// Whether `left` is for something that goes live before what `right` is for.
bool is_sooner(GoLive left, GoLive right);
GoLive soonest(GoLive left, GoLive right);

class TransferQueue {
 public:
  // Two, so that the next one's request travels while the first one's last bytes come.
  static constexpr std::size_t kSlots = 2;

  // `number` grows with the moment of arrival; who comes back keeps his.
  void enter(const std::string& transfer, GoLive go_live, std::uint64_t number);
  void change(const std::string& transfer, GoLive go_live);
  void leave(const std::string& transfer);

  // In the order of their turns; those of one moment, and those of none, as they came.
  [[nodiscard]] std::vector<std::string> order() const;
  // One of the first kSlots.
  [[nodiscard]] bool has_turn(const std::string& transfer) const;
  [[nodiscard]] bool has(const std::string& transfer) const { return entries_.contains(transfer); }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    GoLive go_live;
    std::uint64_t number = 0;
  };
  std::map<std::string, Entry> entries_;
};

}  // namespace segue::relay
