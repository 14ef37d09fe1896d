// SPDX-License-Identifier: Apache-2.0
// segue-tcp-move [CONNECTIONS]: moves live TCP connections, address included, from one network
// namespace to another while data flows both ways, and checks every byte. Needs root.
#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <string_view>

#include "network_lab.h"
#include "os/clock.h"
#include "tcp/initial_window.h"
#include "tcp/move.h"
#include "traffic.h"

namespace {

using namespace std::chrono_literals;
using segue::base::Duration;
using segue::base::Result;
namespace example = segue::example;
namespace tcp = segue::tcp;

constexpr Duration kLimit = 60s;

double milliseconds(Duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

Result<void> demonstrate(std::size_t connections) {
  const segue::os::SystemClock clock;
  SEGUE_ASSIGN(example::NetworkLab lab, example::NetworkLab::make());
  example::Traffic traffic(clock);
  SEGUE_ASSIGN(auto ipv4, lab.connect(example::Kind::ipv4, connections - connections / 2));
  SEGUE_ASSIGN(auto ipv6, lab.connect(example::Kind::ipv6, connections / 2));
  traffic.add(std::move(ipv4));
  traffic.add(std::move(ipv6));
  traffic.start();
  SEGUE_TRY(traffic.wait_until_flowing(kLimit));
  fmt::print("{} connections carry data both ways\n", traffic.size());

  // Without it the connections move too, and begin with the route's congestion window.
  auto initial_window = tcp::InitialWindow::attach();
  if (!initial_window) fmt::print("{}\n", initial_window.error().to_string());

  traffic.freeze();
  const std::vector<int> originals = traffic.servers();
  tcp::MoveOptions options;
  options.destination_namespace = lab.place(1);
  options.initial_window = initial_window ? &*initial_window : nullptr;
  tcp::Move move(originals, lab.hooks(0, 1), options, clock);
  SEGUE_TRY(move.run());
  SEGUE_TRY(move.finish());
  traffic.replace_servers(move.release_connections());
  traffic.thaw();

  const tcp::MoveReport& report = move.report();
  fmt::print(
      "moved in {:.1f} ms: block {:.1f}, dump {:.1f}, address {:.1f}, restore {:.1f}, "
      "discard {:.1f}, open {:.1f}, leave {:.1f}; {} broken\n",
      milliseconds(report.blackout), milliseconds(report.block), milliseconds(report.dump),
      milliseconds(report.hand_over), milliseconds(report.restore), milliseconds(report.discard),
      milliseconds(report.open), milliseconds(report.leave), report.broken.size());
  SEGUE_TRY(traffic.wait_until_flowing(kLimit));
  SEGUE_TRY(traffic.finish(32'768, kLimit));
  fmt::print("every byte arrived once and in order\n");
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t connections = 100;
  if (argc > 1) {
    const std::string_view text = argv[1];
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), connections);
    const bool valid = parsed.ec == std::errc{} && parsed.ptr == text.data() + text.size();
    if (!valid || argc > 2 || connections == 0 || connections > 8000) {
      fmt::print(stderr, "usage: segue-tcp-move [CONNECTIONS], 1 to 8000\n");
      return 2;
    }
  }
  const auto done = demonstrate(connections);
  if (done) return 0;
  fmt::print(stderr, "segue-tcp-move: {}\n", done.error().to_string());
  return 1;
}
