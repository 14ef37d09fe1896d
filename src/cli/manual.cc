// SPDX-License-Identifier: Apache-2.0
#include "cli/manual.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>

namespace segue::cli {
namespace {

// Found in man(1) and groff_char(7): a hyphen that is typed is \-, and a line must not begin with
// what is a request. Pages are ASCII, so that they look the same under every locale.
std::string escaped(const std::string& text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text.compare(at, 3, "…") == 0) {
      out += "\\&...";
      at += 2;
    } else if (text[at] == '-') {
      out += "\\-";
    } else if (text[at] == '\\') {
      out += "\\e";
    } else if ((text[at] == '.' || text[at] == '\'') && (at == 0 || text[at - 1] == '\n')) {
      out += std::string("\\&") + text[at];
    } else {
      out += text[at];
    }
  }
  return out;
}

std::string bold(const std::string& text) {
  return "\\fB" + escaped(text) + "\\fR";
}
std::string italic(const std::string& text) {
  return "\\fI" + escaped(text) + "\\fR";
}

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

std::string bracketed(const std::string& text, bool required) {
  return required ? text : "[" + text + "]";
}

std::string synopsis(const CommandText& command, const std::string& path) {
  std::string line = bold(path);
  if (!command.options.empty()) line += " [" + italic("OPTION") + "...]";
  for (const auto& positional : command.positionals) {
    line += " " + bracketed(italic(positional.names.front()) + (positional.repeatable ? "..." : ""),
                            positional.required);
  }
  if (command.takes_program) {
    line += " [" + bold("--") + "] " + italic("PROGRAM") + " [" + italic("ARGUMENT") + "...]";
  }
  if (!command.commands.empty())
    line += " " + italic("COMMAND") + " [" + italic("ARGUMENT") + "...]";
  return line;
}

std::string option_paragraph(const OptionText& option) {
  std::vector<std::string> names;
  for (const auto& name : option.names) {
    names.push_back(name.starts_with('-') ? bold(name) : italic(name));
  }
  std::string value;
  if (!option.value.empty() && option.names.front().starts_with('-')) {
    value = " " + italic(option.value);
  } else if (!option.choices.empty()) {
    value = fmt::format(" ({})", escaped(fmt::format("{}", fmt::join(option.choices, ", "))));
  }
  return fmt::format(".TP\n{}{}\n{}{}\n", fmt::join(names, ", "), value, escaped(option.text),
                     option.repeatable ? " May be given more than once." : "");
}

std::string options_section(const char* title, const std::vector<OptionText>& options) {
  if (options.empty()) return "";
  std::string section = fmt::format(".SH {}\n", title);
  for (const auto& option : options) section += option_paragraph(option);
  return section;
}

std::string commands_section(const CommandText& command, const std::string& page) {
  if (command.commands.empty()) return "";
  std::string section = ".SH COMMANDS\n";
  for (const auto& below : command.commands) {
    std::string names = bold(below.name);
    for (const auto& alias : below.aliases) names += ", " + bold(alias);
    section += fmt::format(".TP\n{}\n{}. See {}(1).\n", names, escaped(below.text),
                           bold(page + "-" + below.name));
  }
  return section;
}

constexpr const char* kExitStatus =
    ".SH EXIT STATUS\n"
    ".TP\n.B 0\nDone.\n"
    ".TP\n.B 1\nFailed; the message says what serves now.\n"
    ".TP\n.B 2\nThe command line is wrong; nothing was touched.\n"
    ".TP\n.B 3\nDone, and taken back.\n"
    ".TP\n.B 4\nRefused; nothing was touched.\n"
    ".TP\n.B 5\nTimed out, or the outcome is unknown: look at\n.BR \"segue status\" .\n";

constexpr const char* kFiles =
    ".SH FILES\n"
    ".TP\n.IR /run/segue/ NAME /\nSockets and locks of a component of root;\n"
    ".I $XDG_RUNTIME_DIR/segue/\nof any other user.\n"
    ".TP\n.IR /var/lib/segue/ NAME /\nIts logs, its history and what its instances print;\n"
    ".I ~/.local/state/segue/\nof any other user.\n"
    ".SH ENVIRONMENT\n"
    ".TP\n.BR SEGUE_RUNTIME_DIR \", \" SEGUE_STATE_DIR\nOther places for these folders.\n"
    ".TP\n.B SEGUE_KEEPER\nAnother program as the keeper.\n";

std::string see_also(const CommandText& program, const std::string& page) {
  std::string section = ".SH SEE ALSO\n";
  std::vector<std::string> names = page_names(program);
  std::erase(names, page);
  for (std::size_t i = 0; i < names.size(); ++i) {
    section += fmt::format("{}(1){}\n", bold(names[i]), i + 1 < names.size() ? "," : "");
  }
  return section;
}

struct Page {
  const CommandText* command;
  std::string name;  // segue-keeper-upgrade
  std::string path;  // segue keeper upgrade
};

void collect(const CommandText& command, const Page& above, std::vector<Page>& pages) {
  const Page page{&command, above.name.empty() ? command.name : above.name + "-" + command.name,
                  above.path.empty() ? command.name : above.path + " " + command.name};
  pages.push_back(page);
  for (const auto& below : command.commands) collect(below, page, pages);
}

std::vector<Page> pages_of(const CommandText& program) {
  std::vector<Page> pages;
  collect(program, {}, pages);
  return pages;
}

}  // namespace

std::vector<std::string> page_names(const CommandText& program) {
  std::vector<std::string> names;
  for (const auto& page : pages_of(program)) names.push_back(page.name);
  return names;
}

std::optional<std::string> manual_page(const CommandText& program, const std::string& page,
                                       const std::string& version) {
  const auto pages = pages_of(program);
  const auto found =
      std::find_if(pages.begin(), pages.end(), [&](const Page& one) { return one.name == page; });
  if (found == pages.end()) return std::nullopt;
  const CommandText& command = *found->command;
  std::string text = fmt::format(".TH {} 1 \"\" \"segue {}\" \"User Commands\"\n",
                                 escaped(upper(page)), escaped(version));
  // mandb(8) reads this line: one dash with blanks around it.
  text += fmt::format(".SH NAME\n{} \\- {}\n", escaped(page), escaped(command.text));
  text += fmt::format(".SH SYNOPSIS\n{}\n", synopsis(command, found->path));
  text += fmt::format(".SH DESCRIPTION\n{}{}\n", escaped(command.text),
                      command.text.ends_with('.') ? "" : ".");
  if (!command.footer.empty()) text += ".PP\n" + escaped(command.footer) + "\n";
  for (const auto& alias : command.aliases) text += ".PP\nAlso called " + bold(alias) + ".\n";
  text += commands_section(command, page);
  text += options_section("ARGUMENTS", command.positionals);
  text += options_section("OPTIONS", command.options);
  text += kExitStatus;
  if (command.name == program.name) text += kFiles;
  return text + see_also(program, page);
}

}  // namespace segue::cli
