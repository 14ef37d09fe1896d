// SPDX-License-Identifier: Apache-2.0
// The metadata that is trusted so far, and the checks by which more becomes so: specification 1.0,
// section 5. Bytes are verified before anything in them is believed; what fails changes nothing.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "tuf/envelope.h"
#include "tuf/metadata.h"

namespace segue::tuf {

class TrustedMetadata {
 public:
  // Trusts a root because of where it comes from; it has to be signed by its own keys. `now` is the
  // time of the whole update (5.1, 5.2).
  static base::Result<TrustedMetadata> start(std::string_view root_bytes, Time now);

  // The next root (5.3.4 to 5.3.7). True: the keys of timestamp or snapshot have changed, and what
  // is trusted of these two is to be forgotten (5.3.11).
  base::Result<bool> update_root(std::string_view bytes);
  // After the last root (5.3.10).
  [[nodiscard]] base::Result<void> check_root_expiry() const;

  // What an earlier update left: not new, so perhaps expired. It serves to see rollbacks by.
  base::Result<void> recall_timestamp(std::string_view bytes);
  // 5.4.2 to 5.4.4. False: it has the version that is trusted already, and is not to be kept.
  base::Result<bool> update_timestamp(std::string_view bytes);

  // Likewise. True: it is the one that the timestamp names, and no other has to be fetched.
  base::Result<bool> recall_snapshot(std::string_view bytes);
  // 5.5.2 to 5.5.6.
  base::Result<void> update_snapshot(std::string_view bytes);

  // 5.6.2 to 5.6.5 of the top-level role, and of a role that `delegator` delegates to.
  [[nodiscard]] base::Result<Targets> check_targets(std::string_view bytes) const;
  [[nodiscard]] base::Result<Targets> check_delegated(std::string_view bytes,
                                                      const Delegations& delegator,
                                                      const DelegatedRole& role) const;

  [[nodiscard]] const Root& root() const { return root_; }
  [[nodiscard]] bool consistent_snapshot() const {
    return root_.consistent_snapshot.value_or(false);
  }
  // Only after an update_timestamp.
  [[nodiscard]] const Timestamp& timestamp() const { return *timestamp_; }
  // Only once the snapshot is the timestamp's.
  [[nodiscard]] const Snapshot& snapshot() const { return *snapshot_; }
  [[nodiscard]] Time now() const { return now_; }

 private:
  TrustedMetadata(Root root, Time now) : root_(std::move(root)), now_(now) {}
  template <class Metadata>
  [[nodiscard]] base::Result<Metadata> verified(std::string_view bytes) const;
  template <class Metadata>
  [[nodiscard]] base::Result<void> check_expiry(const Metadata& metadata,
                                                std::string_view role) const;
  [[nodiscard]] base::Result<void> check_no_rollback(const Snapshot& snapshot) const;
  [[nodiscard]] base::Result<Targets> check_role(std::string_view bytes, const Keys& keys,
                                                 const RoleKeys& role_keys,
                                                 std::string_view role) const;

  Root root_;
  Time now_;
  std::optional<Timestamp> timestamp_;
  std::optional<Snapshot> snapshot_;
};

}  // namespace segue::tuf
