// SPDX-License-Identifier: Apache-2.0
// What moving TCP connections costs: dump, restore and leave per connection, and the blackout of
// the whole move, with data flowing both ways. README.md describes the cases.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "network_lab.h"
#include "os/clock.h"
#include "tcp/initial_window.h"
#include "tcp/move.h"
#include "traffic.h"

namespace {

using namespace std::chrono_literals;
using segue::base::Duration;
using segue::base::Result;
namespace base = segue::base;
namespace example = segue::example;
namespace tcp = segue::tcp;

constexpr Duration kLimit = 60s;

struct Figures {
  std::vector<double> dump_us, restore_us, leave_us, blackout_ms, without_network_ms, flowing_ms;
  std::size_t broken = 0;
};

double microseconds(Duration duration) {
  return std::chrono::duration<double, std::micro>(duration).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.at(values.size() / 2);
}

Result<void> move_once(example::NetworkLab& lab, example::Traffic& traffic,
                       tcp::InitialWindow* initial_window, std::size_t from, Figures& figures) {
  const segue::os::SystemClock clock;
  const std::size_t to = 1 - from;
  tcp::MoveOptions options;
  options.destination_namespace = lab.place(to);
  options.initial_window = initial_window;
  traffic.freeze();
  const std::vector<int> originals = traffic.servers();
  tcp::Move move(originals, lab.hooks(from, to), options, clock);
  SEGUE_TRY(move.run());
  SEGUE_TRY(move.finish());
  traffic.replace_servers(move.release_connections());
  const base::MonotonicTime live = clock.monotonic_now();
  traffic.thaw();
  SEGUE_TRY(traffic.wait_until_flowing(kLimit));
  const auto flowing = clock.monotonic_now() - live;

  const tcp::MoveReport& report = move.report();
  const auto per_connection = [&](Duration part) {
    return microseconds(part) / static_cast<double>(traffic.size());
  };
  figures.dump_us.push_back(per_connection(report.dump));
  figures.restore_us.push_back(per_connection(report.restore));
  figures.leave_us.push_back(per_connection(report.leave));
  figures.blackout_ms.push_back(microseconds(report.blackout) / 1000);
  figures.without_network_ms.push_back(
      microseconds(report.dump + report.restore + report.discard + report.leave) / 1000);
  figures.flowing_ms.push_back(microseconds(flowing) / 1000);
  figures.broken += report.broken.size();
  return {};
}

Result<Figures> measure(std::size_t connections, int rounds, tcp::InitialWindow* initial_window) {
  const segue::os::SystemClock clock;
  SEGUE_ASSIGN(example::NetworkLab lab, example::NetworkLab::make());
  example::Traffic traffic(clock);
  for (const example::Kind kind : {example::Kind::ipv4, example::Kind::ipv6}) {
    SEGUE_ASSIGN(auto pairs, lab.connect(kind, connections / 2));
    traffic.add(std::move(pairs));
  }
  traffic.start();
  SEGUE_TRY(traffic.wait_until_flowing(kLimit));
  Figures figures;
  for (int round = 0; round < rounds; ++round) {
    SEGUE_TRY(
        move_once(lab, traffic, initial_window, static_cast<std::size_t>(round % 2), figures));
  }
  SEGUE_TRY(traffic.finish(16'384, kLimit));
  return figures;
}

void emit(const std::string& name, std::string_view metric, double value, std::string_view unit) {
  fmt::print(
      "{{\"bench\":\"tcp\",\"case\":\"{}\",\"metric\":\"{}\",\"value\":{:.3f},\"unit\":\"{}\","
      "\"peer\":null}}\n",
      name, metric, value, unit);
}

bool run_case(std::size_t connections, int rounds, tcp::InitialWindow* initial_window) {
  const std::string name = fmt::format("move/{}", connections);
  const auto figures = measure(connections, rounds, initial_window);
  if (!figures) {
    fmt::print(stderr, "{}: {}\n", name, figures.error().to_string());
    return false;
  }
  emit(name, "dump_us_per_connection", median(figures->dump_us), "us");
  emit(name, "restore_us_per_connection", median(figures->restore_us), "us");
  emit(name, "leave_us_per_connection", median(figures->leave_us), "us");
  emit(name, "blackout_ms_median", median(figures->blackout_ms), "ms");
  emit(name, "blackout_ms_max",
       *std::max_element(figures->blackout_ms.begin(), figures->blackout_ms.end()), "ms");
  emit(name, "without_network_ms_median", median(figures->without_network_ms), "ms");
  emit(name, "flowing_ms_median", median(figures->flowing_ms), "ms");
  emit(name, "broken", static_cast<double>(figures->broken), "connections");
  fmt::print(
      stderr,
      "{:>10}: per connection dump {:.1f} us, restore {:.1f} us, leave {:.1f} us; blackout "
      "{:.1f} ms ({:.1f} without the network's part), all flowing {:.0f} ms later; {} moves, "
      "{} broken, every byte in order\n",
      name, median(figures->dump_us), median(figures->restore_us), median(figures->leave_us),
      median(figures->blackout_ms), median(figures->without_network_ms),
      median(figures->flowing_ms), rounds, figures->broken);
  return figures->broken == 0;
}

}  // namespace

int main(int argc, char** argv) {
  const bool quick = argc == 2 && std::string_view(argv[1]) == "--quick";
  if (argc > 1 && !quick) {
    fmt::print(stderr, "usage: scripts/bench tcp [--quick]; needs root\n");
    return 2;
  }
  auto initial_window = tcp::InitialWindow::attach();
  if (!initial_window) {
    fmt::print(stderr, "without congestion windows: {}\n", initial_window.error().to_string());
  }
  tcp::InitialWindow* window = initial_window ? &*initial_window : nullptr;
  bool good = true;
  for (const std::size_t connections : {100U, 1000U}) {
    good = run_case(connections, quick ? 3 : 11, window) && good;
  }
  return good ? 0 : 1;
}
