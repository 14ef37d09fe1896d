// SPDX-License-Identifier: Apache-2.0
#include <set>
#include <utility>

#include "store/store.h"

namespace segue::store {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

Result<void> check_key(const std::string& key) {
  if (key.empty()) return fail(ErrorCode::invalid_argument, "a key is empty");
  if (key.size() > kMaxKeyBytes) {
    return fail(ErrorCode::invalid_argument, "key '{}…' has {} bytes, {} are allowed",
                key.substr(0, 40), key.size(), kMaxKeyBytes);
  }
  return {};
}

}  // namespace

Transaction& Transaction::expect(std::string key, Revision modified) {
  compares.push_back({.key = std::move(key), .modified = modified});
  return *this;
}

Transaction& Transaction::put(std::string key, std::string value, LeaseId lease) {
  operations.push_back({.kind = Operation::Kind::put,
                        .key = std::move(key),
                        .value = std::move(value),
                        .lease = lease});
  return *this;
}

Transaction& Transaction::erase(std::string key) {
  operations.push_back(
      {.kind = Operation::Kind::erase, .key = std::move(key), .value = {}, .lease = 0});
  return *this;
}

Result<void> check(const Transaction& transaction) {
  const std::size_t compares = transaction.compares.size() + (transaction.guard ? 1 : 0);
  if (transaction.operations.size() > kMaxOperations || compares > kMaxOperations) {
    return fail(ErrorCode::invalid_argument,
                "a transaction of {} operations and {} compares; {} of each are allowed",
                transaction.operations.size(), compares, kMaxOperations);
  }
  std::size_t bytes = 0;
  if (transaction.guard) SEGUE_TRY(check_key(transaction.guard->key));
  for (const Compare& compare : transaction.compares) {
    SEGUE_TRY(check_key(compare.key));
    bytes += compare.key.size();
  }
  std::set<std::string_view> keys;
  for (const Operation& operation : transaction.operations) {
    SEGUE_TRY(check_key(operation.key));
    if (!keys.insert(operation.key).second) {
      return fail(ErrorCode::invalid_argument, "key '{}' is changed twice in a transaction",
                  operation.key);
    }
    if (operation.value.size() > kMaxValueBytes) {
      return fail(ErrorCode::invalid_argument, "the value of '{}' has {} bytes, {} are allowed",
                  operation.key, operation.value.size(), kMaxValueBytes);
    }
    bytes += operation.key.size() + operation.value.size();
  }
  if (bytes > kMaxTransactionBytes) {
    return fail(ErrorCode::invalid_argument, "a transaction of {} bytes, {} are allowed", bytes,
                kMaxTransactionBytes);
  }
  return {};
}

}  // namespace segue::store
