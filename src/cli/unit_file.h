// SPDX-License-Identifier: Apache-2.0
// systemd's unit files, as far as adopting a unit needs them: systemd.syntax(7). Pure.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/time.h"

namespace segue::cli {

inline constexpr std::size_t kMaxUnitBytes = std::size_t{1} << 20;  // systemd's own limit of a line

struct UnitSource {
  std::string path;
  std::string text;
};

// What a unit's file and its drop-ins say together.
class UnitSettings {
 public:
  // `sources` in the order in which they apply: the unit's file, then its drop-ins. What systemd
  // ignores with a warning is ignored; invalid_argument for a file that is no text.
  static base::Result<UnitSettings> parse(std::span<const UnitSource> sources);

  // All assignments since the last empty one, which takes back those before it.
  [[nodiscard]] std::vector<std::string> list(std::string_view section, std::string_view key) const;
  // The last assignment; nullopt where there is none or it is empty.
  [[nodiscard]] std::optional<std::string> last(std::string_view section,
                                                std::string_view key) const;
  [[nodiscard]] bool is_true(std::string_view section, std::string_view key) const;
  // Everything that is assigned, also with an empty value, as "Section.Key".
  [[nodiscard]] std::vector<std::string> assigned() const;

 private:
  void add_line(std::string_view line, std::string& section);
  [[nodiscard]] const std::vector<std::string>* find(std::string_view section,
                                                     std::string_view key) const;

  std::map<std::pair<std::string, std::string>, std::vector<std::string>, std::less<>> values_;
};

// A time span (systemd.time(7)) such as "5", "1min 30s" or "infinity" (Duration::max()); nullopt:
// it is none.
std::optional<base::Duration> parse_time_span(std::string_view text);

}  // namespace segue::cli
