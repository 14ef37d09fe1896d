// SPDX-License-Identifier: Apache-2.0
// segue-load: holds connections to a server, makes a steady load, and tells what clients see.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <exception>
#include <string>

#include "load/load.h"
#include "load/options.h"

namespace {

using segue::load::Options;

int run(int argc, char** argv) {
  Options options;
  std::string protocol = "resp";
  std::uint32_t period_ms = 500;
  double run_s = 0;
  bool no_wakeup = false;
  const CLI::Range rate(std::uint32_t{0}, segue::load::kMaxRatePerSecond);

  CLI::App app("Holds connections to a server, makes a steady load, and tells what clients see.");
  app.add_option("--protocol", protocol, "What the server speaks")
      ->check(CLI::IsMember({"resp", "http", "echo"}));
  app.add_option("--host", options.host, "IPv4 address");
  app.add_option("--port", options.port)->required();
  app.add_option("--connections", options.connections, "Long-lived connections")
      ->check(CLI::Range(std::uint32_t{1}, segue::load::kMaxConnections));
  app.add_option("--period-ms", period_ms, "One request of each of them per period")
      ->check(CLI::Range(std::uint32_t{1}, std::uint32_t{600'000}));
  app.add_option("--new-per-second", options.new_per_second, "Connect, one request, close")
      ->check(rate);
  app.add_option("--writes-per-second", options.writes_per_second, "RESP writes")->check(rate);
  app.add_option("--write-keys", options.write_keys, "Keys that the writes go to; default 20000")
      ->check(CLI::Range(std::uint32_t{1}, segue::load::kMaxKeys));
  app.add_option("--seconds", run_s, "How long; default: until `stop` on stdin")
      ->check(CLI::Range(0.0, double{segue::load::kMaxSeconds}));
  app.add_flag("--no-wakeup", no_wakeup, "Do not measure the scheduler's wake-ups");
  CLI11_PARSE(app, argc, argv);

  options.protocol = *segue::load::protocol_named(protocol);
  options.period = std::chrono::milliseconds(period_ms);
  options.run_time = std::chrono::milliseconds(static_cast<std::int64_t>(run_s * 1'000));
  options.measure_wakeup = !no_wakeup;
  if (options.protocol != segue::load::Protocol::resp) options.writes_per_second = 0;
  if (options.writes_per_second == 0) options.write_keys = 0;
  if (options.writes_per_second > 0 && options.write_keys == 0) options.write_keys = 20'000;

  if (const auto result = segue::load::run(options); !result) {
    (void)std::fprintf(stderr, "segue-load: %s\n", result.error().to_string().c_str());
    return 1;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& failure) {
    (void)std::fprintf(stderr, "segue-load: %s\n", failure.what());
    return 1;
  }
}
