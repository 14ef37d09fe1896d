// SPDX-License-Identifier: Apache-2.0
// The successor's journal: what it does in probation, so that the predecessor can do it again.
#include "handoff/successor.h"

namespace segue::handoff {
namespace {

// Accepted connections that wait for room at the predecessor. Those beyond are closed if this
// process dies, and counted.
constexpr size_t kMostUntold = size_t{1} << 16;

}  // namespace

void Successor::on_journal(Message& message) {
  const uint64_t bytes = get_number(message.payload, 1, 0);
  if (message.fds.size() != 1) return fail("the predecessor sent a malformed JOURNAL");
  const bool records =
      terms_.on_crash == SEGUE_ON_CRASH_REPLAY || terms_.on_crash == SEGUE_ON_CRASH_ARENAS;
  if (!records || recorder_) return;
  JournalMemory memory;
  // Without it the predecessor goes on from its freeze: no reason not to take over.
  if (!JournalMemory::map(std::move(message.fds[0]), bytes, memory).ok() || !memory.populate()) {
    return;
  }
  const auto what = get_number(message.payload, 2, 0) == 1 ? Recorder::What::connections_used
                                                           : Recorder::What::everything;
  recorder_ =
      std::make_unique<Recorder>(what, std::move(memory),
                                 Recorder::Outlet{[this](segue_conn& conn) { tell_accepted(conn); },
                                                  [this](uint64_t id) { tell_closed(id); }},
                                 host_.inventory().loops.turns());
}

void Successor::begin_recording() {
  if (!recorder_) return;
  if (host_.inventory().loops.count() > 0) link_.share();
  recording_ = recorder_.get();
  host_.inventory().traffic = std::move(recorder_);
}

void Successor::end_recording() {
  recorder_.reset();
  if (recording_ == nullptr) return;
  std::exchange(recording_, nullptr)->end();
  host_.inventory().traffic.reset();
}

void Successor::tell_accepted(segue_conn& conn) {
  if (predecessor_gone_) return;
  if (room_ == 0) {
    if (untold_.size() < kMostUntold) untold_.push_back(conn.id());
    return;
  }
  --room_;
  told_.insert(conn.id());
  std::string ids;
  append_u64(ids, conn.id());
  segue_writer out;
  put_number(out, 1, conn.cls->number);
  put_field(out, 2, ids);
  (void)link_.send(FrameType::accepted, out.fields, std::span<const int>(&conn.fd, 1));
}

void Successor::tell_closed(uint64_t id) {
  if (told_.erase(id) == 0 || predecessor_gone_) return;
  ++room_;
  std::string ids;
  append_u64(ids, id);
  segue_writer out;
  put_field(out, 1, ids);
  send(FrameType::connections_closed, out.fields);
}

void Successor::on_room(std::string_view payload) {
  const Turns::Held held(host_.inventory().loops.turns());
  room_ += get_number(payload, 1, 0);
  std::vector<uint64_t> waiting;
  waiting.swap(untold_);
  for (const uint64_t id : waiting) {
    if (segue_conn* conn = host_.inventory().connections.find(id)) tell_accepted(*conn);
  }
}

}  // namespace segue::handoff
