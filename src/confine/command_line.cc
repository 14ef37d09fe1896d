// SPDX-License-Identifier: Apache-2.0
#include "confine/command_line.h"

namespace segue::confine {

using base::ErrorCode;
using base::fail;
using base::Result;

Result<CommandLine> parse_command_line(std::span<const std::string> words) {
  CommandLine line;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") {
      line.program.assign(words.begin() + static_cast<std::ptrdiff_t>(i) + 1, words.end());
      break;
    }
    if (word == "--help") {
      line.help = true;
      return line;
    }
    if (word == "--check") {
      line.checks = true;
      continue;
    }
    const auto equals = word.find('=');
    if (!word.starts_with("--") || equals == std::string::npos) {
      return fail(ErrorCode::invalid_argument, "'{}' is not --KEY=VALUE; see --help", word);
    }
    SEGUE_ASSIGN(const bool known,
                 control::assign_confinement_option(word.substr(2, equals - 2),
                                                    word.substr(equals + 1), line.options));
    if (!known) {
      return fail(ErrorCode::invalid_argument, "there is no option {}; see --help",
                  word.substr(0, equals));
    }
  }
  if (line.program.empty() && !line.checks) {
    return fail(ErrorCode::invalid_argument, "no program stands behind --; see --help");
  }
  return line;
}

std::string usage_text() {
  return "segue-confine [OPTION...] -- PROGRAM [ARGUMENT...]\n"
         "Becomes PROGRAM, within limits, for segue-keeper, which starts it.\n"
         "  --memory=512m, --cpus=0.5, --pids=N  by control groups\n"
         "  --nofile=N             descriptors\n"
         "  --secret=NAME=/PATH    at $SEGUE_SECRETS/NAME; may be repeated\n"
         "  --program-digest=sha256:HEX  PROGRAM's file, which is started only if it has it\n"
         "  --check                say whether this host can, and start nothing\n";
}

}  // namespace segue::confine
