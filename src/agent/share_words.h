// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/component_commands.h"
#include "reconcile/decider.h"

namespace segue::agent {

// The command line that gives the canary slot its share of new connections. None: nobody splits
// them, and nothing has to be done for a share of 0. `spec` is of the revision that serves in the
// slot; null: it is not known here. failed_precondition: it cannot have a share, and why.
base::Result<Words> share_words(const InstanceHome& home, const reconcile::InstanceKey& key,
                                const fleet::ComponentSpec* spec,
                                const reconcile::SetShare& command);

}  // namespace segue::agent
