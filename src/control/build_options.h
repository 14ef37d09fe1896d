// SPDX-License-Identifier: Apache-2.0
// What the command line says to `segue build`, and how what it finds comes to a person.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "control/exit_code.h"

namespace segue::control {

enum class BuildCommand { run, status, log, notify, hook };

struct BuildOptions {
  BuildCommand command = BuildCommand::status;
  std::string config;      // builder.yaml; empty: the one of this user
  std::string state;       // the builder's folder; empty: as the configuration says
  std::string repository;  // status, notify: its name in the configuration; hook: a folder
  std::string name;        // hook: the repository's name in the configuration
  std::string ref;         // notify
  std::string commit;      // log, notify
  bool once = false;       // run: end when nothing is left to do
  bool follow = false;     // log
  bool force = false;      // hook
  bool json = false;
  bool dry_run = false;
  std::uint32_t unsafe_kill_at = 0;  // run: end by SIGKILL before the so many-th step; for tests
};

// Where words go while a command works.
class Screen {
 public:
  Screen() = default;
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;
  virtual ~Screen() = default;

  // The answer, as text, or as one JSON object; each goes only where it was asked for.
  virtual void print(std::string_view text) = 0;
  virtual void print_json(std::string_view object) = 0;
  // Replaces the last live line; on a terminal only.
  virtual void live(std::string_view text) = 0;
};

// The last word of a command.
struct Outcome {
  ExitCode exit = ExitCode::done;
  std::string text;
};

// How the program hands `segue build` to what does it.
using RunBuild = std::function<base::Result<Outcome>(const BuildOptions& options, Screen& screen)>;

}  // namespace segue::control
