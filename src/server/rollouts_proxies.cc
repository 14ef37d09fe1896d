// SPDX-License-Identifier: Apache-2.0
// What proxies have to do with the slots of a rollout.
#include <utility>

#include "server/rollouts.h"

namespace segue::server {

using fleet::Slot;

const fleet::ComponentSpec* Rollouts::proxy_spec(const std::string& component,
                                                 const fleet::Assignment& assignment) const {
  const Spec* spec = books_.spec(component, proxied_of(assignment));
  return spec == nullptr ? nullptr : &spec->spec;
}

// With what a proxy has to do with it; a stable slot that ends is what it was until its proxy sends
// nobody there any more.
fleet::Assignment Rollouts::as_stored(const fleet::InstanceId& instance,
                                      fleet::Assignment assignment) const {
  const auto known = books_.assignments.find(instance);
  const fleet::Assignment* before = known == books_.assignments.end() ? nullptr : &known->second;
  const bool is_same = before != nullptr && before->order == assignment.order &&
                       before->revision == assignment.revision;
  if (is_same) {  // but for what is staged
    assignment.proxied = before->proxied;
    assignment.ends = before->ends;
    return assignment;
  }
  assignment.ends.clear();
  assignment.proxied = proxied_after(instance, before, assignment, [&](fleet::Revision revision) {
    const Spec* spec = books_.spec(instance.component, revision);
    return spec != nullptr && fleet::proxy_place(spec->spec.sharing, instance.host);
  });
  const bool ends = instance.slot == Slot::stable && assignment.revision == fleet::kNoRevision &&
                    assignment.proxied != fleet::kNoRevision && before != nullptr &&
                    before->revision != fleet::kNoRevision;
  if (!ends) return assignment;
  fleet::Assignment until_then = *before;
  until_then.ends = assignment.order;
  until_then.proxied = assignment.proxied;
  return until_then;
}

bool Rollouts::is_gone(const std::string& host) const {
  const auto found = books_.hosts.find(host);
  return found == books_.hosts.end() || found->second.revoked || observer_.is_silent(host);
}

void Rollouts::end_behind_proxy(const fleet::InstanceId& instance) {
  const auto known = books_.assignments.find(instance);
  const auto stored = stored_.find(instance);
  if (known == books_.assignments.end() || known->second.ends.empty() || stored == stored_.end() ||
      stored->second != known->second) {
    return;
  }
  const std::string proxy_host = proxies_.proxy_host(instance);
  if (!proxies_.may_end(instance, observer_.observed(proxy_host), is_gone(proxy_host))) return;
  const fleet::Assignment ended{.order = known->second.ends, .proxied = known->second.proxied};
  known->second = ended;
  store::Transaction transaction;
  transaction.put(assignment_key(instance), write_record(ended));
  ledger_.write(std::move(transaction), {},
                [this, alive = std::weak_ptr<char>(alive_),
                 assigned = Assigned{{instance, ended}}](store::Revision revision) {
                  if (!alive.expired()) take_stored(assigned, revision);
                });
}

rollout::Observed Rollouts::observed(const rollout::Rollout& head,
                                     const fleet::InstanceId& instance,
                                     const fleet::Observation& seen) const {
  rollout::Observed told{instance.host, instance.slot, seen};
  const std::string proxy_host = proxies_.proxy_host(instance);
  if (proxy_host.empty()) return told;
  const bool goes_back =
      head.phase == rollout::Phase::undoing || head.phase == rollout::Phase::undone;
  auto look = proxies_.look(instance, seen, observer_.observed(proxy_host),
                            observer_.is_silent(proxy_host), goes_back);
  told.observation = std::move(look.observation);
  told.may_be_sent_to = look.may_be_sent_to;
  return told;
}

// Nobody leads what runs there: proxies send nobody new to its canaries. By what is stored by then.
void Rollouts::set_left(const std::string& host, bool has_left) {
  ledger_.write(
      {}, {},
      [this, alive = std::weak_ptr<char>(alive_), host, has_left](store::Revision revision) {
        if (alive.expired()) return;
        for (const auto& one : proxies_.left(host, has_left)) {
          observer_.on_assigned(one, revision);
        }
      });
}

}  // namespace segue::server
