// SPDX-License-Identifier: Apache-2.0
// What a server wants of a host, and what the host's agent keeps of it on its own disk. Values
// only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "fleet/host.h"
#include "fleet/instance.h"
#include "fleet/proxy_share.h"

namespace segue::reconcile {

// An instance of this host. Its documents write it as COMPONENT/SLOT.
struct InstanceKey {
  std::string component;
  fleet::Slot slot = fleet::Slot::stable;

  auto operator<=>(const InstanceKey&) const = default;
};
std::string to_string(const InstanceKey& key);

// Everything that the server wants of this host, as far as it is decided about. Specifications are
// kept elsewhere; to this library revisions are numbers.
struct Desired {
  std::string fleet;             // of another fleet nothing is taken
  std::uint64_t epoch = 1;       // of the server's store: one more after it was restored
  std::uint64_t generation = 0;  // grows with every change for this host
  bool observe_only = false;     // the agent reports and acts on nothing
  bool emergency_stop = false;   // what runs goes on, and nothing is changed
  std::map<InstanceKey, fleet::Assignment> instances;
  fleet::ProxyShares shares;  // of proxies that this host's agent speaks with

  bool operator==(const Desired&) const = default;
};
// `observe_only` is the host's own.
Desired desired_of(const fleet::DesiredHost& document, bool observe_only);

enum class ActionKind { start, hand_off, hand_back, stop, share };
std::string_view to_string(ActionKind kind);

// What is about to be done. It is on disk before it is done; when it is found there after a kill
// nobody knows whether it was, and it is looked at instead of repeated.
struct Intent {
  std::string order;
  ActionKind kind = ActionKind::hand_off;
  fleet::Revision from = fleet::kNoRevision;
  fleet::Revision to = fleet::kNoRevision;
  bool only_idle = false;  // stop: refused if by then a connection is open, or nobody can tell
  // hand_off from a revision to itself: Seen::generation before it.
  std::uint64_t generation = 0;

  bool operator==(const Intent&) const = default;
};

struct OrderOutcome {
  std::string order;
  fleet::OrderResult result = fleet::OrderResult::none;
  std::string text;
  std::optional<fleet::HandoffFigures> handoff;

  bool operator==(const OrderOutcome&) const = default;
};

struct InstanceMemory {
  static constexpr std::size_t kMaxOutcomes = 16;

  std::optional<Intent> intent;
  std::deque<OrderOutcome> outcomes;              // of the last orders, the newest last
  fleet::Revision serves = fleet::kNoRevision;    // as it came out of the last one
  fleet::Revision previous = fleet::kNoRevision;  // that served before it
  std::uint32_t share_ppm = 0;                    // as it was last set
  std::uint64_t share_salt = 0;

  [[nodiscard]] const OrderOutcome* find(const std::string& order) const;
  bool operator==(const InstanceMemory&) const = default;
};

struct Memory {
  Desired desired{.epoch = 0};  // older than any
  std::map<InstanceKey, InstanceMemory> instances;

  bool operator==(const Memory&) const = default;
};

// ---- A document: versioned, strict, bounded. data_loss: damaged; failed_precondition: of another
// format.
inline constexpr std::uint64_t kFormat = 1;
inline constexpr std::size_t kMaxMemoryBytes = std::size_t{16} << 20;
base::Result<Memory> read_memory(std::string_view bytes);
std::string write_memory(const Memory& memory);

}  // namespace segue::reconcile
