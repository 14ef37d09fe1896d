// SPDX-License-Identifier: Apache-2.0
// segue completion, segue manual: what packages and shells are made of.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/manual.h"

namespace segue::cli {

using base::ErrorCode;
using control::ExitCode;

namespace {

// As it is, or as the text of the last object.
ExitCode answer(const Output& output, std::string text) {
  if (output.json()) {
    output.print_json(Json{{"done", true}, {"exit", 0}, {"text", std::move(text)}});
  } else {
    if (text.ends_with('\n')) text.pop_back();
    output.print(text);
  }
  return ExitCode::done;
}

}  // namespace

ExitCode print_completion(const Context& context) {
  const std::string& shell = context.arguments.shell;
  if (shell.empty()) {
    return answer(context.output, fmt::format("{}", fmt::join(context.folders.names(), "\n")));
  }
  const CommandText program = describe_arguments();
  if (shell == "bash") return answer(context.output, bash_completion(program));
  if (shell == "zsh") return answer(context.output, zsh_completion(program));
  return answer(context.output, fish_completion(program));
}

ExitCode print_manual(const Context& context) {
  const CommandText program = describe_arguments();
  const std::string& page = context.arguments.page;
  const std::string names = fmt::format("{}", fmt::join(page_names(program), "\n"));
  if (page.empty()) return answer(context.output, names);
  const auto text = manual_page(program, page, SEGUE_VERSION);
  if (text) return answer(context.output, *text);
  return context.output.fail(
      {ErrorCode::not_found,
       fmt::format("there is no page '{}': `segue manual` lists them", page)});
}

}  // namespace segue::cli
