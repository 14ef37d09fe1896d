// SPDX-License-Identifier: Apache-2.0
#include "store/etcd_store.h"

#include <utility>

#include "store/commit_rules.h"

namespace segue::store {

using base::Error;
using base::ErrorCode;
using base::fail;
using base::Result;
using etcd::Refusal;
using Kind = EtcdClient::Kind;
using Body = tl::expected<std::string, Refusal>;

EtcdStore::EtcdStore(EtcdSettings settings, LoopScheduler& scheduler, os::EpollLoop& loop,
                     const os::Clock& clock)
    : client_(std::move(settings), scheduler, loop, clock), watches_(client_) {}

std::string EtcdStore::name() const {
  std::string text;
  for (const std::string& member : client_.settings().members) {
    text += (text.empty() ? "" : ",") + member;
  }
  return "etcd at " + text + " below " + client_.settings().root;
}

void EtcdStore::get(std::string key, OnReading on_reading) {
  const std::string& root = client_.settings().root;
  client_.request(Kind::repeatable, "kv/range", etcd::get_body(root, key),
                  [this, on_reading = std::move(on_reading)](const Body& body) {
                    if (!body) return on_reading(fail(body.error().error));
                    on_reading(etcd::read_entry(*body, client_.settings().root));
                  });
}

void EtcdStore::list(ListQuery query, OnPage on_page) {
  if (auto valid = check(query); !valid) {
    return client_.at(
        base::Duration(0),
        [on_page = std::move(on_page), error = std::move(valid).error()] { on_page(fail(error)); });
  }
  const std::size_t limit = query.limit;
  list_at_most(std::move(query), limit, std::move(on_page));
}

// etcd bounds a page by its entries only: when they are too long, fewer.
void EtcdStore::list_at_most(ListQuery query, std::size_t limit, OnPage on_page) {
  std::string body = etcd::list_body(client_.settings().root, query, limit);
  client_.request(
      Kind::repeatable, "kv/range", std::move(body),
      [this, query = std::move(query), limit, on_page = std::move(on_page)](const Body& answer) {
        if (answer) return on_page(etcd::read_page(*answer, client_.settings().root, query));
        if (answer.error().error.code() == ErrorCode::resource_exhausted && limit > 1) {
          return list_at_most(query, (limit + 3) / 4, on_page);
        }
        on_page(fail(answer.error().error));
      });
}

void EtcdStore::commit(Transaction transaction, OnCommit on_commit) {
  if (auto valid = check(transaction); !valid) {
    return client_.at(base::Duration(0),
                      [on_commit = std::move(on_commit), error = std::move(valid).error()] {
                        on_commit(not_committed(error));
                      });
  }
  std::string body = etcd::commit_body(client_.settings().root, transaction);
  for (Operation& operation : transaction.operations) operation.value.clear();
  client_.request(
      Kind::once, "kv/txn", std::move(body),
      [this, transaction = std::move(transaction),
       on_commit = std::move(on_commit)](const Body& answer) {
        if (!answer && answer.error().kind == Refusal::Kind::unclear) {
          return on_commit(unknown(answer.error().error));
        }
        if (!answer) return on_commit(not_committed(answer.error().error));
        auto result = etcd::read_commit(*answer, transaction);
        if (!result) {
          return on_commit(unknown(Error(ErrorCode::unknown_outcome, result.error().message())));
        }
        if (*result) forget_old(**result);
        on_commit(*std::move(result));
      });
}

std::unique_ptr<Watch> EtcdStore::watch(std::string prefix, Revision first) {
  return watches_.watch(std::move(prefix), first);
}

void EtcdStore::forget_old(Revision now) {
  const Revision kept = client_.settings().history_revisions;
  if (kept == 0 || now < kept + kept / 4 || now - kept < compacted_ + kept / 4) return;
  compacted_ = now - kept;
  // One that fails is made up for by the next.
  compact(compacted_, [](const Result<void>&) {});
}

void EtcdStore::compact(Revision revision, OnDone on_done) {
  if (revision <= 1) {
    return client_.at(base::Duration(0), [on_done = std::move(on_done)] { on_done({}); });
  }
  client_.request(Kind::repeatable, "kv/compaction", etcd::compact_body(revision - 1),
                  [revision, on_done = std::move(on_done)](const Body& body) {
                    if (body || body.error().is_compacted) return on_done({});
                    if (body.error().is_future) return on_done(fail(no_revision(revision)));
                    on_done(fail(body.error().error));
                  });
}

void EtcdStore::grant_lease(base::Duration ttl, OnLease on_lease) {
  if (auto valid = check_lease_ttl(ttl); !valid) {
    return client_.at(base::Duration(0),
                      [on_lease = std::move(on_lease), error = std::move(valid).error()] {
                        on_lease(fail(error));
                      });
  }
  // One granted and not heard of ends by itself.
  client_.request(Kind::repeatable, "lease/grant", etcd::grant_body(ttl),
                  [on_lease = std::move(on_lease)](const Body& body) {
                    if (!body) return on_lease(fail(body.error().error));
                    on_lease(etcd::read_grant(*body));
                  });
}

void EtcdStore::keep_alive(LeaseId lease, OnDone on_done) {
  client_.request(Kind::repeatable, "lease/keepalive", etcd::lease_body(lease),
                  [lease, on_done = std::move(on_done)](const Body& body) {
                    if (!body) return on_done(fail(body.error().error));
                    on_done(etcd::read_keep_alive(*body, lease));
                  });
}

void EtcdStore::revoke_lease(LeaseId lease, OnDone on_done) {
  client_.request(Kind::repeatable, "lease/revoke", etcd::lease_body(lease),
                  [lease, on_done = std::move(on_done)](const Body& body) {
                    if (body) return on_done({});
                    if (body.error().error.code() == ErrorCode::not_found) {
                      return on_done(fail(no_lease(lease)));
                    }
                    on_done(fail(body.error().error));
                  });
}

}  // namespace segue::store
