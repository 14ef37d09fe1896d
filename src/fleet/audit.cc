// SPDX-License-Identifier: Apache-2.0
#include "fleet/audit.h"

#include "crypto/digest.h"
#include "fleet/layout.h"

namespace segue::fleet {

template <>
struct Layout<AuditEntry> {
  static void visit(auto& archive, auto& entry) {
    archive("number", entry.number);
    archive("time_ms", entry.time_ms);
    archive("by", entry.by);
    archive("action", entry.action);
    archive("object", entry.object);
    archive("text", entry.text);
    archive("previous", entry.previous);
  }
};

namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxEntryBytes = std::size_t{64} << 10;

}  // namespace

std::string write_audit_entry(const AuditEntry& entry) {
  AuditEntry written = entry;
  for (std::string* text : {&written.by, &written.action, &written.object, &written.text}) {
    *text = short_text(*text);
  }
  return write_document("segue_audit", 1, written);
}

Result<AuditEntry> read_audit_entry(std::string_view line) {
  return read_document<AuditEntry>("segue_audit", 1, line, kMaxEntryBytes,
                                   "an entry of the audit log");
}

std::string audit_digest(std::string_view line) {
  return crypto::to_hex(crypto::digest_of(line));
}

Result<void> AuditVerifier::take(std::string_view line) {
  const auto entry = read_audit_entry(line);
  if (!entry) {
    return fail(ErrorCode::data_loss, "entry {} is damaged: {}", count_ + 1,
                entry.error().message());
  }
  if (entry->number != count_ + 1) {
    return fail(ErrorCode::data_loss, "after entry {} comes entry {}", count_, entry->number);
  }
  if (entry->previous != digest_) {
    return fail(ErrorCode::data_loss, "entry {} was changed, or entry {} after it was written",
                count_, entry->number);
  }
  ++count_;
  digest_ = audit_digest(line);
  return {};
}

}  // namespace segue::fleet
