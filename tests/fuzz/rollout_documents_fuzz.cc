// SPDX-License-Identifier: Apache-2.0
// What a damaged store or disk, or another server, may give an engine and an agent: strategies,
// heads, records, an agent's memory. What is accepted is written and read
// as the same, and whoever decides can go on with it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <utility>
#include <vector>

#include "reconcile/decider.h"
#include "rollout/engine.h"

namespace {

namespace fleet = segue::fleet;
namespace reconcile = segue::reconcile;
namespace rollout = segue::rollout;

void require(bool holds) {
  if (!holds) std::abort();
}

void go_on(const rollout::Rollout& head) {
  std::vector<rollout::InstanceRecord> records;
  std::vector<rollout::HostFacts> hosts;
  for (const char* host : {"a", "b"}) {
    records.push_back({.host = host, .to = head.target, .back = head.base});
    hosts.push_back({.host = host, .to = head.target, .back = head.base});
  }
  rollout::Engine engine(head, std::move(records));
  const rollout::Now now{};
  if (head.phase == rollout::Phase::preparing || head.phase == rollout::Phase::waiting) {
    (void)engine.begin(head.base, hosts, now);
  } else {
    (void)engine.resume(hosts, now);
  }
  (void)engine.handle(rollout::Observed{"a", fleet::Slot::stable, {}}, now);
  (void)engine.handle(rollout::TimePassed{}, now);
  (void)engine.handle(rollout::Undo{"ada", ""}, now);
  (void)rollout::write_progress(engine.progress(now));
  (void)engine.next_wakeup();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto strategy = fleet::read_strategy(bytes)) {
    const auto again = fleet::read_strategy(fleet::write_strategy(*strategy));
    require(again.has_value() && *again == *strategy);
  }
  if (const auto head = rollout::read_rollout(bytes)) {
    const auto again = rollout::read_rollout(rollout::write_rollout(*head));
    require(again.has_value() && *again == *head);
    go_on(*head);
  }
  if (const auto record = rollout::read_record(bytes)) {
    const auto again = rollout::read_record(rollout::write_record(*record));
    require(again.has_value() && *again == *record);
  }
  if (const auto memory = reconcile::read_memory(bytes)) {
    const auto again = reconcile::read_memory(reconcile::write_memory(*memory));
    require(again.has_value() && *again == *memory);
    reconcile::Decider decider(*memory);
    (void)decider.resume({});
    for (const auto& key : decider.instances()) {
      (void)decider.handle(reconcile::Seen{.key = key, .revision = 1}, {});
      (void)decider.observation(key);
    }
  }
  return 0;
}
