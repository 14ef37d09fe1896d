// SPDX-License-Identifier: Apache-2.0
#include "store/commit_rules.h"

#include <algorithm>

namespace segue::store {

using base::Error;
using base::ErrorCode;
using base::fail;
using base::Result;
using Kind = CommitFailure::Kind;

tl::unexpected<CommitFailure> not_committed(Error error) {
  return tl::unexpected(
      CommitFailure{.kind = Kind::not_committed, .key = {}, .found = 0, .error = std::move(error)});
}

tl::unexpected<CommitFailure> unknown(Error error) {
  return tl::unexpected(
      CommitFailure{.kind = Kind::unknown, .key = {}, .found = 0, .error = std::move(error)});
}

tl::unexpected<CommitFailure> broken_compare(const std::string& key, Revision found,
                                             bool is_guard) {
  return tl::unexpected(CommitFailure{
      .kind = is_guard ? Kind::deposed : Kind::conflict,
      .key = key,
      .found = found,
      .error = Error(ErrorCode::aborted,
                     is_guard ? fmt::format("this server does not lead any more (key '{}')", key)
                              : fmt::format("key '{}' has been changed meanwhile", key))});
}

Error no_lease(LeaseId lease) {
  return {ErrorCode::not_found, fmt::format("there is no lease {:x}", lease)};
}

Error no_revision(Revision revision) {
  return {ErrorCode::invalid_argument, fmt::format("there is no revision {} yet", revision)};
}

Result<std::optional<CommitFailure>> find_broken_compare(
    const Transaction& transaction,
    const std::function<Result<Revision>(const std::string& key)>& modified) {
  if (transaction.guard) {
    SEGUE_ASSIGN(const Revision found, modified(transaction.guard->key));
    if (found != transaction.guard->modified) {
      return broken_compare(transaction.guard->key, found, true).value();
    }
  }
  for (const Compare& compare : transaction.compares) {
    SEGUE_ASSIGN(const Revision found, modified(compare.key));
    if (found != compare.modified) return broken_compare(compare.key, found, false).value();
  }
  return std::nullopt;
}

Event event_of(const Operation& operation) {
  if (operation.kind == Operation::Kind::put) {
    return {.kind = Event::Kind::put, .key = operation.key, .value = operation.value};
  }
  return {.kind = Event::Kind::erase, .key = operation.key, .value = {}};
}

void sort_events(Change& change) {
  std::sort(change.events.begin(), change.events.end(),
            [](const Event& left, const Event& right) { return left.key < right.key; });
}

Result<void> check(const ListQuery& query) {
  if (query.limit == 0 || query.limit > kMaxPageEntries) {
    return fail(ErrorCode::invalid_argument, "a page of {} entries; 1 to {} are allowed",
                query.limit, kMaxPageEntries);
  }
  if (query.prefix.size() > kMaxKeyBytes || query.after.size() > kMaxKeyBytes) {
    return fail(ErrorCode::invalid_argument, "no key has more than {} bytes", kMaxKeyBytes);
  }
  return {};
}

Result<void> check_lease_ttl(base::Duration ttl) {
  constexpr auto kShortest = std::chrono::seconds(2);
  constexpr auto kLongest = std::chrono::hours(24);
  if (ttl >= kShortest && ttl <= kLongest) return {};
  return fail(ErrorCode::invalid_argument, "a lease lasts from {} s to {} s", kShortest.count(),
              std::chrono::seconds(kLongest).count());
}

std::string end_of_prefix(std::string prefix) {
  while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == UINT8_MAX) {
    prefix.pop_back();
  }
  if (!prefix.empty()) prefix.back() = static_cast<char>(prefix.back() + 1);
  return prefix;
}

PageBuilder::PageBuilder(const ListQuery& query, Revision revision) : limit_(query.limit) {
  page_.revision = revision;
}

bool PageBuilder::add(Entry entry) {
  bytes_ += entry.key.size() + entry.value.size();
  if (page_.entries.size() >= limit_ || (bytes_ > kMaxPageBytes && !page_.entries.empty())) {
    page_.has_more = true;
    return false;
  }
  page_.entries.push_back(std::move(entry));
  return true;
}

}  // namespace segue::store
