// SPDX-License-Identifier: Apache-2.0
#include "cli/command_text.h"

#include <CLI/CLI.hpp>
#include <sstream>

namespace segue::cli {
namespace {

// "{a,b,c}" is how CLI11 writes a set of values.
std::vector<std::string> choices_in(const std::string& type) {
  const auto open = type.find('{');
  const auto close = type.find('}');
  if (open == std::string::npos || close == std::string::npos || close < open) return {};
  std::vector<std::string> choices;
  std::istringstream words(type.substr(open + 1, close - open - 1));
  for (std::string word; std::getline(words, word, ',');) choices.push_back(word);
  return choices;
}

OptionText describe_option(const CLI::Option& option) {
  OptionText text;
  if (option.get_positional()) {
    text.names.push_back(option.get_name());
  } else {
    for (const auto& name : option.get_snames()) text.names.push_back("-" + name);
    for (const auto& name : option.get_lnames()) text.names.push_back("--" + name);
  }
  if (option.get_items_expected_max() > 0) text.value = option.get_type_name();
  text.choices = choices_in(text.value);
  text.text = option.get_description();
  text.required = option.get_required();
  text.repeatable = option.get_expected_max() > 1;
  return text;
}

}  // namespace

CommandText describe(const CLI::App& app) {
  CommandText text{.name = app.get_name(),
                   .aliases = app.get_aliases(),
                   .text = app.get_description(),
                   .footer = app.get_footer(),
                   .options = {},
                   .positionals = {},
                   .takes_program = app.get_prefix_command(),
                   .commands = {}};
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group().empty()) continue;
    auto& place = option->get_positional() ? text.positionals : text.options;
    place.push_back(describe_option(*option));
  }
  for (const CLI::App* command :
       app.get_subcommands([](const CLI::App* /*any*/) { return true; })) {
    if (!command->get_group().empty()) text.commands.push_back(describe(*command));
  }
  return text;
}

}  // namespace segue::cli
