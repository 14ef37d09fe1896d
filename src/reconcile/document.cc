// SPDX-License-Identifier: Apache-2.0
#include <utility>
#include <vector>

#include "fleet/proxy_share_layout.h"
#include "fleet/strategy_layout.h"
#include "reconcile/action_layout.h"
#include "reconcile/desired.h"

namespace segue::reconcile {
namespace {

// Maps as lists, so that a key is two members and not a word to take apart.
struct WantedInstance {
  std::string component;
  fleet::Slot slot = fleet::Slot::stable;
  fleet::Assignment assignment;
};
struct WantedShare {
  std::string component;
  fleet::ProxyShare share;
};
struct DesiredDocument {
  std::string fleet;
  std::uint64_t epoch = 0;
  std::uint64_t generation = 0;
  bool observe_only = false;
  bool emergency_stop = false;
  std::vector<WantedInstance> instances;
  std::vector<WantedShare> shares;
};
struct RememberedInstance {
  std::string component;
  fleet::Slot slot = fleet::Slot::stable;
  std::optional<Intent> intent;
  std::vector<OrderOutcome> outcomes;
  fleet::Revision serves = fleet::kNoRevision;
  fleet::Revision previous = fleet::kNoRevision;
  std::uint32_t share_ppm = 0;
  std::uint64_t share_salt = 0;
};
struct MemoryDocument {
  DesiredDocument desired;
  std::vector<RememberedInstance> instances;
};

}  // namespace
}  // namespace segue::reconcile

namespace segue::fleet {

template <>
struct Layout<reconcile::OrderOutcome> {
  static void visit(auto& archive, auto& outcome) {
    archive("order", outcome.order);
    archive("result", outcome.result);
    archive("text", outcome.text);
    archive("handoff", outcome.handoff);
  }
};

template <>
struct Layout<reconcile::WantedInstance> {
  static void visit(auto& archive, auto& instance) {
    archive("component", instance.component);
    archive("slot", instance.slot);
    archive("assignment", instance.assignment);
  }
};

template <>
struct Layout<reconcile::WantedShare> {
  static void visit(auto& archive, auto& wanted) {
    archive("component", wanted.component);
    archive("share", wanted.share);
  }
};

template <>
struct Layout<reconcile::DesiredDocument> {
  static void visit(auto& archive, auto& desired) {
    archive("fleet", desired.fleet);
    archive("epoch", desired.epoch);
    archive("generation", desired.generation);
    archive("observe_only", desired.observe_only);
    archive("emergency_stop", desired.emergency_stop);
    archive("instances", desired.instances, kMaxInstancesOfHost);
    archive.if_any("shares", desired.shares, kMaxSharesOfHost);
  }
};

template <>
struct Layout<reconcile::RememberedInstance> {
  static void visit(auto& archive, auto& instance) {
    archive("component", instance.component);
    archive("slot", instance.slot);
    archive("intent", instance.intent);
    archive("outcomes", instance.outcomes, reconcile::InstanceMemory::kMaxOutcomes);
    archive("serves", instance.serves);
    archive("previous", instance.previous);
    archive("share_ppm", instance.share_ppm);
    archive("share_salt", instance.share_salt);
  }
};

template <>
struct Layout<reconcile::MemoryDocument> {
  static void visit(auto& archive, auto& memory) {
    archive("desired", memory.desired);
    archive("instances", memory.instances, 4 * kMaxInstancesOfHost);
  }
};

}  // namespace segue::fleet

namespace segue::reconcile {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr const char* kMemoryKey = "segue_agent_memory";

Result<void> check_order(const std::string& order) {
  if (order.size() <= fleet::kMaxOrderBytes) return {};
  return fail(ErrorCode::data_loss, "an order's name has {} bytes, at most {}", order.size(),
              fleet::kMaxOrderBytes);
}

DesiredDocument document_of(const Desired& desired) {
  DesiredDocument document{desired.fleet,
                           desired.epoch,
                           desired.generation,
                           desired.observe_only,
                           desired.emergency_stop,
                           {},
                           {}};
  for (const auto& [key, assignment] : desired.instances) {
    document.instances.push_back({key.component, key.slot, assignment});
  }
  for (const auto& [component, share] : desired.shares) {
    document.shares.push_back({component, share});
  }
  return document;
}

Result<Desired> desired_of(DesiredDocument document) {
  Desired desired{document.fleet,
                  document.epoch,
                  document.generation,
                  document.observe_only,
                  document.emergency_stop,
                  {},
                  {}};
  for (auto& instance : document.instances) {
    SEGUE_TRY(check_order(instance.assignment.order));
    if (instance.component.empty() || instance.assignment.share_ppm > fleet::kWholeShare ||
        !desired.instances
             .try_emplace({instance.component, instance.slot}, std::move(instance.assignment))
             .second) {
      return fail(ErrorCode::data_loss, "instance {}/{} stands there twice, or without sense",
                  instance.component, fleet::to_string(instance.slot));
    }
  }
  for (auto& [component, share] : document.shares) {
    SEGUE_TRY(fleet::check_share(component, share));
    desired.shares[component] = std::move(share);
  }
  return desired;
}

Result<Memory> memory_of(MemoryDocument document) {
  Memory memory;
  SEGUE_ASSIGN(memory.desired, desired_of(std::move(document.desired)));
  for (auto& one : document.instances) {
    if (one.intent) SEGUE_TRY(check_order(one.intent->order));
    for (const auto& outcome : one.outcomes) SEGUE_TRY(check_order(outcome.order));
    InstanceMemory instance{
        std::move(one.intent),
        {std::move_iterator(one.outcomes.begin()), std::move_iterator(one.outcomes.end())},
        one.serves,
        one.previous,
        one.share_ppm,
        one.share_salt};
    if (one.component.empty() ||
        !memory.instances.try_emplace({one.component, one.slot}, std::move(instance)).second) {
      return fail(ErrorCode::data_loss, "instance {}/{} is remembered twice, or has no name",
                  one.component, fleet::to_string(one.slot));
    }
  }
  return memory;
}

}  // namespace

Desired desired_of(const fleet::DesiredHost& document, bool observe_only) {
  Desired desired{document.fleet, document.epoch,   document.generation,
                  observe_only,   document.stopped, {},
                  document.shares};
  for (const auto& [key, assignment] : document.instances) {
    desired.instances[{key.first, key.second}] = assignment;
  }
  return desired;
}

Result<Memory> read_memory(std::string_view bytes) {
  SEGUE_ASSIGN(auto document,
               fleet::read_document<MemoryDocument>(kMemoryKey, kFormat, bytes, kMaxMemoryBytes,
                                                    "the agent's memory"));
  return memory_of(std::move(document));
}

std::string write_memory(const Memory& memory) {
  MemoryDocument document{document_of(memory.desired), {}};
  for (const auto& [key, one] : memory.instances) {
    document.instances.push_back({key.component,
                                  key.slot,
                                  one.intent,
                                  {one.outcomes.begin(), one.outcomes.end()},
                                  one.serves,
                                  one.previous,
                                  one.share_ppm,
                                  one.share_salt});
  }
  return fleet::write_document(kMemoryKey, kFormat, document);
}

}  // namespace segue::reconcile
