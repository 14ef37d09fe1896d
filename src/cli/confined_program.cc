// SPDX-License-Identifier: Apache-2.0
#include "cli/confined_program.h"

#include <utility>

#include "cli/helper_program.h"
#include "cli/program_file.h"
#include "control/confinement_options.h"
#include "control/exit_code.h"

namespace segue::cli {

using base::ErrorCode;
using base::fail;
using base::Result;

Result<void> expand_confinement(Arguments& arguments) {
  auto options = control::confinement_of(arguments.container);
  options.program_digest = arguments.program_digest;
  const auto words = control::confinement_words(options);
  if (words.empty() || !arguments.container.image.empty() || arguments.program.empty()) return {};
  SEGUE_ASSIGN(const std::string helper, find_confine_program());
  std::vector<std::string> checks = {helper, "--check"};
  checks.insert(checks.end(), words.begin(), words.end());
  SEGUE_ASSIGN(const HelperAnswer told, ask_helper(checks));
  if (told.exit_code != static_cast<int>(control::ExitCode::done)) {
    return fail(ErrorCode::failed_precondition, "{}", told.text);
  }
  // It is looked for as a keeper's program is.
  SEGUE_ASSIGN(auto launch, make_launch(arguments.program, arguments.cwd, arguments.env));
  std::vector<std::string> program = {helper};
  if (!arguments.start_link.empty() && !arguments.dry_run) {
    SEGUE_TRY(make_start_link(arguments.start_link, helper));
    program.front() = arguments.start_link;
  }
  program.insert(program.end(), words.begin(), words.end());
  program.emplace_back("--");
  program.insert(program.end(), std::make_move_iterator(launch.argv.begin()),
                 std::make_move_iterator(launch.argv.end()));
  arguments.program = std::move(program);
  return {};
}

}  // namespace segue::cli
