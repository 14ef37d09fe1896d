// SPDX-License-Identifier: Apache-2.0
// The predecessor's side of the rehearsal: digests of everything, and what changed meanwhile.
#include "handoff/clock.h"
#include "handoff/sender.h"
#include "handoff/siphash.h"

namespace segue::handoff {
namespace {

constexpr size_t kBatchBytes = 48 * 1024;
constexpr uint32_t kScanKeys = 128;
constexpr size_t kRecordsPerStep = 16;
constexpr size_t kLargeRecordBytes = 64 * 1024;

// The successor compares these fields only: those that a newer version adds are no difference.
void append_tags(std::string& out, std::string_view record) {
  uint32_t last = 0;
  while (!record.empty()) {
    const auto field = take_field(record);
    if (!field) return;  // this side wrote it: well-formed
    if (field->tag != last) append_varint(out, field->tag);
    last = field->tag;
  }
}

}  // namespace

Status Sender::add_digest(uint32_t item, std::string_view key, const segue_writer& record) {
  if (!digests_.empty() && (digest_item_ != item || digests_.size() >= kBatchBytes)) {
    Status status = send_batch(FrameType::digests, digest_item_, digests_);
    if (!status.ok()) return status;
  }
  digest_item_ = item;
  std::string digest;
  append_u64(digest, siphash24(record.fields));
  append_tags(digest, record.fields);
  append_batch_entry(digests_, key, digest);
  return Status::good();
}

Status Sender::digest_connections() {
  for (size_t i = 0; i < kRecordsPerStep; ++i) {
    segue_conn* conn = next_connection();
    if (conn == nullptr) break;
    if (Status status = encode_wire(*conn, record_); !status.ok()) return status;
    std::string key;
    append_u64(key, conn->id());
    if (Status status = add_digest(conn->cls->number, key, record_); !status.ok()) return status;
  }
  if (slot_at_ >= inventory_.connections.slot_count()) {
    ++loop_at_;
    slot_at_ = 0;
  }
  if (connections_done()) stage_ = Stage::tables;
  return Status::good();
}

Status Sender::digest_step(bool& done) {
  if (stage_ == Stage::connections) return digest_connections();
  skip_retired_tables();
  if (table_at_ >= inventory_.tables.size()) {
    stage_ = Stage::done;
    done = true;
    if (digests_.empty()) return Status::good();
    return send_batch(FrameType::digests, digest_item_, digests_);
  }
  const segue_table& table = *inventory_.tables[table_at_];
  if (key_at_ < keys_.size()) return digest_keys(table);
  keys_.clear();
  key_at_ = 0;
  if (!scan_more_) {
    ++table_at_;
    cursor_ = 0;
    scan_more_ = true;
    return Status::good();
  }
  segue_scan out{&keys_};
  const int code = table.ops.scan(table.user, &cursor_, kScanKeys, &out);
  if (code < 0) return Status::bad(SEGUE_REFUSED, "table " + table.name + ": the scan failed");
  scan_more_ = code == 1;
  return Status::good();
}

Status Sender::digest_keys(const segue_table& table) {
  for (size_t i = 0; i < kRecordsPerStep && key_at_ < keys_.size(); ++i) {
    const std::string& key = keys_[key_at_++];
    Status status = encode_wire(table, key, record_);
    if (status.code == SEGUE_GONE) continue;
    if (status.ok()) status = add_digest(table.number, key, record_);
    if (!status.ok()) return status;
    if (record_.fields.size() >= kLargeRecordBytes) break;
  }
  return Status::good();
}

Status Sender::send_excluded() {
  for (const auto& table : inventory_.tables) {
    if (table->retired) continue;
    std::string batch;
    table->dirty.each([&](const std::string& key) { append_batch_entry(batch, key, {}); });
    if (table->dirty.emptied()) {
      segue_writer all;
      put_number(all, 1, table->number);
      put_number(all, 3, 1);
      if (Status status = link_.send(FrameType::excluded, all.fields); !status.ok()) return status;
    }
    if (batch.empty()) continue;
    Status status = send_batch(FrameType::excluded, table->number, batch);
    if (!status.ok()) return status;
  }
  const std::vector<uint64_t> changed = inventory_.connections.changed_since();
  for (const auto& cls : inventory_.classes) {
    std::string batch;
    for (const uint64_t id : changed) {
      std::string key;
      append_u64(key, id);
      append_batch_entry(batch, key, {});
    }
    if (batch.empty()) continue;
    Status status = send_batch(FrameType::excluded, cls->number, batch);
    if (!status.ok()) return status;
  }
  return Status::good();
}

}  // namespace segue::handoff
