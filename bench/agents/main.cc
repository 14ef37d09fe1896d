// SPDX-License-Identifier: Apache-2.0
// Agents that are not there: they join a real server, attach to it, alone or behind relays, beat,
// and do at once whatever it wants. One JSON object per line on stdout says how far they are; the
// program ends when its stdin does.
#include <fmt/format.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <list>

#include "agents/simulated_agents.h"
#include "os/process.h"

namespace segue::bench {
namespace {

using base::Result;

Result<void> run(const AgentOptions& options) {
  os::raise_descriptor_limit();
  const os::SystemClock clock;
  SEGUE_ASSIGN(os::EpollLoop loop, os::EpollLoop::create(clock));
  SEGUE_TRY(loop.watch(STDIN_FILENO, EPOLLIN | EPOLLHUP, [&loop](std::uint32_t) { loop.stop(); }));
  SimulatedAgents agents(loop, clock, options, [](const std::string& line) {
    fmt::print("{}\n", line);
    (void)std::fflush(stdout);
  });
  SEGUE_TRY(agents.join());
  SEGUE_TRY(agents.attach());
  return loop.run();
}

}  // namespace
}  // namespace segue::bench

int main(int argc, char** argv) {
  segue::bench::AgentOptions options;
  CLI::App app("Simulated agents for a real server");
  app.add_option("--token", options.token, "For hosts of site `bench`")->required();
  app.add_option("--relay-token", options.relay_token, "For relays of it");
  app.add_option("--agents", options.agents)->check(CLI::Range(1, 100'000));
  app.add_option("--relays", options.relays, "0: each agent by itself")
      ->check(CLI::Range(0, 1'000));
  app.add_option("--through", options.through, "A real relay, HOST:PORT; without --relays");
  app.add_flag("--come-back", options.comes_back, "Attach again when the server ends a line");
  CLI11_PARSE(app, argc, argv);
  const auto ran = segue::bench::run(options);
  if (ran) return 0;
  fmt::print(stderr, "{}\n", ran.error().to_string());
  return 1;
}
