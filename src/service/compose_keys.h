// SPDX-License-Identifier: Apache-2.0
// What reading a compose.yaml has in common.
#pragma once

#include <optional>
#include <string>
#include <type_traits>

#include "config/sections.h"
#include "service/compose_values.h"

namespace segue::service {

// A key that is known and refused.
config::Key refused_key(std::string name, std::string why, config::Findings& findings);
// Those of a service, each with why.
void add_refused_keys(config::Keys& keys, config::Findings& findings);
// Names that Compose itself passes over: x-….
bool is_extension(const std::string& name);

// A value, with its variables refused; values.h has those that cannot hold one.
std::optional<std::string> read_plain(const config::Place& place, config::Findings& findings);
config::Key plain_key(std::string name, std::string& value, config::Findings& findings);

template <class Parse>
auto read_as(const config::Place& place, config::Findings& findings, Parse parse)
    -> std::optional<typename std::invoke_result_t<Parse, const std::string&>::value_type> {
  return config::read_parsed(
      place, findings,
      [&](const std::string& text) -> std::invoke_result_t<Parse, const std::string&> {
        SEGUE_ASSIGN(const std::string plain, without_variables(text));
        return parse(plain);
      });
}

}  // namespace segue::service
