// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "store/etcd_client.h"
#include "store/etcd_watch.h"
#include "store/store.h"

namespace segue::store {

// An etcd cluster (3.4 or later) through its HTTP/JSON gateway, for several servers. Requests go to
// one member until it fails them, then to the next. Commits that were sent and not answered are
// `unknown`, never sent again. Requests that do not wait for each other may be done in any order.
class EtcdStore final : public Store {
 public:
  // Scheduler, loop and clock outlive it. It connects when it is asked something.
  EtcdStore(EtcdSettings settings, LoopScheduler& scheduler, os::EpollLoop& loop,
            const os::Clock& clock);

  void get(std::string key, OnReading on_reading) override;
  void list(ListQuery query, OnPage on_page) override;
  void commit(Transaction transaction, OnCommit on_commit) override;
  [[nodiscard]] std::unique_ptr<Watch> watch(std::string prefix, Revision first) override;
  void compact(Revision revision, OnDone on_done) override;
  void grant_lease(base::Duration ttl, OnLease on_lease) override;
  void keep_alive(LeaseId lease, OnDone on_done) override;
  void revoke_lease(LeaseId lease, OnDone on_done) override;
  [[nodiscard]] std::string name() const override;

 private:
  void list_at_most(ListQuery query, std::size_t limit, OnPage on_page);
  void forget_old(Revision now);

  EtcdClient client_;
  EtcdWatches watches_;
  Revision compacted_ = 0;  // as far as this server has asked for it
};

}  // namespace segue::store
