// SPDX-License-Identifier: Apache-2.0
// Keys whose values are options of control/, under which name and in which unit.
#pragma once

#include <span>
#include <string_view>

#include "config/sections.h"
#include "fleet/component.h"

namespace segue::service {

struct OptionKey {
  enum class Unit { text, truth, number, time_ms, time_us };
  enum class Of { contract, run, attempt, run_and_attempt };
  std::string_view key;
  std::string_view option;
  Of of = Of::contract;
  Unit unit = Unit::text;
};

// `upgrade` where a file does not say it, as `segue run --file` has it.
inline constexpr const char* kUsualUpgrade = "auto";

// By the section that they are in; "" is the component itself.
struct OptionSection {
  std::string_view section;
  std::span<const OptionKey> keys;
};
std::span<const OptionSection> option_sections();
std::span<const OptionKey> option_keys(std::string_view section);

// Reads the section's keys into `spec`.
config::Keys option_readers(std::string_view section, fleet::ComponentSpec& spec,
                            config::Findings& findings);

// The key that writes the option: "stop.drain" for "drain-ms"; the option itself if there is none.
std::string key_of_option(std::string_view option);

}  // namespace segue::service
