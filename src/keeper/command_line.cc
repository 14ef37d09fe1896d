// SPDX-License-Identifier: Apache-2.0
#include "keeper/command_line.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>
#include <utility>

#include "control/name.h"

namespace segue::keeper {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::array<std::string_view, 9> kFaultPoints = {"spawn",      "hello",     "attempt-sent",
                                                          "background", "rehearsal", "foreground",
                                                          "activated",  "probation", "commit"};

Result<int> parse_fd(const std::string& word) {
  const std::size_t equals = word.find('=');
  const std::string text = word.substr(equals + 1);
  int fd = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), fd);
  if (error != std::errc() || end != text.data() + text.size() || fd < 3) {
    return fail(ErrorCode::invalid_argument, "{}: '{}' is not a descriptor from 3 up",
                word.substr(2, equals - 2), text);
  }
  return fd;
}

}  // namespace

Result<CommandLine> parse_command_line(const std::vector<std::string>& words) {
  CommandLine line;
  const auto is_help = [](const std::string& word) { return word == "--help" || word == "-h"; };
  if (words.empty() || is_help(words.front())) {
    line.help = true;
    return line;
  }
  if (words.size() == 1 && words.front().starts_with("--check-state=")) {
    SEGUE_ASSIGN(line.check_state_fd, parse_fd(words.front()));
    return line;
  }
  line.name = words.front();
  SEGUE_TRY(control::check_name(line.name));

  if (words.size() == 2 && words.back().starts_with("--resume-state=")) {
    SEGUE_ASSIGN(line.resume_fd, parse_fd(words.back()));
    return line;
  }
  std::vector<std::string> rest;
  auto word = words.begin() + 1;
  for (; word != words.end() && *word != "--"; ++word) {
    if (*word == "--adopt") {
      line.adopt = true;
    } else if (*word == "--foreground") {
      line.foreground = true;
    } else if (word->starts_with("--client-fd=")) {
      SEGUE_ASSIGN(line.client_fd, parse_fd(*word));
    } else {
      rest.push_back(*word);
    }
  }
  rest.insert(rest.end(), word, words.end());
  SEGUE_ASSIGN(const auto request, control::parse_words("run", rest));
  SEGUE_ASSIGN(auto parsed, control::parse_options(request));
  if (request.program.empty() && !line.adopt) {
    return fail(ErrorCode::invalid_argument, "no program: write it after '--'");
  }
  if (!parsed.run.unsafe_fault.empty()) SEGUE_TRY(parse_fault(parsed.run.unsafe_fault));
  line.run = std::move(parsed.run);
  line.contract = std::move(parsed.contract);
  line.health.health_cmd = std::move(parsed.attempt.health_cmd);
  line.health.health_tcp = std::move(parsed.attempt.health_tcp);
  line.health.health_timeout_ms = parsed.attempt.health_timeout_ms;
  line.launch = std::move(parsed.launch);
  return line;
}

std::string usage_text() {
  return "segue-keeper NAME [--KEY=VALUE...] -- PROGRAM ARGUMENT...\n"
         "Keeps one component running and hands it over to its next version. `segue run` starts "
         "it.\n"
         "\n"
         "  --cwd=DIR              the program's working directory (default /)\n"
         "  --env=NAME=VALUE       one more variable of its environment; may be repeated\n"
         "  --start-ms=N           how long it may take to be ready (30000)\n"
         "  --max-restarts=N       after so many crashes in a row it is given up (10)\n"
         "  --grace-ms=N           stop: asked, then SIGTERM, after as long again SIGKILL (5000)\n"
         "  --adopt                go on with the instances of a keeper that has died; start none\n"
         "  --upgrade=CONTRACT     libsegue (default), listeners, fdstore, signal or restart;\n"
         "                         with --listen=NAME=ADDRESS (libsegue asks for it by NAME),\n"
         "                         --nonblocking=0|1, --ready=,\n"
         "                         --stop-signal=, --drain-ms=,\n"
         "                         --reconnect-per-second=, --fd-store-max=, --watchdog-ms=,\n"
         "                         --upgrade-signal=, --new-pid=, --retire-signal=,\n"
         "                         --resume-signal=, --then-signal= (docs/programs.md)\n"
         "  --health-cmd=, --health-tcp=, --health-timeout-ms=  its health check\n"
         "  --foreground           stay in the foreground, print what the program prints\n"
         "  --client-fd=N          who waits for the start is connected there\n"
         "  --check-state=FD       alone: say whether the state of a keeper in this memfd can be "
         "read\n"
         "  --resume-state=FD      by a keeper that replaces itself: go on from this state\n"
         "  --unsafe-fault=P:A     UNSAFE, for tests only: at point P (spawn, hello, "
         "attempt-sent,\n"
         "                         background, rehearsal, foreground, activated, probation, "
         "commit)\n"
         "                         do A to this process (kill, stop, error), once\n";
}

Result<Fault> parse_fault(const std::string& text) {
  const std::size_t colon = text.find(':');
  const std::string point = text.substr(0, colon);
  const std::string action = colon == std::string::npos ? "" : text.substr(colon + 1);
  Fault fault{point, Fault::Action::error};
  if (action == "kill") {
    fault.action = Fault::Action::kill;
  } else if (action == "stop") {
    fault.action = Fault::Action::stop;
  } else if (action != "error") {
    return fail(ErrorCode::invalid_argument, "unsafe-fault: '{}' is not POINT:kill|stop|error",
                text);
  }
  if (std::find(kFaultPoints.begin(), kFaultPoints.end(), point) == kFaultPoints.end()) {
    return fail(ErrorCode::invalid_argument, "unsafe-fault: there is no point '{}'", point);
  }
  return fault;
}

}  // namespace segue::keeper
