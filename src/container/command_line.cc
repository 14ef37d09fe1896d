// SPDX-License-Identifier: Apache-2.0
#include "container/command_line.h"

namespace segue::container {

using base::ErrorCode;
using base::fail;
using base::Result;

Result<CommandLine> parse_command_line(std::span<const std::string> words) {
  CommandLine line;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") {
      line.arguments.assign(words.begin() + static_cast<std::ptrdiff_t>(i) + 1, words.end());
      break;
    }
    if (word == "--help") {
      line.help = true;
      return line;
    }
    if (word == "--resolve") {
      line.resolves = true;
      continue;
    }
    if (word == kWorkWord) {
      line.works = true;
      continue;
    }
    const auto equals = word.find('=');
    if (!word.starts_with("--") || equals == std::string::npos) {
      return fail(ErrorCode::invalid_argument, "'{}' is not --KEY=VALUE; see --help", word);
    }
    SEGUE_ASSIGN(const bool known,
                 control::assign_container_option(word.substr(2, equals - 2),
                                                  word.substr(equals + 1), line.options));
    if (!known) {
      return fail(ErrorCode::invalid_argument, "there is no option {}; see --help",
                  word.substr(0, equals));
    }
  }
  if (line.options.image.empty()) {
    return fail(ErrorCode::invalid_argument, "--image=IMAGE is missing");
  }
  return line;
}

std::string usage_text() {
  return "segue-container --image=IMAGE [OPTION...] [-- ARGUMENT...]\n"
         "Runs one instance in a container, for segue-keeper, which starts it.\n"
         "  --engine=unix:///PATH  the Docker Engine API (Podman's or Docker's usual socket)\n"
         "  --network=none|host|bridge, --memory=512m, --cpus=0.5, --nofile=N\n"
         "  --pids=N               how many processes it may have\n"
         "  --user=USER[:GROUP]    another than the image's\n"
         "  --secret=NAME=/PATH    at /run/secrets/NAME; may be repeated\n"
         "  --publish=ADDRESS:HOST_PORT:PORT, on a bridge; may be repeated\n"
         "  --mount=/SOURCE:/TARGET[:ro], --env=NAME=value, --cap-add=NAME: may be repeated\n"
         "  --writable-root=0|1    the image's files may be changed, in this container (0)\n"
         "  --image-id=sha256:...  what IMAGE was when it was named\n"
         "  --resolve              say which image IMAGE is, and start nothing\n";
}

}  // namespace segue::container
