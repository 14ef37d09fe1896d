// SPDX-License-Identifier: Apache-2.0
#include "server/server_list.h"

#include <utility>

#include "fleet/servers.h"

namespace segue::server {

using base::Result;

ServerList::ServerList(store::Store& store, store::Scheduler& scheduler, const base::Log& log,
                       OnChange on_change)
    : store_(store), scheduler_(scheduler), log_(log), on_change_(std::move(on_change)) {}

void ServerList::begin() {
  list();
}

void ServerList::announce(ServerRecord own) {
  own_ = std::move(own);
  if (is_listed_) write_own();
}

std::vector<ServerRecord> ServerList::all() const {
  std::vector<ServerRecord> all;
  if (own_) all.push_back(*own_);
  for (const auto& [name, server] : servers_) {
    const bool is_own = own_ && name == own_->name;
    if (!is_own && all.size() < fleet::kMaxServers) all.push_back(server);
  }
  return all;
}

void ServerList::try_again(const base::Error& why, void (ServerList::*what)()) {
  if (complaint_ != why.message()) {
    complaint_ = why.message();
    log_.warning("server.list-not-kept", {{"why", why.to_string()}});
  }
  scheduler_.call_at(scheduler_.now() + kRetry, [this, what, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) (this->*what)();
  });
}

void ServerList::list() {
  watch_.reset();
  store_.list({.prefix = std::string(kServers)},
              [this, alive = std::weak_ptr(alive_)](const Result<store::Page>& page) {
                if (!alive.expired()) listed(page);
              });
}

// A second page would be of servers that nobody is told of.
void ServerList::listed(const Result<store::Page>& page) {
  if (!page) return try_again(page.error(), &ServerList::list);
  complaint_.clear();
  servers_.clear();
  for (const auto& entry : page->entries) add(entry.key, entry.value);
  is_listed_ = true;
  watch(page->revision + 1);
  write_own();
  on_change_();
}

void ServerList::add(const std::string& key, const std::string& value) {
  auto server = read_record<ServerRecord>(value);
  if (server && fleet::is_server_address(server->agents)) {
    servers_[key.substr(kServers.size())] = *std::move(server);
    return;
  }
  log_.warning("server.record-passed-over", {{"key", key}});
}

void ServerList::watch(store::Revision first) {
  watch_ = store_.watch(std::string(kServers), first);
  watch_->next([this, alive = std::weak_ptr(alive_)](const auto& change) {
    if (!alive.expired()) take(change);
  });
}

void ServerList::take(const tl::expected<store::Change, store::WatchEnd>& change) {
  if (!change) return try_again(change.error().error, &ServerList::list);
  for (const auto& event : change->events) {
    if (event.kind == store::Event::Kind::put) {
      add(event.key, event.value);
    } else {
      servers_.erase(event.key.substr(kServers.size()));
    }
  }
  watch_->next([this, alive = std::weak_ptr(alive_)](const auto& next) {
    if (!alive.expired()) take(next);
  });
  on_change_();
}

// Written twice it is as it was.
void ServerList::write_own() {
  if (!own_ || is_writing_) return;
  const auto known = servers_.find(own_->name);
  if (known != servers_.end() && known->second == *own_) return;
  is_writing_ = true;
  store::Transaction transaction;
  transaction.put(server_key(own_->name), write_record(*own_));
  store_.commit(std::move(transaction), [this, written = *own_, alive = std::weak_ptr(alive_)](
                                            const store::CommitResult& result) {
    if (alive.expired()) return;
    is_writing_ = false;
    if (!result) return try_again(result.error().error, &ServerList::write_own);
    servers_[written.name] = written;
    write_own();
  });
}

}  // namespace segue::server
