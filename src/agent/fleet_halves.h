// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/deciding_half.h"
#include "agent/executor.h"
#include "base/log.h"
#include "membership/joining.h"
#include "os/message_stream.h"

namespace segue::agent {

// A fleet's agent as two processes: the one that was started carries out, and a child, which may do
// nothing else, talks with the server and decides (DESIGN: privileges are split).
class FleetHalves {
 public:
  static constexpr base::Duration kEndLimit = std::chrono::seconds(5);
  static constexpr base::Duration kJoinLimit = std::chrono::minutes(10);

  struct Settings {
    std::string directory;  // of both
    std::string user;       // that the child becomes
    std::string segue;      // this program's file
    std::string runtime;    // where the folders of keepers are …
    std::string state;      // … and what they keep
    std::string engine;     // of containers, as unix:///PATH; empty: the usual one
    std::vector<std::string> environment;
    std::string incarnation;
    std::string boot_id;
    bool observe_only = false;
    std::optional<membership::JoinWish> join;  // where this host is in no fleet so far
    std::vector<std::string> relays;           // from now on; none: as it was
    bool direct = false;                       // with them
  };
  // Whether the host that keeps this directory is in a fleet.
  static bool has_joined(const std::string& directory);
  // The child keeps its part here.
  static std::string line_directory(const std::string& directory) { return directory + "/line"; }

  // Loop, clock and log outlive it. `on_end`, at most once: why the child cannot go on. Only before
  // any thread was started.
  using OnEnd = std::function<void(const base::Error& why)>;
  static base::Result<std::unique_ptr<FleetHalves>> start(os::EpollLoop& loop,
                                                          const os::Clock& clock,
                                                          const base::Log& log, Settings settings,
                                                          OnEnd on_end);
  ~FleetHalves();
  FleetHalves(const FleetHalves&) = delete;
  FleetHalves& operator=(const FleetHalves&) = delete;

 private:
  FleetHalves(os::EpollLoop& loop, const os::Clock& clock, const base::Log& log,
              const Settings& settings, OnEnd on_end);

  void ordered(std::string_view message);
  void answer(const OrderAnswer& answer);
  void ended(const base::Error& why);

  const base::Log& log_;
  OnEnd on_end_;
  os::Child child_;
  std::unique_ptr<os::MessageStream> stream_;
  Executor executor_;
};

}  // namespace segue::agent
