// SPDX-License-Identifier: Apache-2.0
#include "handoff/replay.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "handoff/peer.h"
#include "handoff/sockets.h"

namespace segue::handoff {
namespace {

// A socket whose peer has gone, for a connection that was lost with the successor: what its client
// asked for and was told is done all the same.
UniqueFd dead_socket() {
  int ends[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) return {};
  close(ends[1]);
  return UniqueFd(ends[0]);
}

}  // namespace

Replay::Replay(Inventory& inventory, std::string_view memory, AcceptedFds accepted, NoteSink notes)
    : inventory_(inventory),
      journal_(memory),
      accepted_(std::move(accepted)),
      notes_(std::move(notes)) {}

segue_class* Replay::class_of(uint64_t item) const {
  if (item == kNotAgreed) return nullptr;
  for (const auto& cls : inventory_.classes) {
    if (cls->number == item) return cls.get();
  }
  return nullptr;
}

// The most of them at a time, and one for the other end while it is made.
size_t Replay::descriptors_needed() const {
  size_t open = 0;
  size_t most = 0;
  size_t cursor = 0;
  JournalEntry entry;
  while (journal_.next(cursor, entry) == JournalView::Got::entry) {
    if (accepted_.contains(entry.connection)) continue;
    if (entry.kind == EntryKind::accepted) most = std::max(most, ++open);
    if (entry.kind == EntryKind::closed && stories_.at(entry.connection).accepted) --open;
  }
  return most == 0 ? 0 : most + 1;
}

Replay::Progress& Replay::progress_of(uint64_t id) {
  return progress_.try_emplace(id, journal_).first->second;
}

bool Replay::prepare() {
  if (journal_.state() != JournalState::kept || !read_stories(journal_, stories_)) return false;
  for (const auto& cls : inventory_.classes) {
    if (!cls->can_replay()) return false;
  }
  // What the successor did there has not been undone.
  for (const auto& arena : inventory_.arenas) {
    if (!arena->retired) return false;
  }
  for (auto& [id, story] : stories_) {
    const segue_conn* conn = inventory_.connections.find(id);
    int fd = conn == nullptr ? -1 : conn->fd;
    if (const auto kept = accepted_.find(id); kept != accepted_.end()) fd = kept->second.fd.get();
    if ((conn == nullptr) != story.accepted) return false;
    KernelTotals now;
    const TotalsKind kind = fd < 0 ? TotalsKind::ended : kernel_totals(fd, now);
    settle_story(story, kind, now);
  }
  // Without a socket what a lost connection had asked for could not be done.
  const size_t needed = descriptors_needed();
  return needed == 0 || needed <= free_descriptors();
}

ReplayCounts Replay::run() {
  JournalEntry entry;
  while (journal_.next(cursor_, entry) == JournalView::Got::entry) step(entry);
  if (journal_.open_intent(entry) == JournalView::Got::entry) {
    const Story& story = stories_.at(entry.connection);
    if (story.repairable && story.intent_consumed > 0) {
      give_input(entry, entry.bytes.substr(0, story.intent_consumed));
    }
  }
  for (const auto& [id, story] : stories_) finish(id, story);
  // Accepted, but not yet used by the successor.
  while (!accepted_.empty()) adopt(accepted_.begin()->first, accepted_.begin()->second.item);
  return counts_;
}

void Replay::step(const JournalEntry& entry) {
  switch (entry.kind) {
    case EntryKind::totals:
      return;
    case EntryKind::input:
      return give_input(entry, entry.bytes);
    case EntryKind::sent:
      progress_of(entry.connection).expected += entry.a;
      return catch_up(entry.connection);
    case EntryKind::accepted:
      return adopt(entry.connection, static_cast<uint32_t>(entry.a));
    case EntryKind::closed:
      return end(entry.connection);
    case EntryKind::note:
      // Not if the service asked for it while it handled what stands before.
      if (cursor_ > notes_taken_to_) {
        notes_(static_cast<uint32_t>(entry.a), entry.bytes.data(), entry.bytes.size());
      }
      return;
  }
}

// The service reads it in as many pieces as it likes, but it has to read it.
void Replay::give_input(const JournalEntry& entry, std::string_view bytes) {
  input_waits_ = true;
  input_ = bytes;
  input_result_ = bytes.empty() ? static_cast<int64_t>(entry.a) : 0;
  reader_ = entry.connection;
  ++counts_.replayed;
  while (input_waits_) {
    segue_conn* conn = inventory_.connections.find(reader_);
    if (conn == nullptr) break;  // closed by what was done before
    const size_t left = input_.size();
    conn->cls->ops.readable(conn->cls->user, conn);
    if (input_waits_ && input_.size() == left) {
      progress_of(reader_).differs = true;
      break;
    }
  }
  input_waits_ = false;
}

// What had been sent by now was waiting to be sent, if the service has not written it yet.
void Replay::catch_up(uint64_t id) {
  segue_conn* conn = inventory_.connections.find(id);
  Progress& progress = progress_of(id);
  if (conn == nullptr || progress.differs || progress.produced.size() >= progress.expected) return;
  conn->cls->ops.writable(conn->cls->user, conn);
}

void Replay::adopt(uint64_t id, uint32_t item) {
  AcceptedFd kept;
  if (const auto found = accepted_.find(id); found != accepted_.end()) {
    kept = std::move(found->second);
    accepted_.erase(found);
  } else {
    kept.fd = dead_socket();
    // Where the successor closed it, too, there is nobody left to repair it for.
    progress_of(id).differs = !stories_.at(id).closed;
  }
  segue_class* cls = class_of(item);
  segue_conn* conn = nullptr;
  if (cls != nullptr && kept.fd.valid()) {
    conn = inventory_.connections.adopt(cls, kept.fd.get(), id);
  }
  if (conn == nullptr) {
    if (kept.fd.valid()) close_peer(kept.fd.get(), SEGUE_CLOSE_RST);
    ++counts_.closed;
    return;
  }
  const int fd = kept.fd.release();
  if (cls->ops.accepted(cls->user, conn, fd) != SEGUE_OK && inventory_.connections.find(id)) {
    // The service knows nothing of it.
    close_peer(fd, SEGUE_CLOSE_RST);
    inventory_.connections.remove(conn);
    ++counts_.closed;
  }
}

// The successor had closed it.
void Replay::end(uint64_t id) {
  catch_up(id);
  segue_conn* conn = inventory_.connections.find(id);
  if (conn == nullptr) return;
  const Story& story = stories_.at(id);
  Progress& progress = progress_of(id);
  // Closed by the service's own decision, which this process has not come to.
  progress.over = true;
  if (progress.differs || progress.produced.size() < story.all_sent()) ++counts_.closed;
  drop(*conn);
}

void Replay::finish(uint64_t id, const Story& story) {
  Progress& progress = progress_of(id);
  progress.expected = story.all_sent();
  catch_up(id);
  segue_conn* conn = inventory_.connections.find(id);
  if (conn == nullptr) return;
  const bool all = progress.produced.size() == story.all_sent();
  if (story.repairable && all && !progress.differs && verify(story, progress, {})) {
    counts_.repaired += progress.completed || story.intent_size > 0 ? 1 : 0;
    return;
  }
  progress.over = true;
  ++counts_.closed;
  drop(*conn);
}

void Replay::drop(segue_conn& conn) {
  const uint64_t id = conn.id();
  close_peer(conn.fd, SEGUE_CLOSE_RST);
  conn.cls->ops.drop(conn.cls->user, &conn);
  if (inventory_.connections.find(id) == &conn) {
    inventory_.connections.remove(&conn);
  }
}

// ---- Traffic -------------------------------------------------------------------------------

ssize_t Replay::read(segue_conn& conn, void* data, size_t size) {
  if (!input_waits_ || conn.id() != reader_) {
    errno = EAGAIN;
    return -1;
  }
  if (input_.empty()) {
    input_waits_ = false;
    if (input_result_ == 0) return 0;
    errno = static_cast<int>(-input_result_);
    return -1;
  }
  const size_t count = std::min(size, input_.size());
  memcpy(data, input_.data(), count);
  input_.remove_prefix(count);
  input_waits_ = !input_.empty();
  return static_cast<ssize_t>(count);
}

// `data` follows what was produced. All that had been sent is there: is it the same? Of an
// operation that the successor had begun, the digest is that of all it attempted.
bool Replay::verify(const Story& story, Progress& progress, std::string_view data) {
  if (progress.verified) return true;
  if (story.intent_sent == 0) {
    progress.verified = story.sent == 0 || progress.produced.value() == story.sent_digest;
    return progress.verified;
  }
  const uint64_t attempted = story.sent + story.intent_size;
  const uint64_t missing = attempted - progress.produced.size();
  if (data.size() < missing) return false;
  SipStream whole = progress.produced;
  whole.add(data.substr(0, missing));
  progress.verified = whole.value() == story.intent_digest;
  return progress.verified;
}

ssize_t Replay::write(segue_conn& conn, const void* data, size_t size) {
  const auto found = stories_.find(conn.id());
  if (found == stories_.end()) return plain_write(conn.fd, data, size);
  const Story& story = found->second;
  Progress& progress = progress_of(conn.id());
  std::string_view rest(static_cast<const char*>(data), size);
  if (!progress.differs) {
    const uint64_t known =
        std::min<uint64_t>(rest.size(), story.all_sent() - progress.produced.size());
    progress.produced.add(rest.substr(0, known));
    rest.remove_prefix(known);
    const bool whole = progress.produced.size() == story.all_sent();
    if (whole && !verify(story, progress, rest)) progress.differs = true;
  }
  if (progress.differs || !story.repairable) {
    // To whoever reads there it would be nonsense; but what is done stays done.
    return static_cast<ssize_t>(size);
  }
  if (rest.empty()) return static_cast<ssize_t>(size);
  progress.completed = true;
  const ssize_t count = plain_write(conn.fd, rest.data(), rest.size());
  const auto swallowed = static_cast<ssize_t>(size - rest.size());
  if (count < 0) return swallowed > 0 ? swallowed : -1;
  return swallowed + count;
}

size_t Replay::note(uint32_t tag, void* data, size_t size, size_t capacity) {
  size_t cursor = std::max(cursor_, notes_taken_to_);
  JournalEntry entry;
  // The next note, unless something else begins before it.
  while (journal_.next(cursor, entry) == JournalView::Got::entry) {
    if (entry.kind == EntryKind::input || entry.kind == EntryKind::accepted) break;
    if (entry.kind != EntryKind::note) continue;
    if (entry.a != tag || entry.bytes.size() > capacity) break;
    notes_taken_to_ = cursor;
    if (!entry.bytes.empty()) memcpy(data, entry.bytes.data(), entry.bytes.size());
    return entry.bytes.size();
  }
  return size;
}

// Not on the successor's order: the service's own doing, which has no entry here.
void Replay::opened(segue_conn& /*conn*/) {}

void Replay::closing(segue_conn& conn, segue_close_how /*how*/) {
  const auto found = stories_.find(conn.id());
  if (found == stories_.end()) return;
  const Story& story = found->second;
  Progress& progress = progress_of(conn.id());
  if (progress.over) return;
  progress.over = true;
  const bool all = progress.produced.size() == story.all_sent();
  if (progress.differs || !all || !story.repairable || !verify(story, progress, {})) {
    ++counts_.closed;
  }
}

}  // namespace segue::handoff
