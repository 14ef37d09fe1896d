// SPDX-License-Identifier: Apache-2.0
#include "handoff/connections.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

namespace segue::handoff {

Connections::~Connections() {
  for (segue_conn* conn : slots_) {
    if (conn == nullptr) continue;
    close(conn->fd);
    delete conn;
  }
}

void Connections::track(bool on) {
  const Guarded guarded(guard_);
  for (const uint64_t id : dirty_) {
    if (segue_conn* conn = look_up(id)) conn->dirty = false;
  }
  fresh_.clear();
  dirty_.clear();
  closed_.clear();
  ++handoff_;
  tracking_ = on;
}

segue_conn* Connections::add(segue_class* cls, LoopNumber loop, int fd, void* data) {
  const Guarded guarded(guard_);
  while (!free_.empty() && slots_[free_.back()] != nullptr) free_.pop_back();
  auto slot = static_cast<uint32_t>(slots_.size());
  if (!free_.empty()) {
    slot = free_.back();
    free_.pop_back();
  } else if (slot == kMaxSlots) {
    return nullptr;
  } else {
    slots_.push_back(nullptr);
  }
  ++generation_;
  auto* conn = new segue_conn{cls, fd, slot, generation_, data, loop};
  slots_[slot] = conn;
  ++count_;
  if (tracking_) fresh_.push_back(conn->id());
  return conn;
}

segue_conn* Connections::adopt(segue_class* cls, int fd, uint64_t id) {
  const Guarded guarded(guard_);
  const auto slot = static_cast<uint32_t>(id);
  const auto generation = static_cast<uint32_t>(id >> 32);
  if (slot >= kMaxSlots) return nullptr;
  while (slots_.size() < slot) {
    free_.push_back(static_cast<uint32_t>(slots_.size()));
    slots_.push_back(nullptr);
  }
  if (slots_.size() == slot) slots_.push_back(nullptr);
  if (slots_[slot] != nullptr) return nullptr;
  generation_ = std::max(generation_, generation);
  slots_[slot] = new segue_conn{cls, fd, slot, generation, nullptr};
  ++count_;
  return slots_[slot];
}

void Connections::bind(segue_conn* conn, LoopNumber loop) {
  const Guarded guarded(guard_);
  conn->loop = loop;
}

segue_conn* Connections::find(uint64_t id) const {
  const Guarded guarded(guard_);
  return look_up(id);
}

segue_conn* Connections::look_up(uint64_t id) const {
  const auto slot = static_cast<uint32_t>(id);
  if (slot >= slots_.size()) return nullptr;
  segue_conn* conn = slots_[slot];
  return conn != nullptr && conn->id() == id ? conn : nullptr;
}

void Connections::touch(segue_conn* conn) {
  const Guarded guarded(guard_);
  // An unsent one is sent with the record it has then.
  if (tracking_ && has_sent(*conn)) note_changed(*conn);
}

void Connections::remove(segue_conn* conn) {
  {
    const Guarded guarded(guard_);
    if (tracking_ && has_sent(*conn)) closed_.push_back(conn->id());
    slots_[conn->slot] = nullptr;
    free_.push_back(conn->slot);
    --count_;
  }
  close(conn->fd);
  delete conn;
}

size_t Connections::count() const {
  const Guarded guarded(guard_);
  return count_;
}

uint32_t Connections::slot_count() const {
  const Guarded guarded(guard_);
  return static_cast<uint32_t>(slots_.size());
}

segue_conn* Connections::at(uint32_t slot) const {
  const Guarded guarded(guard_);
  return slots_[slot];
}

uint32_t Connections::generation() const {
  const Guarded guarded(guard_);
  return generation_;
}

void Connections::raise_generation(uint32_t at_least) {
  const Guarded guarded(guard_);
  generation_ = std::max(generation_, at_least);
}

bool Connections::is_sent(const segue_conn& conn) const {
  const Guarded guarded(guard_);
  return has_sent(conn);
}

void Connections::set_sent(segue_conn& conn) {
  const Guarded guarded(guard_);
  conn.sent_in = handoff_;
}

segue_conn* Connections::seek(uint32_t& slot, LoopNumber loop, bool sent) const {
  const Guarded guarded(guard_);
  const uint64_t end = std::min<uint64_t>(slots_.size(), uint64_t{slot} + kSlotsPerSeek);
  for (; slot < end; ++slot) {
    segue_conn* conn = slots_[slot];
    if (conn == nullptr || conn->loop != loop || has_sent(*conn) != sent) continue;
    if (!sent || !conn->dirty) return conn;
  }
  return nullptr;
}

size_t Connections::changes() const {
  const Guarded guarded(guard_);
  return fresh_.size() + dirty_.size() + closed_.size();
}

std::vector<uint64_t> Connections::take_closed() {
  const Guarded guarded(guard_);
  return std::exchange(closed_, {});
}

std::vector<std::vector<uint64_t>> Connections::take_changed(LoopNumber loops) {
  const Guarded guarded(guard_);
  std::vector<std::vector<uint64_t>> changed(loops + 1);
  const auto sort_out = [&](std::vector<uint64_t>& ids) {
    for (const uint64_t id : ids) {
      segue_conn* conn = look_up(id);
      if (conn == nullptr) continue;
      conn->dirty = false;
      changed[conn->loop].push_back(id);
    }
    ids.clear();
  };
  sort_out(fresh_);
  sort_out(dirty_);
  return changed;
}

void Connections::put_back(uint64_t id) {
  const Guarded guarded(guard_);
  if (segue_conn* conn = look_up(id)) note_changed(*conn);
}

segue_conn* Connections::find_changed(uint64_t id, LoopNumber loop) {
  const Guarded guarded(guard_);
  segue_conn* conn = look_up(id);
  if (conn == nullptr || conn->loop == loop) return conn;
  note_changed(*conn);
  return nullptr;
}

void Connections::note_changed(segue_conn& conn) {
  if (!has_sent(conn)) return fresh_.push_back(conn.id());
  if (std::exchange(conn.dirty, true)) return;
  dirty_.push_back(conn.id());
}

std::vector<uint64_t> Connections::changed_since() const {
  const Guarded guarded(guard_);
  std::vector<uint64_t> ids = closed_;
  ids.insert(ids.end(), dirty_.begin(), dirty_.end());
  return ids;
}

}  // namespace segue::handoff
