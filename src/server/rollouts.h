// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "fleet/component.h"
#include "fleet/host.h"
#include "fleet/strategy.h"
#include "os/clock.h"
#include "rollout/engine.h"
#include "server/books.h"
#include "server/ledger.h"
#include "server/proxy_shares.h"
#include "server/signing.h"
#include "store/scheduler.h"

namespace segue::server {

struct Deployed {
  std::string rollout;  // its id; empty: nothing was to be done
  fleet::Revision revision = fleet::kNoRevision;
  std::string text;  // for a person: that it begins, waits, or takes another's place
  std::optional<rollout::Progress> plan;  // of a dry run: how it would begin
};

// What somebody wants a component to be from now on.
struct Deployment {
  fleet::ComponentSpec spec;
  fleet::Strategy strategy;
  std::string author;
  std::string title;
  std::vector<fleet::DeploymentSignature> signatures = {};
  bool dry_run = false;                            // nothing is changed; `also` is not called
  static constexpr std::size_t kMaxPlanned = 200;  // instances that a dry run tells of
  // What is to be stored together with it, at most kMaxAlso operations; not called if it is
  // refused.
  static constexpr std::size_t kMaxAlso = 20;
  std::function<void(store::Transaction& transaction, const Deployed& deployed)> also = nullptr;
};

// The engines of all rollouts that are not over, and what they decide written down. Books, ledger,
// scheduler and clock outlive it.
class Rollouts {
 public:
  struct Observer {
    // The host's stored assignments have changed; `revision` is the store's.
    std::function<void(const std::string& host, store::Revision revision)> on_assigned;
    std::function<void(const std::string& rollout, const rollout::Notice& notice)> on_notice;
    // What the host is not silent of.
    std::function<bool(const std::string& host)> is_silent;
    std::function<const fleet::ObservedHost*(const std::string& host)> observed;
    // By whom it is signed, of those who may. permission_denied: a signature does not count.
    std::function<base::Result<Signing>(const Deployment& deployment)> signing;
    // A head is about to be stored in this transaction, to which at most kMaxHeadOperations may be
    // added. `before`: as it was; nullptr: it is new.
    std::function<void(store::Transaction& transaction, const rollout::Rollout* before,
                       const rollout::Rollout& head)>
        on_head = nullptr;
  };
  static constexpr std::size_t kMaxHeadOperations = 2;
  Rollouts(Books& books, Ledger& ledger, store::Scheduler& scheduler, const os::Clock& clock,
           Observer observer);
  ~Rollouts();

  // Goes on with what the books say is not over; once, first.
  void resume();

  // What is wrong with it is an error, and nothing was changed; otherwise it is written down when
  // `on_done` is called.
  using OnDeployed = std::function<void(base::Result<Deployed>)>;
  void deploy(const Deployment& deployment, OnDeployed on_done);
  // One of the events that persons give; failed_precondition, permission_denied, not_found.
  base::Result<void> command(const std::string& rollout, const rollout::Event& event);
  // To all that are not over.
  void stop(const std::string& by, bool on);

  void host_observed(const std::string& host, const fleet::ObservedHost& observed);
  void host_silent(const std::string& host, bool silent);
  void host_drained(const std::string& host, bool drained);
  void host_joined(const HostRecord& host);
  void host_left(const std::string& host);
  void judged(const std::string& rollout, const rollout::Judged& verdict);

  struct WantedGate {
    std::string rollout;
    std::string component;
    rollout::GateWanted gate;
  };
  [[nodiscard]] std::vector<WantedGate> wanted_gates() const;
  // Of those that are not over, and of those that are.
  [[nodiscard]] std::optional<rollout::Progress> progress(const std::string& rollout,
                                                          std::size_t instances = 0) const;
  // Those of one step, likewise.
  [[nodiscard]] std::optional<std::vector<rollout::InstanceProgress>> instances(
      const std::string& rollout, std::uint32_t step, std::size_t first, std::size_t count) const;
  // Of those that are not over; nullptr: there is none.
  [[nodiscard]] const rollout::Engine* engine(const std::string& rollout) const;
  // As stored: what agents may be told.
  [[nodiscard]] const std::map<fleet::InstanceId, fleet::Assignment>& stored() const {
    return stored_;
  }
  [[nodiscard]] const ProxyShares& proxies() const { return proxies_; }

 private:
  struct Active {
    rollout::Engine engine;
    std::optional<base::MonotonicTime> woken_at;  // when a call is on its way
    bool is_over = false;
  };
  struct Wanted;

  [[nodiscard]] rollout::Now now() const;
  [[nodiscard]] std::vector<rollout::HostFacts> facts_for(const rollout::Rollout& head) const;
  [[nodiscard]] rollout::HostFacts facts_of(const HostRecord& host,
                                            const rollout::Rollout& head) const;
  [[nodiscard]] std::vector<rollout::Rollout> under_way(const std::string& component) const;
  [[nodiscard]] std::string older_than(const rollout::Rollout& head) const;
  base::Result<rollout::Changes> begin(rollout::Engine& engine);
  base::Result<rollout::Changes> plan(rollout::Engine& engine) const;
  [[nodiscard]] base::Result<void> check(const Deployment& deployment) const;
  [[nodiscard]] Wanted compare(const Deployment& deployment) const;
  [[nodiscard]] base::Result<Signing> check_signed(const Deployment& deployment,
                                                   const Wanted& wanted) const;
  [[nodiscard]] std::vector<rollout::HostFacts> meant(const Deployment& deployment) const;
  void say_same(const Deployment& deployment, const Wanted& wanted, OnDeployed on_done);
  base::Result<Deployed> try_out(rollout::Engine engine, const Deployment& deployment,
                                 const Signing& signing, Deployed deployed);
  void set_out(rollout::Engine engine, const Deployment& deployment,
               const ComponentRecord& component, const rollout::Admission& admission,
               const Deployed& deployed, const Signing& signing, OnDeployed on_done);
  [[nodiscard]] base::Result<void> check_over(const rollout::Rollout& head,
                                              const rollout::Event& event) const;
  void start(Active& active);
  void resume_lingering();
  [[nodiscard]] std::optional<rollout::Engine> look_back(const std::string& rollout) const;
  void add_signers(rollout::Progress& progress, const rollout::Rollout& head) const;
  void let_go(const std::string& component);
  void take_over(const std::string& rollout, const std::string& by, const std::string& newer);
  void give(Active& active, const rollout::Event& event);
  [[nodiscard]] std::vector<rollout::Observed> observations(const rollout::Engine& engine) const;
  void give_observations(Active& active);
  [[nodiscard]] rollout::Observed observed(const rollout::Rollout& head,
                                           const fleet::InstanceId& instance,
                                           const fleet::Observation& seen) const;
  void proxy_observed(const std::string& host, const std::string& component);
  // A host joined, or is not drained any more, since its component's last rollout.
  [[nodiscard]] bool lacks_hosts(const ComponentRecord& component) const;
  [[nodiscard]] base::Result<void> check_proxy(const fleet::ComponentSpec& spec) const;
  void write(const std::string& rollout, rollout::Changes changes);
  void write_batch(const std::string& rollout, rollout::Batch batch, std::vector<Deed> deeds);
  using Assigned = std::vector<std::pair<fleet::InstanceId, fleet::Assignment>>;
  void take_stored(const Assigned& assigned, store::Revision revision);
  [[nodiscard]] const fleet::ComponentSpec* proxy_spec(const std::string& component,
                                                       const fleet::Assignment& assignment) const;
  [[nodiscard]] fleet::Assignment as_stored(const fleet::InstanceId& instance,
                                            fleet::Assignment assignment) const;
  [[nodiscard]] bool is_gone(const std::string& host) const;
  void end_behind_proxy(const fleet::InstanceId& instance);
  void set_left(const std::string& host, bool has_left);
  void keep_final(store::Transaction& transaction, const rollout::Rollout& head);
  void after(Active& active);
  void wake(Active& active);
  void end_of(const std::string& rollout);
  [[nodiscard]] std::set<std::string> ids_of(const std::string& component) const;

  Books& books_;
  Ledger& ledger_;
  store::Scheduler& scheduler_;
  const os::Clock& clock_;
  Observer observer_;
  std::map<std::string, std::unique_ptr<Active>> active_;  // by id
  std::map<fleet::InstanceId, fleet::Assignment> stored_;
  ProxyShares proxies_;  // of what is stored
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace segue::server
