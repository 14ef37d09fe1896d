// SPDX-License-Identifier: Apache-2.0
// What something that is reached as HAProxy's stats socket may answer.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "traffic/haproxy_decider.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace segue::traffic;
  const std::string_view answer(reinterpret_cast<const char*>(data), size);
  (void)check_done("set server a/b weight 1", answer, {"Server deleted"});
  (void)parse_process(answer);
  (void)parse_figures(answer);
  (void)parse_map_version(answer);
  const ProxyWanted wanted{
      "chat", 100'000, {{.name = "c1", .is_canary = true}}, {{"/m", {{"bob", "canary"}}}}};
  ProxySeen seen;
  if (auto map = parse_map(answer)) seen.maps["/m"] = *std::move(map);
  if (auto servers = parse_servers(answer)) seen.servers = *std::move(servers);
  (void)decide(wanted, seen);
  return 0;
}
