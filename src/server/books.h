// SPDX-License-Identifier: Apache-2.0
// Everything that is stored, in memory, as the server goes by it. It is read once, when this server
// begins to lead; from then on this server alone changes it, and the store follows (ledger.h).
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "fleet/component.h"
#include "fleet/instance.h"
#include "rollout/rollout.h"
#include "server/documents.h"
#include "server/people.h"
#include "server/requests.h"
#include "server/signing.h"
#include "server/webhook_record.h"
#include "store/store.h"

namespace segue::server {

struct Spec {
  fleet::ComponentSpec spec;
  std::string document;  // as agents get it
  std::vector<RevisionSignature> signatures = {};
};

struct StoredRollout {
  rollout::Rollout head;
  std::vector<rollout::InstanceRecord> records;
};

struct Books {
  FleetRecord fleet;
  AuditHead audit;
  store::Revision audit_modified = 0;  // 0: there is none
  std::map<std::string, HostRecord> hosts;
  std::map<std::string, TokenRecord> tokens;
  std::map<std::string, Person> people;
  std::map<std::string, ComponentRecord> components;
  std::map<std::pair<std::string, fleet::Revision>, Spec> specs;
  std::map<fleet::InstanceId, fleet::Assignment> assignments;
  std::map<std::string, StoredRollout> rollouts;
  std::map<std::string, WebhookRecord> webhooks;
  std::map<std::uint64_t, Notification> outbox;   // by number
  std::map<std::string, RequestRecord> requests;  // by id
  std::map<std::string, std::string> gates;       // by rollout (gate_keeper.h)
  store::Revision revision = 0;                   // nothing above it was read

  [[nodiscard]] const Spec* spec(const std::string& component, fleet::Revision number) const;
};

using TakeBooks = std::function<void(base::Result<Books>)>;
// `take` is called once; the store outlives that. data_loss names the key whose value is damaged.
// A store without a fleet gives books whose fleet.id is empty.
void read_books(store::Store& store, TakeBooks take);

// Whether a component whose revision this is belongs on the host.
bool selects(const fleet::HostSelector& selector, const HostRecord& host);

}  // namespace segue::server
