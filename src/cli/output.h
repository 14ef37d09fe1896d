// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/error.h"
#include "control/exit_code.h"

namespace segue::cli {

using Json = nlohmann::json;

// Where a command's words go: what was asked for on stdout, everything else on stderr.
class Output {
 public:
  struct Settings {
    bool json = false;         // one object per line on stdout instead of text
    bool is_terminal = false;  // stderr, or stdout for what redraws itself
    std::FILE* out = stdout;
    std::FILE* err = stderr;
  };
  explicit Output(Settings settings) : settings_(settings) {}

  [[nodiscard]] bool json() const { return settings_.json; }
  [[nodiscard]] bool is_terminal() const { return settings_.is_terminal; }

  // The answer, as text or as an object.
  void print(std::string_view text) const;
  void print_json(const Json& object) const;
  // For people while they wait; not with --json.
  void note(std::string_view text) const;
  // Replaces the last live line; on a terminal only.
  void live(std::string_view text);
  void end_live();

  // The last word: one line, or with --json one object with `exit` and `text`.
  control::ExitCode finish(control::ExitCode exit, std::string_view text);
  control::ExitCode finish(const Json& last_reply);
  control::ExitCode fail(const base::Error& error);

 private:
  Settings settings_;
  bool live_ = false;
};

// The exit code that fits an error which was found before anything was touched.
control::ExitCode exit_code_of(const base::Error& error);

}  // namespace segue::cli
