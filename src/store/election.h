// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "store/scheduler.h"
#include "store/store.h"

namespace segue::store {

// Which of several servers leads: the one that has put a key that was absent, under a lease that it
// keeps alive. The key's revision is the fencing token: a leader gives `guard` to each of its
// transactions, and one that has been deposed can commit nothing, whatever its clock and its
// network make it believe. On a store of one server it is won at once.
class Election {
 public:
  struct Settings {
    std::string key;        // "election/server"
    std::string candidate;  // who this is, for the others: an address; unlike all others
    base::Duration ttl = std::chrono::seconds(10);  // after a leader's end another leads
  };

  struct Leader {
    std::string candidate;
    Revision token = 0;
    friend bool operator==(const Leader&, const Leader&) = default;
  };

  struct Observer {
    std::function<void(const Compare& guard)> on_elected;
    // After on_elected: resigned, or cut off for as long as the lease lasts, or the key is gone.
    // The campaign goes on, unless it was resign().
    std::function<void(const std::string& why)> on_deposed;
    // Whenever somebody else, or nobody, is seen to lead.
    std::function<void(const std::optional<Leader>& leader)> on_leader;
  };

  // Store and scheduler outlive it. Nothing happens before campaign(). No observer is called inside
  // a call of this object's.
  Election(Store& store, Scheduler& scheduler, Settings settings, Observer observer);
  Election(const Election&) = delete;
  Election& operator=(const Election&) = delete;
  // Like a crash: others lead when the lease has ended. resign() is quicker.
  ~Election();

  // Until resign().
  void campaign();
  // Gives the leadership back, and stays out of the campaign. `on_done` when others may lead; an
  // error: when the lease has ended.
  void resign(Store::OnDone on_done);

  // While it leads, as far as it knows: not once its lease may have ended, whoever has been told of
  // that so far.
  [[nodiscard]] std::optional<Compare> guard() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace segue::store
