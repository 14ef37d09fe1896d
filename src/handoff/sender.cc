// SPDX-License-Identifier: Apache-2.0
#include "handoff/sender.h"

#include "handoff/clock.h"

namespace segue::handoff {
namespace {

constexpr size_t kBatchBytes = 48 * 1024;
constexpr uint32_t kScanKeys = 128;
// Between two looks at the clock.
constexpr size_t kRecordsPerStep = 16;
constexpr size_t kLargeRecordBytes = 64 * 1024;

// The keys of the next part of a scan. An empty part with more to come is allowed.
Status scan(const segue_table& table, uint64_t& cursor, std::vector<std::string>& keys,
            bool& more) {
  keys.clear();
  segue_scan out{&keys};
  const int code = table.ops.scan(table.user, &cursor, kScanKeys, &out);
  if (code < 0) return Status::bad(SEGUE_REFUSED, "table " + table.name + ": the scan failed");
  more = code == 1;
  return Status::good();
}

}  // namespace

void Sender::begin_snapshot() {
  snapshot_ = true;
  heaps_.begin_snapshot();
  digesting_ = false;
  stage_ = Stage::names;
  loop_at_ = kInstanceThread;
  id_at_ = 0;
  slot_at_ = 0;
  table_at_ = 0;
  cursor_ = 0;
  keys_taken_ = false;
  keys_.clear();
  key_at_ = 0;
  scan_more_ = true;
}

void Sender::begin_round() {
  begin_snapshot();
  snapshot_ = false;
  heaps_.begin_round();
  scan_more_ = false;
  ids_ = inventory_.connections.take_changed(inventory_.loops.count());
}

LoopNumber Sender::wanted_loop() {
  if (stage_ == Stage::connections) {
    if (connections_done()) return kInstanceThread;
    if (!snapshot_) return id_at_ < ids_[loop_at_].size() ? loop_at_ : kInstanceThread;
    const bool found = inventory_.connections.seek(slot_at_, loop_at_, digesting_) != nullptr;
    return found ? loop_at_ : kInstanceThread;
  }
  if (stage_ != Stage::tables) return kInstanceThread;
  skip_retired_tables();
  if (table_at_ >= inventory_.tables.size()) return kInstanceThread;
  const segue_table& table = *inventory_.tables[table_at_];
  const bool nothing = !snapshot_ && !keys_taken_ && table.dirty.size() == 0;
  return nothing ? kInstanceThread : table.loop;
}

Status Sender::advance(uint64_t until_ns, bool& done) {
  done = stage_ == Stage::done;
  while (!done && !link_.congested() && inventory_.loops.holds(wanted_loop())) {
    bool stage_done = false;
    if (Status status = step(stage_done); !status.ok()) return status;
    if (stage_done) stage_ = static_cast<Stage>(static_cast<int>(stage_) + 1);
    done = stage_ == Stage::done;
    if (!done && monotonic_ns() >= until_ns) break;
  }
  return Status::good();
}

Status Sender::advance_all(uint64_t until_ns) {
  while (stage_ != Stage::done) {
    if (monotonic_ns() >= until_ns) {
      if (Status status = put_back(); !status.ok()) return status;
      return Status::bad(SEGUE_TIMEOUT, "too much has changed");
    }
    bool stage_done = false;
    if (Status status = step(stage_done); !status.ok()) return status;
    if (stage_done) stage_ = static_cast<Stage>(static_cast<int>(stage_) + 1);
  }
  return Status::good();
}

Status Sender::step(bool& stage_done) {
  switch (stage_) {
    case Stage::names:
      stage_done = true;
      return send_names();
    case Stage::arenas:
      stage_done = true;
      return send_arenas();
    case Stage::connections:
      return connections_step(stage_done);
    case Stage::tables:
      return tables_step(stage_done);
    case Stage::heaps:
      return heaps_.step(stage_done);
    case Stage::done:
      break;
  }
  stage_done = true;
  return Status::good();
}

Status Sender::send_names() {
  if (Status status = send_closed(); !status.ok()) return status;
  if (Status status = send_named(inventory_.listeners, FrameType::listeners, 1); !status.ok()) {
    return status;
  }
  return send_named(inventory_.descriptors, FrameType::descriptors, 2);
}

Status Sender::send_closed() {
  const std::vector<uint64_t> closed = inventory_.connections.take_closed();
  if (closed.empty()) return Status::good();
  std::string ids;
  for (const uint64_t id : closed) append_u64(ids, id);
  segue_writer out;
  put_field(out, 1, ids);
  return link_.send(FrameType::connections_closed, out.fields);
}

Status Sender::send_named(NamedFds& named, FrameType type, uint32_t removed_kind) {
  for (const std::string& name : named.removed) {
    segue_writer out;
    put_number(out, 1, removed_kind);
    put_field(out, 2, name);
    if (Status status = link_.send(FrameType::removed, out.fields); !status.ok()) return status;
  }
  named.removed.clear();
  std::string batch;
  std::vector<int> fds;
  const auto flush = [&] {
    Status status = fds.empty() ? Status::good() : link_.send(type, batch, fds);
    descriptors_ += fds.size();
    batch.clear();
    fds.clear();
    return status;
  };
  for (NamedFds::Entry& entry : named.entries) {
    if (entry.sent) continue;
    append_batch_entry(batch, entry.name, {});
    fds.push_back(entry.fd.get());
    entry.sent = true;
    if (fds.size() < kMaxFdsPerMessage) continue;
    if (Status status = flush(); !status.ok()) return status;
  }
  return flush();
}

Status Sender::send_arenas() {
  for (const auto& arena : inventory_.arenas) {
    if (arena->retired || (arena->sent_used == arena->used && arena->sent)) continue;
    segue_writer out;
    put_number(out, 1, arena->number);
    put_number(out, 2, arena->used);
    put_number(out, 3, arena->max_size);
    const int fd = arena->fd.get();
    const std::span<const int> fds(&fd, arena->sent ? 0 : 1);
    if (Status status = link_.send(FrameType::arena, out.fields, fds); !status.ok()) return status;
    descriptors_ += fds.size();
    arena->sent = true;
    arena->sent_used = arena->used;
  }
  return Status::good();
}

bool Sender::connections_done() const {
  return loop_at_ > inventory_.loops.count();
}

// The next one that may be touched now; nullptr at the end of this loop's, or of a search that took
// long enough.
segue_conn* Sender::next_connection() {
  Connections& connections = inventory_.connections;
  if (!snapshot_) {
    const std::vector<uint64_t>& ids = ids_[loop_at_];
    while (id_at_ < ids.size()) {
      if (segue_conn* conn = connections.find_changed(ids[id_at_++], loop_at_)) return conn;
    }
    return nullptr;
  }
  segue_conn* conn = connections.seek(slot_at_, loop_at_, digesting_);
  if (conn == nullptr || !inventory_.loops.holds(loop_at_)) return nullptr;
  ++slot_at_;
  return conn;
}

Status Sender::connections_step(bool& stage_done) {
  // A slot that is sent below may have been another connection's that was closed meanwhile.
  if (Status status = send_closed(); !status.ok()) return status;
  for (size_t i = 0; i < kRecordsPerStep; ++i) {
    segue_conn* conn = next_connection();
    if (conn == nullptr) break;
    if (Status status = send_connection(*conn); !status.ok()) return status;
  }
  const bool loop_done =
      snapshot_ ? slot_at_ >= inventory_.connections.slot_count() : id_at_ >= ids_[loop_at_].size();
  if (loop_done) {
    ++loop_at_;
    id_at_ = 0;
    slot_at_ = 0;
  }
  stage_done = connections_done();
  // The batch holds the numbers of open descriptors: it must not outlive this call, for the service
  // may close one of them in between.
  return flush_connections();
}

Status Sender::send_connection(segue_conn& conn) {
  if (conn_class_ != conn.cls) {
    if (Status status = flush_connections(); !status.ok()) return status;
    conn_class_ = conn.cls;
  }
  if (Status status = encode_wire(conn, record_); !status.ok()) return status;
  std::string key;
  append_u64(key, conn.id());
  if (!inventory_.connections.is_sent(conn)) {
    new_ids_.append(key);
    new_fds_.push_back(conn.fd);
    inventory_.connections.set_sent(conn);
  }
  append_batch_entry(conn_records_, key, record_.fields);
  ++records_;
  const bool full = conn_records_.size() >= kBatchBytes || new_fds_.size() == kMaxFdsPerMessage;
  return full ? flush_connections() : Status::good();
}

Status Sender::flush_connections() {
  if (!new_fds_.empty()) {
    segue_writer out;
    put_number(out, 1, conn_class_->number);
    put_number(out, 2, new_fds_.size());
    put_field(out, 3, new_ids_);
    Status status = link_.send(FrameType::connections, out.fields, new_fds_);
    if (!status.ok()) return status;
    descriptors_ += new_fds_.size();
    new_ids_.clear();
    new_fds_.clear();
  }
  if (conn_records_.empty()) return Status::good();
  return send_batch(FrameType::connection_records, conn_class_->number, conn_records_);
}

void Sender::skip_retired_tables() {
  while (table_at_ < inventory_.tables.size() && inventory_.tables[table_at_]->retired) ++table_at_;
}

Status Sender::tables_step(bool& stage_done) {
  skip_retired_tables();
  if (table_at_ >= inventory_.tables.size()) {
    stage_done = true;
    return Status::good();
  }
  segue_table& table = *inventory_.tables[table_at_];
  bool table_done = false;
  Status status =
      snapshot_ ? table_scan_step(table, table_done) : table_round_step(table, table_done);
  if (!status.ok() || !table_done) return status;
  ++table_at_;
  cursor_ = 0;
  scan_more_ = true;
  keys_taken_ = false;
  return flush_table(table);
}

Status Sender::table_scan_step(segue_table& table, bool& table_done) {
  if (key_at_ >= keys_.size()) {
    key_at_ = 0;
    keys_.clear();
    table_done = !scan_more_;
    if (table_done) return Status::good();
    return scan(table, cursor_, keys_, scan_more_);
  }
  for (size_t i = 0; i < kRecordsPerStep && key_at_ < keys_.size(); ++i) {
    if (Status status = add_record(table, keys_[key_at_++]); !status.ok()) return status;
    if (record_.fields.size() >= kLargeRecordBytes) break;
  }
  return Status::good();
}

Status Sender::table_round_step(segue_table& table, bool& table_done) {
  if (!std::exchange(keys_taken_, true)) {
    DirtyKeys::Taken taken = table.dirty.take();
    round_keys_ = std::move(taken.keys);
    if (taken.emptied) {
      if (Status status = send_clear(table); !status.ok()) return status;
    }
    // Its loop may have changed a first key since wanted_loop() looked.
    if (!inventory_.loops.holds(table.loop)) {
      table_done = round_keys_.empty();
      return Status::good();
    }
  }
  for (size_t i = 0; i < kRecordsPerStep && !round_keys_.empty(); ++i) {
    const auto node = round_keys_.extract(round_keys_.begin());
    if (Status status = add_record(table, node.value()); !status.ok()) return status;
    if (record_.fields.size() >= kLargeRecordBytes) break;
  }
  table_done = round_keys_.empty();
  return Status::good();
}

Status Sender::send_clear(const segue_table& table) {
  if (!inventory_.successor_clears) {
    return Status::bad(SEGUE_REFUSED, "table " + table.name +
                                          " was emptied, which the successor's older libsegue "
                                          "cannot be told: try again");
  }
  segue_writer out;
  put_number(out, 1, table.number);
  return link_.send(FrameType::table_clear, out.fields);
}

// Ends a round half-way: the batch begun is sent, the rest counts as changed again.
Status Sender::put_back() {
  for (; loop_at_ < ids_.size(); ++loop_at_, id_at_ = 0) {
    for (; id_at_ < ids_[loop_at_].size(); ++id_at_) {
      inventory_.connections.put_back(ids_[loop_at_][id_at_]);
    }
  }
  stage_ = Stage::done;
  if (Status status = heaps_.put_back(); !status.ok()) return status;
  if (table_at_ >= inventory_.tables.size()) return Status::good();
  segue_table& table = *inventory_.tables[table_at_];
  for (const std::string& key : round_keys_) table.dirty.add(key);
  round_keys_.clear();
  return flush_table(table);
}

Status Sender::add_record(segue_table& table, const std::string& key) {
  Status status = encode_wire(table, key, record_);
  if (status.code == SEGUE_GONE) {
    append_batch_entry(erases_, key, {});
  } else if (!status.ok()) {
    return status;
  } else {
    append_batch_entry(puts_, key, record_.fields);
  }
  ++records_;
  const bool full = puts_.size() + erases_.size() >= kBatchBytes;
  return full ? flush_table(table) : Status::good();
}

Status Sender::flush_table(const segue_table& table) {
  if (!puts_.empty()) {
    Status status = send_batch(FrameType::table_put, table.number, puts_);
    if (!status.ok()) return status;
  }
  if (erases_.empty()) return Status::good();
  return send_batch(FrameType::table_erase, table.number, erases_);
}

Status Sender::send_batch(FrameType type, uint32_t item, std::string& batch) {
  segue_writer out;
  out.fields.reserve(batch.size() + 16);
  put_number(out, 1, item);
  put_field(out, 2, batch);
  batch.clear();
  return link_.send(type, out.fields);
}

void Sender::begin_digests() {
  begin_snapshot();
  digesting_ = true;
  stage_ = Stage::connections;
}

Status Sender::advance_digests(uint64_t until_ns, bool& done) {
  done = false;
  while (!done && !link_.congested() && inventory_.loops.holds(wanted_loop())) {
    if (Status status = digest_step(done); !status.ok()) return status;
    if (!done && monotonic_ns() >= until_ns) break;
  }
  return Status::good();
}

}  // namespace segue::handoff
