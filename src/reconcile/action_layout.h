// SPDX-License-Identifier: Apache-2.0
// The members of intents and of what they came to, in documents.
#pragma once

#include "fleet/layout.h"
#include "reconcile/desired.h"

namespace segue::fleet {

template <>
struct Layout<reconcile::Intent> {
  static void visit(auto& archive, auto& intent) {
    archive("order", intent.order);
    archive("kind", intent.kind);
    archive("from", intent.from);
    archive("to", intent.to);
    archive("only_idle", intent.only_idle);
    archive.unless(std::uint64_t{0}, "generation", intent.generation);
  }
};

template <>
struct Layout<HandoffFigures> {
  static void visit(auto& archive, auto& figures) {
    archive("connections", figures.connections);
    archive("lost", figures.lost);
    archive("blackout_us", figures.blackout_us);
  }
};

}  // namespace segue::fleet
