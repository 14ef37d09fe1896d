// SPDX-License-Identifier: Apache-2.0
// What a server wants of an instance, and what the host's agent saw of it. Values only.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace segue::fleet {

// A component has two slots on each of its hosts, each with a keeper of its own and moved by
// ordinary handoffs only. Undoing a canary hands its slot back; promoting it hands `stable` over.
enum class Slot { stable, canary };
std::string_view to_string(Slot slot);
std::optional<Slot> slot_of(std::string_view word);

struct InstanceId {
  std::string host;
  std::string component;
  Slot slot = Slot::stable;

  auto operator<=>(const InstanceId&) const = default;
};

// A component's specification, configuration and version of its release included, as it was at its
// n-th change. It never changes afterwards; what is rolled out is always a revision.
using Revision = std::uint64_t;
inline constexpr Revision kNoRevision = 0;  // nothing runs

inline constexpr std::size_t kMaxOrderBytes = 100;
inline constexpr std::uint32_t kWholeShare = 1'000'000;

// What one instance is to be. The server stores it before any agent hears of it.
struct Assignment {
  Revision revision = kNoRevision;
  Revision stage = kNoRevision;  // is to be staged beside what runs, and not to be started
  std::string order;             // names the change; an agent carries each order out once
  std::uint32_t share_ppm = 0;   // of new connections, where the kernel splits; `canary` alone
  std::uint64_t share_salt = 0;  // of a split by source address
  bool renew = false;            // where it serves already, it is handed over to itself
  // For the server alone. Whose `sharing` says which proxy has to do with the slot, where that is
  // not the revision itself, or has had it drained; and the order that ends a stable slot once its
  // proxy sends nobody there any more. Until then the others are what it was.
  Revision proxied = kNoRevision;
  std::string ends;

  bool operator==(const Assignment&) const = default;
};

enum class Activity { idle, staging, starting, handing_off, probation, stopping };
std::string_view to_string(Activity activity);
std::optional<Activity> activity_of(std::string_view word);

// What an order came to; the exit codes of the commands, and what comes before.
enum class OrderResult {
  none,  // not begun
  under_way,
  done,
  refused,  // nothing was touched: what ran serves on
  undone,   // what ran before serves again, by a handoff
  failed,   // nothing may be taken for granted; `text` says what is known
  unknown,  // the outcome could not be seen; the agent goes on looking
};
std::string_view to_string(OrderResult result);
std::optional<OrderResult> order_result_of(std::string_view word);

enum class Health { unknown, good, bad };
std::string_view to_string(Health health);
std::optional<Health> health_of(std::string_view word);

// How the handoff of an order went.
struct HandoffFigures {
  std::uint64_t connections = 0;  // moved
  std::uint64_t lost = 0;
  std::uint64_t blackout_us = 0;

  bool operator==(const HandoffFigures&) const = default;
};

struct Observation {
  Revision revision = kNoRevision;  // that serves
  Revision staged = kNoRevision;
  std::string order;  // the last one begun
  OrderResult result = OrderResult::none;
  std::string text;  // of the result, for a person
  Activity activity = Activity::idle;
  Health health = Health::unknown;
  std::string health_text;
  std::uint64_t health_since_ms = 0;      // since when, milliseconds of 1970 on the host's clock
  std::optional<HandoffFigures> handoff;  // of `order`
  std::uint64_t connections = 0;          // open now
  std::uint64_t accepted = 0;             // by this instance's slot since its keeper began
  std::uint64_t crashes = 0;              // since its keeper began

  bool operator==(const Observation&) const = default;
};

}  // namespace segue::fleet
