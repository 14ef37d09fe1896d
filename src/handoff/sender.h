// SPDX-License-Identifier: Apache-2.0
// The predecessor's side of the background: turns the inventory, and later its changes, into
// frames.
#pragma once

#include <string>
#include <unordered_set>
#include <vector>

#include "handoff/heap_sender.h"
#include "handoff/inventory.h"
#include "handoff/link.h"

namespace segue::handoff {

class Sender {
 public:
  Sender(Inventory& inventory, Link& link)
      : inventory_(inventory), link_(link), heaps_(inventory, link) {}

  // Everything, once. Changes are noted by the inventory from here on.
  void begin_snapshot();
  // What has changed since the snapshot or the last round began.
  void begin_round();
  // The loop whose records come next: what is sent stops in front of one that is not held.
  LoopNumber wanted_loop();
  // Sends until all is sent (`done`), the link is congested, `until_ns` is reached, or the loop
  // wanted is not held.
  Status advance(uint64_t until_ns, bool& done);
  // Sends all, whatever the link says; all loops are held. SEGUE_TIMEOUT once `until_ns` is passed:
  // then what was not sent counts as changed again.
  Status advance_all(uint64_t until_ns);

  // Rehearsal: the digests of every record that has not changed since the last round began.
  void begin_digests();
  Status advance_digests(uint64_t until_ns, bool& done);
  // The keys that changed meanwhile.
  Status send_excluded();

  [[nodiscard]] uint64_t records() const { return records_ + heaps_.records(); }
  [[nodiscard]] uint64_t descriptors() const { return descriptors_ + heaps_.descriptors(); }
  HeapSender& heaps() { return heaps_; }

 private:
  enum class Stage { names, arenas, connections, tables, heaps, done };

  Status step(bool& stage_done);
  Status send_names();
  Status send_named(NamedFds& named, FrameType type, uint32_t removed_kind);
  Status send_arenas();
  Status send_closed();
  Status connections_step(bool& stage_done);
  Status tables_step(bool& stage_done);
  void skip_retired_tables();
  segue_conn* next_connection();
  [[nodiscard]] bool connections_done() const;
  Status send_connection(segue_conn& conn);
  Status flush_connections();
  Status table_round_step(segue_table& table, bool& table_done);
  Status table_scan_step(segue_table& table, bool& table_done);
  Status put_back();
  Status add_record(segue_table& table, const std::string& key);
  Status send_clear(const segue_table& table);
  Status flush_table(const segue_table& table);
  Status send_batch(FrameType type, uint32_t item, std::string& batch);
  Status digest_step(bool& done);
  Status digest_connections();
  Status digest_keys(const segue_table& table);
  Status add_digest(uint32_t item, std::string_view key, const segue_writer& record);

  Inventory& inventory_;
  Link& link_;
  HeapSender heaps_;
  uint64_t records_ = 0;
  uint64_t descriptors_ = 0;

  Stage stage_ = Stage::done;
  bool snapshot_ = false;
  bool digesting_ = false;
  LoopNumber loop_at_ = 0;                  // whose connections are being sent
  std::vector<std::vector<uint64_t>> ids_;  // of this round, by loop
  size_t id_at_ = 0;
  uint32_t slot_at_ = 0;
  size_t table_at_ = 0;
  uint64_t cursor_ = 0;
  bool keys_taken_ = false;
  std::unordered_set<std::string> round_keys_;  // of the table being sent, in a round
  std::vector<std::string> keys_;               // of one step of a scan
  size_t key_at_ = 0;
  bool scan_more_ = false;

  // Batches being filled.
  segue_class* conn_class_ = nullptr;
  std::string new_ids_;
  std::vector<int> new_fds_;
  std::string conn_records_;
  std::string puts_;
  std::string erases_;
  std::string digests_;
  uint32_t digest_item_ = 0;
  segue_writer record_;
};

}  // namespace segue::handoff
