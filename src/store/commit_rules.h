// SPDX-License-Identifier: Apache-2.0
// What the implementations of Store share.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "store/store.h"

namespace segue::store {

[[nodiscard]] tl::unexpected<CommitFailure> not_committed(base::Error error);
[[nodiscard]] tl::unexpected<CommitFailure> unknown(base::Error error);
[[nodiscard]] tl::unexpected<CommitFailure> broken_compare(const std::string& key, Revision found,
                                                           bool is_guard);
[[nodiscard]] base::Error no_lease(LeaseId lease);
[[nodiscard]] base::Error no_revision(Revision revision);

// The guard first, then the compares in their order; nothing when all hold.
base::Result<std::optional<CommitFailure>> find_broken_compare(
    const Transaction& transaction,
    const std::function<base::Result<Revision>(const std::string& key)>& modified);

[[nodiscard]] Event event_of(const Operation& operation);
void sort_events(Change& change);

// invalid_argument: a limit of 0, or keys that are too long.
base::Result<void> check(const ListQuery& query);
base::Result<void> check_lease_ttl(base::Duration ttl);

// The key after all that begin with `prefix`; empty: there is none.
[[nodiscard]] std::string end_of_prefix(std::string prefix);

// Fills a page up to its limits.
class PageBuilder {
 public:
  PageBuilder(const ListQuery& query, Revision revision);
  // False: it does not fit, and nothing after it will.
  bool add(Entry entry);
  [[nodiscard]] Page take() && { return std::move(page_); }

 private:
  Page page_;
  std::size_t limit_;
  std::size_t bytes_ = 0;
};

}  // namespace segue::store
