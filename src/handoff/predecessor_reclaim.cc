// SPDX-License-Identifier: Apache-2.0
// The predecessor when its successor died in probation: it takes the service back as
// segue_options.on_crash says, or ends.
#include <algorithm>
#include <unordered_set>

#include "handoff/peer.h"
#include "handoff/predecessor.h"
#include "handoff/sockets.h"

namespace segue::handoff {
namespace {

constexpr uint32_t kGenerationsSkipped = 1U << 16;
// What this process may need itself.
constexpr size_t kSpareDescriptors = 64;
constexpr size_t kMostAccepted = size_t{1} << 16;

std::string why_not_replayed(const JournalMemory& memory) {
  if (!memory.valid()) return "there was no room for a record";
  switch (JournalView(memory.bytes()).state()) {
    case JournalState::unused:
      return "the successor kept no record";
    case JournalState::kept:
      return "the record does not tell all, or this process has too few descriptors left";
    case JournalState::full:
      return "the record was full";
    case JournalState::given_up:
      return "the successor had begun to hand over in its turn";
    case JournalState::out_of_turn:
      return "a loop of the successor used connections outside segue_turn_begin()";
  }
  return "the record ends for a reason that this version does not know";
}

}  // namespace

void Predecessor::offer_journal() {
  const bool arenas = terms_.on_crash == SEGUE_ON_CRASH_ARENAS;
  if (terms_.mode != AttemptMode::upgrade) return;
  if (!arenas && terms_.on_crash != SEGUE_ON_CRASH_REPLAY) return;
  // Without it a crash in probation loses more, which is no reason not to upgrade.
  if (!JournalMemory::create(terms_.journal_bytes, journal_).ok()) return;
  segue_writer out;
  put_number(out, 1, journal_.size());
  if (arenas) put_number(out, 2, 1);
  const int fd = journal_.fd();
  if (!link_.send(FrameType::journal, out.fields, std::span<const int>(&fd, 1)).ok()) {
    link_lost_ = true;
  }
}

// Descriptors that came without room would be cut off, which ends a link.
void Predecessor::offer_room() {
  if (terms_.on_crash != SEGUE_ON_CRASH_REPLAY) return;
  if (!journal_.valid() || std::exchange(room_offered_, true)) return;
  if (JournalView(journal_.bytes()).state() != JournalState::kept) return;
  const size_t free = free_descriptors();
  room_ = std::min(kMostAccepted, free > kSpareDescriptors ? free - kSpareDescriptors : 0);
  segue_writer out;
  put_number(out, 1, room_);
  send(FrameType::room, out.fields);
}

void Predecessor::keep_accepted(Message& message) {
  std::string_view ids = get_bytes(message.payload, 2);
  const uint64_t item = get_number(message.payload, 1, UINT64_MAX);
  for (UniqueFd& fd : message.fds) {
    const auto id = take_u64(ids);
    if (!id || accepted_.size() >= room_ || item > UINT32_MAX) return;
    accepted_[*id] = {static_cast<uint32_t>(item), std::move(fd)};
  }
}

void Predecessor::forget_accepted(std::string_view payload) {
  std::string_view ids = get_bytes(payload, 1);
  while (const auto id = take_u64(ids)) accepted_.erase(*id);
}

// The successor is dead. `waited`: a third instance that it had offered the service to had time.
void Predecessor::reclaim(bool waited) {
  const Ownership now = host_.page().look();
  if (now.owner == host_.me()) {
    // Withdrawn before, or nobody ever took it, whatever was said.
    if (now.state == OwnerState::offered && !withdraw()) return reclaim(waited);
    thaw(SEGUE_RESUME_ABORTED);
    return fail(why_);
  }
  if (now.owner == terms_.successor && now.state == OwnerState::offered && !waited) {
    return wait_until(terms_.answer_ns);
  }
  const bool is_successors = now.owner == terms_.successor;
  if (is_successors && terms_.on_crash == SEGUE_ON_CRASH_RESTART) return end_for_restart(why_);
  const bool arenas_asked = is_successors && terms_.on_crash == SEGUE_ON_CRASH_ARENAS;
  std::string unusable;
  const bool from_arenas = arenas_asked && arenas_are_usable(unusable);
  if (arenas_asked && !from_arenas && !host_.inventory().arenas.empty()) {
    return end_for_restart(why_ + "; what it left in arenas cannot be used: " + unusable);
  }
  if (!is_successors || !host_.page().reclaim(now.epoch, terms_.successor, host_.me())) {
    // Somebody else serves, in the same heaps: the successor had handed over in its turn.
    host_.terminate(SEGUE_END_COMMITTED);
    return finish();
  }
  epoch_ = now.epoch + 1;
  if (!from_arenas) {
    // What it did since it was activated is not in this process, and does not stay in its memory.
    if (const Status undone = undo_heaps(); !undone.ok()) {
      (void)host_.page().vacate(host_.me());
      end(undone.text);
      return host_.terminate(SEGUE_END_REFUSED);
    }
  }
  if (arenas_asked) close_used_connections();
  const bool replay_asked = terms_.on_crash == SEGUE_ON_CRASH_REPLAY;
  const bool replayed = replay_asked && replay();
  if (replay_asked && !replayed) {
    host_.progress().closed_on_reclaim = accepted_by_successor();
    unusable = why_not_replayed(journal_);
  }
  // Ids that the successor gave out meanwhile are not given out again.
  Connections& connections = host_.inventory().connections;
  connections.raise_generation(connections.generation() + kGenerationsSkipped);
  thaw(replayed      ? SEGUE_RESUME_REPLAYED
       : from_arenas ? SEGUE_RESUME_FROM_ARENAS
                     : SEGUE_RESUME_RECLAIMED);
  fail(unusable.empty() ? why_ : why_ + "; from the freeze, as " + unusable);
}

// ---- Restart ---------------------------------------------------------------------------------

void Predecessor::end_for_restart(const std::string& why) {
  Connections& connections = host_.inventory().connections;
  for (uint32_t slot = 0; slot < connections.slot_count(); ++slot) {
    const segue_conn* conn = connections.at(slot);
    if (conn != nullptr) close_peer(conn->fd, SEGUE_CLOSE_RST);
  }
  host_.progress().closed_on_reclaim = connections.count() + accepted_by_successor();
  end(why);
  host_.terminate(SEGUE_END_CRASHED);
}

// Of those that it had not closed again; they went with it.
size_t Predecessor::accepted_by_successor() const {
  if (!journal_.valid()) return 0;
  std::unordered_set<uint64_t> ids;
  const JournalView journal(journal_.bytes());
  JournalEntry entry;
  size_t cursor = 0;
  while (journal.next(cursor, entry) == JournalView::Got::entry) {
    if (entry.kind == EntryKind::accepted) ids.insert(entry.connection);
    if (entry.kind == EntryKind::closed) ids.erase(entry.connection);
  }
  return ids.size();
}

// ---- Arenas ----------------------------------------------------------------------------------

bool Predecessor::arenas_are_usable(std::string& why) {
  for (const auto& heap : host_.inventory().heaps) {
    if (heap->retired) continue;
    if (heap->way != HeapWay::mapped) {
      why = "the successor had a heap " + heap->name + " of its own, in another form";
      return false;
    }
    if (heap->image.was_left_whole()) continue;
    why = "heap " + heap->name + " was being changed when the successor died";
    return false;
  }
  return host_.check_left_arenas(why);
}

// Those that the successor read from, wrote to or closed; where that is not known, all.
void Predecessor::close_used_connections() {
  std::unordered_set<uint64_t> used;
  bool known = journal_.valid();
  if (known) {
    const JournalView journal(journal_.bytes());
    JournalEntry entry;
    size_t cursor = 0;
    JournalView::Got got = journal.next(cursor, entry);
    for (; got == JournalView::Got::entry; got = journal.next(cursor, entry)) {
      used.insert(entry.connection);
    }
    known = got == JournalView::Got::end && journal.state() == JournalState::kept;
  }
  Connections& connections = host_.inventory().connections;
  uint64_t closed = accepted_by_successor();
  for (uint32_t slot = 0; slot < connections.slot_count(); ++slot) {
    segue_conn* conn = connections.at(slot);
    if (conn == nullptr || (known && !used.contains(conn->id()))) continue;
    const uint64_t id = conn->id();
    ++closed;
    close_peer(conn->fd, SEGUE_CLOSE_RST);
    if (conn->cls->ops.drop != nullptr) conn->cls->ops.drop(conn->cls->user, conn);
    if (connections.find(id) == conn) connections.remove(conn);
  }
  host_.progress().closed_on_reclaim = closed;
}

// ---- Replay ----------------------------------------------------------------------------------

// False if the journal is none, or tells not all: then nothing was done.
bool Predecessor::replay() {
  if (!journal_.valid()) return false;
  // What it said before it died counts, as far as it is about descriptors.
  Message message;
  while (link_.receive(message) == Link::Got::message) {
    if (!is_record(message.payload)) break;
    if (message.type == FrameType::accepted) keep_accepted(message);
    if (message.type == FrameType::connections_closed) forget_accepted(message.payload);
  }
  Inventory& inventory = host_.inventory();
  auto replay = std::make_unique<Replay>(inventory, journal_.bytes(), std::move(accepted_),
                                         [this](uint32_t tag, const void* data, size_t size) {
                                           if (host_.has_replay_note())
                                             host_.replay_note(tag, data, size);
                                         });
  if (!replay->prepare()) return false;
  inventory.let_heaps_be_written(true);
  Replay& running = *replay;
  inventory.traffic = std::move(replay);
  const ReplayCounts counts = running.run();
  inventory.traffic.reset();
  segue_progress& progress = host_.progress();
  progress.replayed = counts.replayed;
  progress.repaired = counts.repaired;
  progress.closed_on_reclaim = counts.closed;
  return true;
}

}  // namespace segue::handoff
