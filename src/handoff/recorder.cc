// SPDX-License-Identifier: Apache-2.0
#include "handoff/recorder.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "handoff/inventory.h"
#include "handoff/kernel_totals.h"

namespace segue::handoff {
namespace {

// The most that one call reads or writes while it is recorded: what it asks for beyond is left to
// the next call, as a kernel may do.
constexpr size_t kMostAtOnce = size_t{256} << 10;
// With less room than this for an input the journal counts as full.
constexpr size_t kLeastInput = 4096;

std::string_view view(const void* data, size_t size) {
  return {static_cast<const char*>(data), size};
}

}  // namespace

ssize_t plain_read(int fd, void* data, size_t size) {
  return ::read(fd, data, size);
}

ssize_t plain_write(int fd, const void* data, size_t size) {
  const ssize_t count = send(fd, data, size, MSG_NOSIGNAL);
  return count < 0 && errno == ENOTSOCK ? ::write(fd, data, size) : count;
}

Recorder::Recorder(What what, JournalMemory memory, Outlet outlet, Turns& turns)
    : what_(what),
      memory_(std::move(memory)),
      writer_(memory_.data(), memory_.size()),
      outlet_(std::move(outlet)),
      turns_(turns) {
  const JournalView view(memory_.bytes());
  key0_ = view.key0();
  key1_ = view.key1();
}

void Recorder::begin() {
  writer_.begin();
  ordered_ = true;
}

void Recorder::stop() {
  const Turns::Held held(turns_);
  stopped_ = true;
  outlet_ = {};
}

void Recorder::end() {
  const Turns::Held held(turns_);
  const std::lock_guard guarded(ending_);
  ordered_ = false;
  outlet_ = {};
  sent_.clear();
  accepted_.clear();
  memory_ = {};
}

void Recorder::give_up(JournalState why) {
  const std::lock_guard guarded(ending_);
  if (ordered_.exchange(false)) writer_.end(why);
}

void Recorder::hand_on() {
  give_up(JournalState::given_up);
}

// ---- Turns -----------------------------------------------------------------------------------

// Once nothing is recorded, the loops need not wait for each other.
bool Recorder::begin_turn() {
  if (stopped_) return false;
  if (!keeps() && !turns_.mine()) return true;
  turns_.begin();
  if (!stopped_) return true;
  turns_.end();
  return false;
}

bool Recorder::in_turn() {
  if (!turns_.enabled() || turns_.mine()) return true;
  if (keeps()) give_up(JournalState::out_of_turn);
  return false;
}

// ---- Traffic ---------------------------------------------------------------------------------

bool Recorder::keep(bool written) {
  if (!written) give_up(JournalState::full);
  return written;
}

bool Recorder::meet(const segue_conn& conn) {
  if (!keeps()) return false;
  const auto [known, is_new] = sent_.try_emplace(conn.id(), key0_, key1_);
  if (!is_new) return what_ == What::everything;
  KernelTotals totals;
  if (what_ == What::connections_used) {
    (void)keep(writer_.append({EntryKind::totals, 0, conn.id(), 0, 0, 0, {}}));
    return false;  // what goes over it is not recorded
  }
  if (kernel_totals(conn.fd, totals) != TotalsKind::known) return true;
  return keep(
      writer_.append({EntryKind::totals, 0, conn.id(), totals.consumed, totals.sent, 0, {}}));
}

ssize_t Recorder::read(segue_conn& conn, void* data, size_t size) {
  if (stopped_) {
    errno = EAGAIN;
    return -1;
  }
  if (size == 0 || !in_turn() || !meet(conn)) return plain_read(conn.fd, data, size);
  const size_t asked = std::min(size, kMostAtOnce);
  const size_t room = std::min(asked, writer_.room());
  if (!keep(room >= std::min(asked, kLeastInput))) return plain_read(conn.fd, data, size);
  char* place =
      writer_.open_intent({EntryKind::input, static_cast<uint32_t>(room), conn.id(), 0, 0, 0, {}});
  // Straight into the journal: whatever the kernel gave away is there, however soon this process
  // ends.
  const ssize_t count = plain_read(conn.fd, place, room);
  if (count > 0) memcpy(data, place, static_cast<size_t>(count));
  if (count >= 0) {
    writer_.settle_intent(static_cast<uint64_t>(count), 0);
    return count;
  }
  const int why = errno;
  if (why == EAGAIN || why == EINTR) {
    writer_.drop_intent();
  } else {
    writer_.settle_intent(static_cast<uint64_t>(-int64_t{why}), 0);
  }
  errno = why;
  return -1;
}

ssize_t Recorder::write(segue_conn& conn, const void* data, size_t size) {
  if (stopped_) {
    errno = EAGAIN;
    return -1;
  }
  if (size == 0 || !in_turn() || !meet(conn)) return plain_write(conn.fd, data, size);
  const size_t attempted = std::min(size, kMostAtOnce);
  SipStream& stream = sent_.at(conn.id());
  SipStream after = stream;
  after.add(view(data, attempted));
  const JournalEntry intent{
      EntryKind::sent, static_cast<uint32_t>(attempted), conn.id(), 0, after.value(), 0, {}};
  if (!keep(writer_.open_intent(intent) != nullptr)) return plain_write(conn.fd, data, size);
  const ssize_t count = plain_write(conn.fd, data, attempted);
  const int why = errno;
  if (count <= 0) {
    writer_.drop_intent();
  } else {
    if (static_cast<size_t>(count) == attempted) {
      stream = after;
    } else {
      stream.add(view(data, static_cast<size_t>(count)));
    }
    writer_.settle_intent(static_cast<uint64_t>(count), stream.value());
  }
  errno = why;
  return count;
}

size_t Recorder::note(uint32_t tag, void* data, size_t size, size_t /*capacity*/) {
  if (what_ == What::everything && in_turn() && keeps() && !stopped_) {
    (void)keep(size <= writer_.room() &&
               writer_.append(
                   {EntryKind::note, static_cast<uint32_t>(size), 0, tag, 0, 0, view(data, size)}));
  }
  return size;
}

// The descriptor goes first: an entry without it is a connection that cannot be repaired.
void Recorder::opened(segue_conn& conn) {
  if (stopped_ || !in_turn() || !keeps()) return;
  accepted_.insert(conn.id());
  if (outlet_.accepted) outlet_.accepted(conn);
  (void)keep(writer_.append({EntryKind::accepted, 0, conn.id(), conn.cls->number, 0, 0, {}}));
}

void Recorder::closing(segue_conn& conn, segue_close_how how) {
  if (stopped_ || !in_turn()) return;
  if (keeps()) {
    (void)keep(
        writer_.append({EntryKind::closed, 0, conn.id(), static_cast<uint64_t>(how), 0, 0, {}}));
  }
  sent_.erase(conn.id());
  if (accepted_.erase(conn.id()) != 0 && outlet_.closed) outlet_.closed(conn.id());
}

}  // namespace segue::handoff
