// SPDX-License-Identifier: Apache-2.0
// The predecessor when its successor died in probation: it takes the service back, and does again
// what the successor did.
#include <algorithm>

#include "handoff/peer.h"
#include "handoff/predecessor.h"

namespace segue::handoff {
namespace {

constexpr uint32_t kGenerationsSkipped = 1U << 16;
// What this process may need itself.
constexpr size_t kSpareDescriptors = 64;
constexpr size_t kMostAccepted = size_t{1} << 16;

}  // namespace

void Predecessor::offer_journal() {
  if (terms_.on_crash != SEGUE_ON_CRASH_REPLAY || terms_.mode != AttemptMode::upgrade) return;
  // Without it a crash in probation loses more, which is no reason not to upgrade.
  if (!JournalMemory::create(terms_.journal_bytes, journal_).ok()) return;
  segue_writer out;
  put_number(out, 1, journal_.size());
  const int fd = journal_.fd();
  if (!link_.send(FrameType::journal, out.fields, std::span<const int>(&fd, 1)).ok()) {
    link_lost_ = true;
  }
}

// Descriptors that came without room would be cut off, which ends a link.
void Predecessor::offer_room() {
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
  if (now.owner == host_.me()) {  // withdrawn before
    thaw(SEGUE_RESUME_ABORTED);
    return fail(why_);
  }
  if (now.owner == terms_.successor && now.state == OwnerState::offered && !waited) {
    return wait_until(terms_.answer_ns);
  }
  if (now.owner == terms_.successor) {
    // What it did since it was activated is not in this process, and does not stay in its memory.
    if (const Status undone = undo_heaps(); !undone.ok()) {
      fail(undone.text);
      return host_.terminate(SEGUE_END_REFUSED);
    }
  }
  if (now.owner != terms_.successor ||
      !host_.page().reclaim(now.epoch, terms_.successor, host_.me())) {
    // Somebody else serves: the successor had handed over in its turn.
    host_.terminate(SEGUE_END_COMMITTED);
    return finish();
  }
  epoch_ = now.epoch + 1;
  const bool replayed = replay();
  // Ids that the successor gave out meanwhile are not given out again.
  Connections& connections = host_.inventory().connections;
  connections.raise_generation(connections.generation() + kGenerationsSkipped);
  thaw(replayed ? SEGUE_RESUME_REPLAYED : SEGUE_RESUME_RECLAIMED);
  fail(why_);
}

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
