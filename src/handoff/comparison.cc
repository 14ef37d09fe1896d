// SPDX-License-Identifier: Apache-2.0
// The successor's side of the rehearsal: its records, in the predecessor's form, against the
// predecessor's digests.
#include "handoff/receiver.h"
#include "handoff/siphash.h"

namespace segue::handoff {
namespace {

constexpr uint32_t kScanKeys = 256;

// The fields of `record` whose tags are in `tags` (ascending varints).
std::string only(std::string_view record, std::string_view tags) {
  segue_writer kept;
  uint64_t wanted = take_varint(tags).value_or(0);
  while (!record.empty() && wanted != 0) {
    const auto field = take_field(record);
    if (!field) break;
    while (wanted != 0 && wanted < field->tag) wanted = take_varint(tags).value_or(0);
    if (wanted == field->tag) put_field(kept, field->tag, field->bytes);
  }
  return std::move(kept.fields);
}

}  // namespace

Status Receiver::compare(Difference& difference) {
  for (size_t i = 0; i < items_.size() && difference.what.empty(); ++i) {
    Status status = Status::good();
    if (kinds_[i] == ItemKind::table) {
      status = compare_table(*static_cast<segue_table*>(items_[i]), difference);
    } else if (kinds_[i] == ItemKind::connection_class) {
      status = compare_class(*static_cast<segue_class*>(items_[i]), difference);
    }
    if (!status.ok()) return status;
    const bool by_key = kinds_[i] == ItemKind::table || kinds_[i] == ItemKind::connection_class;
    if (by_key) find_missing(*items_[i], difference);
  }
  expected_.clear();
  return Status::good();
}

Status Receiver::compare_table(const segue_table& table, Difference& difference) {
  uint64_t cursor = 0;
  segue_writer record;
  int more = 1;
  std::unordered_set<std::string> seen;  // a scan may list a key twice
  while (more == 1 && difference.what.empty()) {
    std::vector<std::string> keys;
    segue_scan out{&keys};
    more = table.ops.scan(table.user, &cursor, kScanKeys, &out);
    if (more < 0) return Status::bad(SEGUE_REFUSED, "table " + table.name + ": the scan failed");
    for (const std::string& key : keys) {
      if (!seen.insert(key).second) continue;
      Status status = encode_wire(table, key, record);
      if (status.code == SEGUE_GONE) continue;
      if (!status.ok()) return status;
      compare_one(table, key, record.fields, difference);
    }
  }
  return Status::good();
}

Status Receiver::compare_class(const segue_class& cls, Difference& difference) {
  const Connections& connections = inventory_.connections;
  segue_writer record;
  for (uint32_t slot = 0; slot < connections.slot_count() && difference.what.empty(); ++slot) {
    segue_conn* conn = connections.at(slot);
    if (conn == nullptr || conn->cls != &cls) continue;
    if (Status status = encode_wire(*conn, record); !status.ok()) return status;
    std::string key;
    append_u64(key, conn->id());
    compare_one(cls, key, record.fields, difference);
  }
  return Status::good();
}

void Receiver::compare_one(const Item& item, std::string_view key, std::string_view record,
                           Difference& difference) {
  Expected& expected = expected_[item.number];
  if (expected.all_excluded) return;
  const std::string name(key);
  const auto found = expected.digests.find(name);
  if (found == expected.digests.end()) {
    if (!expected.excluded.contains(name) && difference.what.empty()) {
      difference = {item.name, name, "the predecessor does not have this record (any more)"};
    }
    return;
  }
  const bool same = found->second.value == siphash24(record) ||
                    found->second.value == siphash24(only(record, found->second.tags));
  expected.digests.erase(found);
  if (same || expected.excluded.contains(name) || !difference.what.empty()) return;
  difference = {item.name, name, "the record differs after decoding and encoding it again"};
}

void Receiver::find_missing(const Item& item, Difference& difference) {
  const Expected& expected = expected_[item.number];
  if (expected.all_excluded) return;
  for (const auto& [key, digest] : expected.digests) {
    if (!difference.what.empty()) return;
    if (expected.excluded.contains(key)) continue;
    difference = {item.name, key, "the successor does not have this record"};
  }
}

}  // namespace segue::handoff
