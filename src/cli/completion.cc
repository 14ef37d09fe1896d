// SPDX-License-Identifier: Apache-2.0
#include "cli/completion.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <vector>

namespace segue::cli {
namespace {

// The scripts ask for the names of components only when one is to be completed.
constexpr const char* kNames = "segue completion 2>/dev/null";

// In single quotes, as every one of these shells reads them.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? "'\\''" : std::string(1, c);
  return out + "'";
}

// fish takes backslashes inside single quotes.
std::string fish_quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

// In a specification of zsh's _arguments: [text], where ':' separates.
std::string zsh_escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::vector<std::string> names_of(const std::vector<OptionText>& options, bool only_with_value) {
  std::vector<std::string> names;
  for (const auto& option : options) {
    if (only_with_value && option.value.empty()) continue;
    names.insert(names.end(), option.names.begin(), option.names.end());
  }
  return names;
}

std::vector<std::string> command_names(const CommandText& command) {
  std::vector<std::string> names;
  for (const auto& below : command.commands) {
    names.push_back(below.name);
    names.insert(names.end(), below.aliases.begin(), below.aliases.end());
  }
  return names;
}

// What stands at each position: its choices, or its name in capitals.
std::string positional_kinds(const CommandText& command) {
  std::vector<std::string> kinds;
  for (const auto& positional : command.positionals) {
    kinds.push_back(positional.choices.empty()
                        ? positional.names.front()
                        : fmt::format("{}", fmt::join(positional.choices, "|")));
  }
  if (command.takes_program) kinds.emplace_back("PROGRAM");
  return fmt::format("{}", fmt::join(kinds, " "));
}

using Visit = std::function<void(const CommandText& command, const std::string& path)>;

void visit_all(const CommandText& command, const std::string& path, const Visit& visit) {
  visit(command, path);
  for (const auto& below : command.commands) {
    visit_all(below, path.empty() ? below.name : path + " " + below.name, visit);
    for (const auto& alias : below.aliases) {
      visit_all(below, path.empty() ? alias : path + " " + alias, visit);
    }
  }
}

constexpr const char* kBashTail = R"bash(
_segue() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  local path='' word i position=0 options valued commands positionals kind
  COMPREPLY=()
  _segue_describe ''
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if [[ $word == -- ]]; then
      position=$((position < 1 ? 1 : position))
    elif [[ $word == -* ]]; then
      [[ " $valued " == *" $word "* ]] && ((i++))
    elif [[ " $commands " == *" $word "* ]]; then
      path+="${path:+ }$word"
      _segue_describe "$path"
    else
      ((position++))
    fi
  done
  if [[ " $valued " == *" $previous "* ]]; then
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
    return
  fi
  # shellcheck disable=SC2086 # one word per position
  set -- $positionals
  # PROGRAM goes on to the end of the line.
  ((position >= $#)) && [[ ${*:$#:1} == PROGRAM ]] && position=$(($# - 1))
  ((position < $#)) && kind=${*:position+1:1} || kind=''
  if [[ $current == -* && $kind != PROGRAM ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
    return
  fi
  case $kind in
    NAME) mapfile -t COMPREPLY < <(compgen -W "$(@NAMES@)" -- "$current") ;;
    UNIT)
      mapfile -t COMPREPLY < <(compgen -W "$(systemctl list-unit-files --type=service \
        --no-legend --plain 2>/dev/null | cut -d' ' -f1)" -- "$current")
      ;;
    FILE) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    PROGRAM) mapfile -t COMPREPLY < <(compgen -c -f -- "$current") ;;
    '') mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$current") ;;
    *) mapfile -t COMPREPLY < <(compgen -W "${kind//|/ }" -- "$current") ;;
  esac
}
complete -o filenames -F _segue segue
)bash";

std::string with_names(std::string text) {
  const std::string mark = "@NAMES@";
  for (auto at = text.find(mark); at != std::string::npos; at = text.find(mark)) {
    text.replace(at, mark.size(), kNames);
  }
  return text;
}

std::string zsh_action(const std::string& kind, const std::vector<std::string>& choices) {
  if (!choices.empty()) return fmt::format("({})", fmt::join(choices, " "));
  if (kind == "NAME") return "_segue_components";
  if (kind == "UNIT") return "_segue_units";
  return "_files";
}

std::string zsh_option(const OptionText& option, const std::string& name) {
  std::string spec = (option.repeatable ? "*" : "") + name;
  spec += "[" + zsh_escaped(option.text) + "]";
  if (!option.value.empty()) {
    spec += ":" + zsh_escaped(option.value) + ":" + zsh_action("", option.choices);
  }
  return quoted(spec);
}

std::string zsh_function(const std::string& path) {
  std::string name = "_segue_at";
  for (const char c : path) name += c == ' ' || c == '-' ? '_' : c;
  return path.empty() ? name : "_segue_at_" + name.substr(9);
}

std::string zsh_arguments(const CommandText& command, const std::string& path) {
  std::string text = zsh_function(path) + "() {\n";
  std::string words;
  for (const auto& option : command.options) {
    for (const auto& name : option.names) words += " \\\n    " + zsh_option(option, name);
  }
  if (command.commands.empty()) {
    int position = 0;
    for (const auto& positional : command.positionals) {
      const std::string& name = positional.names.front();
      words +=
          fmt::format(" \\\n    {}", quoted(fmt::format("{}:{}:{}", ++position, zsh_escaped(name),
                                                        zsh_action(name, positional.choices))));
    }
    if (command.takes_program) words += " \\\n    '*::PROGRAM:_normal'";
    return text + "  _arguments -S" + words + "\n}\n";
  }
  text += "  local line state\n  _arguments -C" + words +
          " \\\n    '1:command:->command' '*::argument:->argument'\n  case $state in\n"
          "    command) _values command";
  for (const auto& below : command.commands) {
    text += " \\\n      " + quoted(below.name + "[" + zsh_escaped(below.text) + "]");
  }
  text += " ;;\n    argument)\n      case $line[1] in\n";
  for (const auto& below : command.commands) {
    text += fmt::format("        {}) {} ;;\n", below.name,
                        zsh_function(path.empty() ? below.name : path + " " + below.name));
  }
  return text + "      esac ;;\n  esac\n}\n";
}

std::string fish_condition(const std::string& path) {
  if (path.empty()) return "__fish_use_subcommand";
  std::string condition;
  std::size_t start = 0;
  while (start <= path.size()) {
    const std::size_t end = std::min(path.find(' ', start), path.size());
    condition += (condition.empty() ? "" : "; and ") + std::string("__fish_seen_subcommand_from ") +
                 path.substr(start, end - start);
    start = end + 1;
  }
  return condition;
}

std::string fish_option(const OptionText& option, const std::string& condition) {
  std::string line = "complete -c segue -n " + fish_quoted(condition);
  for (const auto& name : option.names) {
    line += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  }
  if (!option.value.empty()) {
    line += " -r";
    if (!option.choices.empty()) {
      line += fmt::format(" -f -a '{}'", fmt::join(option.choices, " "));
    }
  }
  return line + " -d " + fish_quoted(option.text) + "\n";
}

}  // namespace

std::string bash_completion(const CommandText& program) {
  std::string text = "# Written by `segue completion bash`.\n_segue_describe() {\n  case $1 in\n";
  visit_all(program, "", [&](const CommandText& command, const std::string& path) {
    text += fmt::format(
        "    {})\n      options={}\n      valued={}\n      commands={}\n"
        "      positionals={} ;;\n",
        quoted(path), quoted(fmt::format("{}", fmt::join(names_of(command.options, false), " "))),
        quoted(fmt::format("{}", fmt::join(names_of(command.options, true), " "))),
        quoted(fmt::format("{}", fmt::join(command_names(command), " "))),
        quoted(positional_kinds(command)));
  });
  return text + "  esac\n}\n" + with_names(kBashTail);
}

std::string zsh_completion(const CommandText& program) {
  std::string text = "#compdef segue\n# Written by `segue completion zsh`.\n";
  visit_all(program, "", [&](const CommandText& command, const std::string& path) {
    text += zsh_arguments(command, path);
  });
  text += with_names(
      "_segue_components() {\n  local -a names\n  names=(${(f)\"$(@NAMES@)\"})\n"
      "  compadd -a names\n}\n"
      "_segue_units() {\n  local -a names\n"
      "  names=(${(f)\"$(systemctl list-unit-files --type=service --no-legend --plain "
      "2>/dev/null | cut -d' ' -f1)\"})\n  compadd -a names\n}\n");
  return text + "_segue_at \"$@\"\n";
}

std::string fish_completion(const CommandText& program) {
  std::string text = "# Written by `segue completion fish`.\ncomplete -c segue -f\n";
  visit_all(program, "", [&](const CommandText& command, const std::string& path) {
    const std::string here = fish_condition(path);
    for (const auto& option : command.options) text += fish_option(option, here);
    for (const auto& below : command.commands) {
      const std::string condition = path.empty()
                                        ? here
                                        : fmt::format("{}; and not __fish_seen_subcommand_from {}",
                                                      here, fmt::join(command_names(command), " "));
      text += fmt::format("complete -c segue -n {} -a {} -d {}\n", fish_quoted(condition),
                          below.name, fish_quoted(below.text));
    }
    for (const auto& positional : command.positionals) {
      std::string words;
      if (positional.names.front() == "NAME") words = fmt::format("'({})'", kNames);
      if (!positional.choices.empty()) {
        words = fmt::format("'{}'", fmt::join(positional.choices, " "));
      }
      if (words.empty()) continue;
      text += fmt::format("complete -c segue -n {} -a {}\n", fish_quoted(here), words);
    }
    if (command.takes_program)
      text += fmt::format("complete -c segue -n {} -F\n", fish_quoted(here));
  });
  return text;
}

}  // namespace segue::cli
