// SPDX-License-Identifier: Apache-2.0
// The audit log: each entry holds the digest of the one before it, so that none can be changed,
// taken out or put in between without that being seen by whoever knows a later digest.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace segue::fleet {

struct AuditEntry {
  std::uint64_t number = 0;  // from 1 on, without gaps
  std::uint64_t time_ms = 0;
  std::string by;
  std::string action;
  std::string object;
  std::string text;
  std::string previous;  // audit_digest() of entry number-1; empty for the first

  bool operator==(const AuditEntry&) const = default;
};

// One line, with its end.
std::string write_audit_entry(const AuditEntry& entry);
base::Result<AuditEntry> read_audit_entry(std::string_view line);

// SHA-256 of the line, in hexadecimal digits.
std::string audit_digest(std::string_view line);

// Goes through a log entry by entry.
class AuditVerifier {
 public:
  // data_loss: says at which entry what does not fit.
  base::Result<void> take(std::string_view line);

  [[nodiscard]] std::uint64_t count() const { return count_; }
  // To be compared with what was written down elsewhere.
  [[nodiscard]] const std::string& digest() const { return digest_; }

 private:
  std::uint64_t count_ = 0;
  std::string digest_;
};

}  // namespace segue::fleet
