// SPDX-License-Identifier: Apache-2.0
// What is said to etcd 3.4 through its HTTP/JSON gateway, and what it answers. Pure.
// https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/ and rpc.proto of etcd 3.4.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/base64.h"
#include "base/error.h"
#include "store/store.h"

namespace segue::store::etcd {

using base::from_base64;
using base::to_base64;

// Bodies of requests. `root` is what stands before each key of the store.
[[nodiscard]] std::string get_body(const std::string& root, const std::string& key);
[[nodiscard]] std::string list_body(const std::string& root, const ListQuery& query,
                                    std::size_t limit);
// When a compare does not hold, the answer tells the revisions of all of them.
[[nodiscard]] std::string commit_body(const std::string& root, const Transaction& transaction);
// From the revision before `first`: etcd shows a revision that it has compacted to without what
// was erased in it, and refuses the one before.
[[nodiscard]] std::string watch_body(const std::string& root, const std::string& prefix,
                                     Revision first);
[[nodiscard]] std::string compact_body(Revision revision);
[[nodiscard]] std::string grant_body(base::Duration ttl);
[[nodiscard]] std::string lease_body(LeaseId lease);

// Bodies of answers with status 200. data_loss: it is not what etcd says.
base::Result<Page> read_page(std::string_view body, const std::string& root,
                             const ListQuery& query);
base::Result<Reading> read_entry(std::string_view body, const std::string& root);
// data_loss: it cannot be said whether it is committed.
base::Result<CommitResult> read_commit(std::string_view body, const Transaction& transaction);
base::Result<LeaseId> read_grant(std::string_view body);
// not_found: the lease has ended.
base::Result<void> read_keep_alive(std::string_view body, LeaseId lease);

// Any other answer.
struct Refusal {
  enum class Kind {
    passing,  // it has not been done; another member, or a later time, may do it
    refused,  // it has not been done, and will not be
    unclear,  // it may be done
  };
  Kind kind = Kind::unclear;
  base::Error error;
  bool is_compacted = false;  // what was asked for is forgotten
  bool is_future = false;     // or has not come yet
};
[[nodiscard]] Refusal read_refusal(long status, std::string_view body);

// The stream of a watch: lines of JSON, as they come.
class WatchReader {
 public:
  static constexpr std::size_t kMaxLineBytes = std::size_t{8} << 20;
  // Of one revision, in fragments.
  static constexpr std::size_t kMaxChangeBytes = std::size_t{4} << 20;

  // Changes from `first` on, with the root taken off.
  WatchReader(std::string root, Revision first) : root_(std::move(root)), first_(first) {}

  using OnChange = std::function<void(Change change)>;
  // True: the stream goes on. An error: failed_precondition when what is wanted is compacted,
  // unavailable when the stream has to be made anew, others when that does not help.
  base::Result<void> take(std::string_view bytes, const OnChange& on_change);

 private:
  base::Result<void> take_line(std::string_view line, const OnChange& on_change);
  void emit(const OnChange& on_change);

  std::string root_;
  Revision first_;
  std::string line_;
  Change change_;  // not known to be whole
  std::size_t change_bytes_ = 0;
};

}  // namespace segue::store::etcd
