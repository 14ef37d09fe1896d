// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "base/log.h"
#include "os/clock.h"
#include "server/books.h"
#include "server/gate_watch.h"
#include "server/ledger.h"
#include "server/metric_asker.h"
#include "server/rollouts.h"
#include "store/scheduler.h"

namespace segue::server {

// Judges the gates that rollouts wait for: looks at what they name, again and again, and tells the
// rollouts what follows. What it has seen survives this server.
class GateKeeper {
 public:
  static constexpr base::Duration kTick = std::chrono::seconds(1);
  // What was seen is written down at least so often while something is seen.
  static constexpr milliseconds kKeptEvery = std::chrono::seconds(10);

  struct Parts {
    Rollouts& rollouts;
    const Books& books;
    Ledger& ledger;
    MetricAsker& asker;
    store::Scheduler& scheduler;
    const os::Clock& clock;
    const base::Log& log;
    std::function<const fleet::ObservedHost*(const std::string& host)> observed;
  };
  // All of it outlives it.
  explicit GateKeeper(Parts parts);

  // Once; from then on it looks by itself.
  void begin();

 private:
  struct Watched {
    GateWatch watch;
    base::MonotonicTime next_look{};
    bool is_asking = false;
    rollout::GateState told;
  };
  using Key = std::pair<std::string, std::string>;  // rollout, gate

  void tick();
  void visit(const Rollouts::WantedGate& wanted);
  Watched& watched(const Key& key, const fleet::Gate& gate, const rollout::Rollout& head);
  void look(const Key& key, Watched& one, const rollout::Rollout& head);
  void take(const Key& key, const GateLook& seen);
  void tell(const Key& key, Watched& one);
  void keep(const std::string& rollout, bool now);
  void forget_what_is_over(const std::set<Key>& wanted);
  [[nodiscard]] MovedFigures figures_of(const rollout::Engine& engine) const;
  [[nodiscard]] milliseconds now() const;

  Parts parts_;
  std::map<Key, Watched> watched_;
  std::map<std::string, std::string> stored_;  // by rollout: what the store has
  std::map<std::string, milliseconds> kept_at_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace segue::server
