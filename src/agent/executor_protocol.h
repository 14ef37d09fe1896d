// SPDX-License-Identifier: Apache-2.0
// What the two halves of a fleet's agent say to each other. The one half talks with the server and
// decides, and may do nothing else; the other does what is in this list, and nothing else. It
// believes nothing of what it is told: names are checked before they become paths, and commands are
// made here and not there. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "base/error.h"
#include "fleet/component.h"
#include "reconcile/decider.h"

namespace segue::agent {

// What a revision of a component is, before anything is told about it.
struct Know {
  std::string component;
  fleet::Revision revision = fleet::kNoRevision;
  fleet::ComponentSpec spec;
};
// From now on it is looked at, and Seen says what is seen.
struct Watch {
  reconcile::InstanceKey key;
};
// What it has printed; LogsRead answers.
struct ReadLogs {
  reconcile::InstanceKey key;
  std::uint64_t request = 0;
  std::string from;  // this and `lines` as in fleet::LogsWanted
  std::uint32_t lines = 0;
};
struct LogsRead {
  std::uint64_t request = 0;
  std::string document;  // fleet::LogsRead
};
// Why the half that decides cannot go on; its last word.
struct GiveUp {
  base::Error why;
};
using Order = std::variant<Know, Watch, GiveUp, reconcile::Stage, reconcile::Act,
                           reconcile::Restore, reconcile::LookUp, reconcile::SetShare,
                           reconcile::CheckHealth, reconcile::KeepShare, ReadLogs>;

std::string write_order(const Order& order);
// data_loss: it is none of them, or names what cannot be an instance, or what cannot be said to a
// proxy.
base::Result<Order> read_order(std::string_view message);

// Of events Seen, StageEnded, ActionEnded, LookedUp, ShareEnded and ShareKept; the others are no
// answers.
using OrderAnswer = std::variant<reconcile::Event, LogsRead>;
// Texts are cut to what a reader takes.
std::string write_answer(const OrderAnswer& answer);
base::Result<OrderAnswer> read_answer(std::string_view message);

}  // namespace segue::agent
