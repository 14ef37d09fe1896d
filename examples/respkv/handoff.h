// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <segue/segue.h>

#include <string>

#include "options.h"
#include "server.h"

namespace respkv {

// Declares to libsegue what the server owns, and passes its callbacks on.
class Handoff {
 public:
  Handoff(Server& server, const Options& options) : server_(&server), options_(options) {}
  ~Handoff();
  Handoff(const Handoff&) = delete;
  Handoff& operator=(const Handoff&) = delete;

  // The reason why it failed, or "".
  std::string open();
  std::string start();

  // After the loop: 1 if this process was refused as a successor.
  [[nodiscard]] int exit_code() const { return exit_code_; }

  // All belongs to the successor: there is nothing to tidy up.
  [[nodiscard]] bool committed() const { return committed_; }

  // Called by libsegue.
  void activate(const segue_activation& activation);
  void resume(segue_resume_reason reason);
  void terminate(segue_end_reason reason);
  void see_off_predecessor(std::uint64_t lingers_ms);
  std::string check();

  Server& server() { return *server_; }

 private:
  void activated(const segue_activation& activation);
  std::string declare();
  void log(const std::string& event) const;

  Server* server_;
  Options options_;
  segue_instance* handle_ = nullptr;
  int exit_code_ = 0;
  std::uint64_t predecessor_lingers_ms_ = 0;
  bool committed_ = false;
};

}  // namespace respkv
