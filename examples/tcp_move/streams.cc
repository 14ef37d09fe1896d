// SPDX-License-Identifier: Apache-2.0
#include "streams.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/assert.h"

namespace segue::example {
namespace {

constexpr std::size_t kPieceBytes = 8192;

// splitmix64 by Sebastiano Vigna (public domain).
std::uint64_t word(std::uint64_t seed, std::uint64_t index) {
  std::uint64_t value = seed + index * 0x9e3779b97f4a7c15U;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31);
}

}  // namespace

void fill(std::uint64_t seed, std::uint64_t offset, std::span<char> bytes) {
  while (!bytes.empty()) {
    const std::uint64_t value = word(seed, offset / 8);
    const std::size_t skip = offset % 8;
    const std::size_t size = std::min(bytes.size(), 8 - skip);
    std::memcpy(bytes.data(), reinterpret_cast<const char*>(&value) + skip, size);
    bytes = bytes.subspan(size);
    offset += size;
  }
}

bool matches(std::uint64_t seed, std::uint64_t offset, std::span<const char> bytes) {
  std::array<char, kPieceBytes> expected{};
  while (!bytes.empty()) {
    const std::size_t size = std::min(bytes.size(), expected.size());
    fill(seed, offset, std::span(expected).first(size));
    if (std::memcmp(expected.data(), bytes.data(), size) != 0) return false;
    bytes = bytes.subspan(size);
    offset += size;
  }
  return true;
}

void Pump::start() {
  SEGUE_ASSERT(!thread_.joinable());
  epoll_ = os::UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  wakeup_ = os::UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  SEGUE_ASSERT(epoll_ && wakeup_);
  progress_.assign(ends_.size(), {});
  watched_.assign(ends_.size(), 0);
  active_ends_ = 0;
  finished_ends_ = 0;
  epoll_event event{.events = EPOLLIN, .data = {.u64 = ends_.size()}};
  SEGUE_ASSERT(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wakeup_.get(), &event) == 0);
  for (std::size_t i = 0; i < ends_.size(); ++i) {
    if (ends_[i].fd >= 0) watch(i, EPOLL_CTL_ADD);
    if (ends_[i].sent_bytes >= ends_[i].send_limit_bytes) ++finished_ends_;
  }
  thread_ = std::thread([this] { loop(); });
}

void Pump::stop() {
  if (!thread_.joinable()) return;
  const std::uint64_t one = 1;
  SEGUE_ASSERT(::write(wakeup_.get(), &one, sizeof one) == sizeof one);
  thread_.join();
}

void Pump::loop() {
  std::array<epoll_event, 256> events{};
  while (true) {
    const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), -1);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events.at(static_cast<std::size_t>(i));
      if (event.data.u64 == ends_.size()) return;
      serve(event.data.u64, event.events);
    }
  }
}

void Pump::serve(std::size_t index, std::uint32_t events) {
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) receive(index);
  if ((events & EPOLLOUT) != 0 && ends_[index].fault.empty()) send(index);
  note_progress(index);
  watch(index, EPOLL_CTL_MOD);
}

void Pump::receive(std::size_t index) {
  StreamEnd& end = ends_[index];
  std::array<char, kPieceBytes> bytes{};
  const ssize_t got = ::recv(end.fd, bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (got < 0) {
    if (errno != EAGAIN) set_fault(index, fmt::format("receive: {}", std::strerror(errno)));
    return;
  }
  if (got == 0) {
    end.done = true;
    return;
  }
  const auto size = static_cast<std::size_t>(got);
  if (!matches(end.receive_seed, end.received_bytes, std::span(bytes).first(size))) {
    set_fault(index, fmt::format("wrong bytes after {} right ones", end.received_bytes));
    return;
  }
  end.received_bytes += size;
  received_bytes_ += size;
  progress_[index].received = true;
}

void Pump::send(std::size_t index) {
  StreamEnd& end = ends_[index];
  const std::uint64_t limit = std::min(end.send_limit_bytes, end.received_bytes + kLeadBytes);
  if (end.sent_bytes >= limit) return;
  std::array<char, kPieceBytes> bytes{};
  const std::size_t size = std::min<std::uint64_t>(bytes.size(), limit - end.sent_bytes);
  fill(end.send_seed, end.sent_bytes, std::span(bytes).first(size));
  const ssize_t taken = ::send(end.fd, bytes.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (taken < 0) {
    if (errno != EAGAIN) set_fault(index, fmt::format("send: {}", std::strerror(errno)));
    return;
  }
  end.sent_bytes += static_cast<std::uint64_t>(taken);
  progress_[index].sent = true;
  if (end.sent_bytes >= end.send_limit_bytes) ++finished_ends_;
}

void Pump::watch(std::size_t index, int operation) {
  const StreamEnd& end = ends_[index];
  std::uint32_t wanted = 0;
  if (end.fault.empty() && !end.done) {
    wanted = EPOLLIN;
    const std::uint64_t limit = std::min(end.send_limit_bytes, end.received_bytes + kLeadBytes);
    if (end.sent_bytes < limit) wanted |= EPOLLOUT;
  }
  if (operation == EPOLL_CTL_MOD) {
    if (wanted == watched_[index]) return;
    if (wanted == 0) operation = EPOLL_CTL_DEL;  // a broken end would be reported for ever
  }
  watched_[index] = wanted;
  epoll_event event{.events = wanted, .data = {.u64 = index}};
  SEGUE_ASSERT(::epoll_ctl(epoll_.get(), operation, end.fd, &event) == 0);
}

void Pump::set_fault(std::size_t index, std::string fault) {
  ends_[index].fault = std::move(fault);
  ++faulty_ends_;
}

void Pump::note_progress(std::size_t index) {
  Progress& progress = progress_[index];
  if (!progress.sent || !progress.received || progress.counted) return;
  progress.counted = true;
  ++active_ends_;
}

}  // namespace segue::example
