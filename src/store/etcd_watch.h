// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "store/etcd_client.h"
#include "store/store.h"

namespace segue::store {

// The watches of an EtcdStore, each a stream from the member that its requests go to: they move on
// when that does, or when their stream ends, and go on where they were.
class EtcdWatches {
 public:
  // The client outlives it.
  explicit EtcdWatches(EtcdClient& client);
  EtcdWatches(const EtcdWatches&) = delete;
  EtcdWatches& operator=(const EtcdWatches&) = delete;
  ~EtcdWatches();

  [[nodiscard]] std::unique_ptr<Watch> watch(std::string prefix, Revision first);

 private:
  struct State;
  class EtcdWatch;
  using Shared = std::shared_ptr<State>;

  void open(const Shared& state);
  void end_stream(const Shared& state, const fetch::HttpPostEnd& end);
  void queue(State& state, Change change);
  void finish(const Shared& state, WatchEnd::Reason reason, base::Error error);
  void deliver_later(const Shared& state);
  void close(State& state);
  void move_all();
  void look_at_member();
  std::vector<Shared> all();

  EtcdClient* client_;
  std::vector<std::weak_ptr<State>> states_;
  bool is_looking_ = false;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace segue::store
