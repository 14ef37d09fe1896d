// SPDX-License-Identifier: Apache-2.0
// What the command line offers, as data: manual pages and completions are made from it, so that
// they cannot differ from what is parsed.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace segue::cli {

struct OptionText {
  std::vector<std::string> names;  // "-f", "--follow"; of a positional its one name
  std::string value;               // what stands behind it; empty: nothing, it is a flag
  std::string text;
  std::vector<std::string> choices;  // the only values there are
  bool required = false;
  bool repeatable = false;
};

struct CommandText {
  std::string name;
  std::vector<std::string> aliases;
  std::string text;
  std::string footer;
  std::vector<OptionText> options;
  std::vector<OptionText> positionals;
  bool takes_program = false;  // PROGRAM ARGUMENT... end its line
  std::vector<CommandText> commands;
};

// Without what is hidden.
CommandText describe(const CLI::App& app);

}  // namespace segue::cli
