// SPDX-License-Identifier: Apache-2.0
#include "level1/command_line.h"

#include <array>
#include <charconv>
#include <string_view>

namespace segue::level1 {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::uint32_t kLongestMs = 3'600'000;

struct Option {
  std::string_view key;
  std::uint32_t CommandLine::* value;
};
constexpr std::array<Option, 3> kOptions = {{{"--freeze-ms=", &CommandLine::freeze_ms},
                                             {"--start-ms=", &CommandLine::start_ms},
                                             {"--end-ms=", &CommandLine::end_ms}}};

Result<void> take_option(const std::string& word, CommandLine& line) {
  for (const auto& option : kOptions) {
    if (!word.starts_with(option.key)) continue;
    const std::string_view text = std::string_view(word).substr(option.key.size());
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || number == 0 ||
        number > kLongestMs) {
      return fail(ErrorCode::invalid_argument, "{}'{}' is not a number from 1 to {}", option.key,
                  text, kLongestMs);
    }
    line.*option.value = number;
    return {};
  }
  return fail(ErrorCode::invalid_argument, "there is no option '{}'; see segue-level1 --help",
              word);
}

}  // namespace

Result<CommandLine> parse_command_line(const std::vector<std::string>& words) {
  CommandLine line;
  auto word = words.begin();
  for (; word != words.end() && *word != "--"; ++word) {
    if (*word == "--help" || *word == "-h") {
      line.help = true;
      return line;
    }
    SEGUE_TRY(take_option(*word, line));
  }
  if (word != words.end()) line.program.assign(word + 1, words.end());
  if (line.program.empty()) {
    return fail(ErrorCode::invalid_argument,
                "no program: segue-level1 [--freeze-ms=N] -- PROGRAM ARGUMENT...");
  }
  return line;
}

std::string usage_text() {
  return "segue-level1 [--freeze-ms=N] [--start-ms=N] [--end-ms=N] -- PROGRAM ARGUMENT...\n"
         "\n"
         "Runs a program that speaks the level 1 protocol (protocol/level1.md) on descriptor\n"
         "SEGUE_LEVEL1_FD, and makes it movable: start this under `segue run` and `segue "
         "upgrade`,\n"
         "or alone with SEGUE_DIRECTORY.\n"
         "\n"
         "  --freeze-ms=N  how long the program may take to stop and write its state (5)\n"
         "  --start-ms=N   how long until its HELLO (30000)\n"
         "  --end-ms=N     how long it may take to end; then it is killed (5000)\n";
}

}  // namespace segue::level1
