// SPDX-License-Identifier: Apache-2.0
// Becomes the program: the keeper started this process, watches it, and has given it what it is to
// inherit, all of which stays as it is.
#include "confine/program.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "confine/command_line.h"
#include "confine/control_group.h"
#include "confine/secrets.h"
#include "confine/verified_program.h"
#include "control/exit_code.h"
#include "control/name.h"
#include "os/paths.h"
#include "os/process.h"

namespace segue::confine {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using control::ExitCode;

constexpr const char* kSecrets = "SEGUE_SECRETS";

std::string variable(const char* name) {
  const char* value = ::getenv(name);
  return value == nullptr ? "" : value;
}

GroupLimits group_limits_of(const control::ConfinementOptions& options) {
  return {.memory_bytes = options.memory_bytes,
          .cpu_millicores = options.cpu_millicores,
          .max_processes = options.max_processes};
}

Result<void> check_descriptors(std::uint32_t count) {
  if (count == 0) return {};
  SEGUE_ASSIGN(const auto own, os::resource_limit(0, RLIMIT_NOFILE));
  if (count <= own.hard) return {};
  return fail(ErrorCode::failed_precondition,
              "limits: {} descriptors are more than the {} that a process of this host may have; "
              "ask for fewer, or raise the hard limit of the agent (LimitNOFILE=)",
              count, own.hard);
}

Result<void> check(const control::ConfinementOptions& options) {
  SEGUE_TRY(check_descriptors(options.max_descriptors));
  SEGUE_TRY(check_group(group_limits_of(options), "check"));
  return check_secrets(options.secrets);
}

Result<void> confine(const control::ConfinementOptions& options) {
  const std::string name = variable("SEGUE_NAME");
  if (!control::check_name(name)) {
    return fail(ErrorCode::failed_precondition,
                "segue-confine is started by segue-keeper: use `segue run NAME --memory …`");
  }
  SEGUE_TRY(check_descriptors(options.max_descriptors));
  if (options.max_descriptors != 0) {
    SEGUE_TRY(os::set_resource_limit(0, RLIMIT_NOFILE,
                                     {options.max_descriptors, options.max_descriptors}));
  }
  SEGUE_ASSIGN(const auto directories, os::directories());
  const std::string folder = directories.runtime + "/" + name + "/secrets";
  SEGUE_TRY(show_secrets(options.secrets, folder));
  if (!options.secrets.empty() && ::setenv(kSecrets, folder.c_str(), 1) != 0) {
    return fail(base::errno_error("set SEGUE_SECRETS", errno));
  }
  // Last, so that nothing above counts in it.
  return enter_group(group_limits_of(options), name);
}

// This process confined, it becomes the program; returns only why not.
base::Error start(const CommandLine& line) {
  const std::string& path = line.program.front();
  if (line.options.program_digest.empty()) {
    const auto confined = confine(line.options);
    return confined ? become(path, line.program) : confined.error();
  }
  const auto program = open_verified(path, line.options.program_digest);
  if (!program) return program.error();
  const auto confined = confine(line.options);
  if (!confined) return confined.error();
  struct utsname kernel{};
  static_cast<void>(::uname(&kernel));  // fails on bad addresses only
  return become(*program, start_by(kernel.release), line.program);
}

}  // namespace

int run_program(int argc, char** argv) {
  const auto line = parse_command_line(std::vector<std::string>(argv + 1, argv + argc));
  if (!line) {
    fmt::print(stderr, "segue-confine: {}\n", line.error().message());
    return static_cast<int>(ExitCode::usage);
  }
  if (line->help) {
    fmt::print("{}", usage_text());
    return 0;
  }
  if (line->checks) {
    const auto checked = check(line->options);
    if (!checked) fmt::print("{}\n", checked.error().message());
    return static_cast<int>(checked ? ExitCode::done : ExitCode::refused);
  }
  fmt::print(stderr, "segue-confine: {}\n", start(*line).to_string());
  return static_cast<int>(ExitCode::failed);
}

}  // namespace segue::confine
