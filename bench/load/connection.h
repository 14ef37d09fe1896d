// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <netinet/in.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/time.h"
#include "load/wire.h"
#include "os/unique_fd.h"

namespace segue::load {

struct Pending {
  base::MonotonicTime intended;
  Request request;
};

// The requests of one connection in order: first those that were sent and wait for an answer, then
// those that wait to be sent.
class PendingQueue {
 public:
  static constexpr std::uint32_t kDepth = 64;

  // False when it is full.
  bool push(const Pending& pending) {
    if (count_ == kDepth) return false;
    if (count_ == 0) head_ = 0;  // the first slots stay in the cache
    at(count_++) = pending;
    return true;
  }
  [[nodiscard]] bool empty() const { return count_ == 0; }
  [[nodiscard]] std::uint32_t size() const { return count_; }
  [[nodiscard]] std::uint32_t in_flight() const { return sent_; }
  [[nodiscard]] std::uint32_t unsent() const { return count_ - sent_; }

  // The oldest one that was sent.
  [[nodiscard]] const Pending& front() { return at(0); }
  void pop() {
    head_ = (head_ + 1) % kDepth;
    --count_;
    --sent_;
  }
  [[nodiscard]] Pending& next_unsent() { return at(sent_); }
  void mark_sent() { ++sent_; }
  // Forgets what was sent; visits what was not.
  template <class Visit>
  void drop_sent(Visit visit) {
    head_ = (head_ + sent_) % kDepth;
    count_ -= sent_;
    sent_ = 0;
    for (std::uint32_t i = 0; i < count_; ++i) visit(at(i));
  }
  void clear() { count_ = sent_ = 0; }

 private:
  Pending& at(std::uint32_t offset) { return slots_[(head_ + offset) % kDepth]; }

  std::array<Pending, kDepth> slots_;
  std::uint32_t head_ = 0;
  std::uint32_t count_ = 0;
  std::uint32_t sent_ = 0;
};

struct Connection {
  enum class State : std::uint8_t { closed, connecting, open };

  os::UniqueFd fd;
  State state = State::closed;
  bool is_held = false;           // long-lived
  bool is_original = false;       // of the start, never lost
  bool own_key_is_known = false;  // what a get of its own key has to answer
  std::uint32_t generation = 0;   // tells events of this use of the slot from earlier ones
  std::uint32_t probe = 0;        // the number of the last probe that it was asked
  std::uint32_t probe_answered = 0;
  std::uint32_t turn = 0;       // its scheduled requests so far
  base::MonotonicTime since{};  // for a new connection: its intended start
  PendingQueue queue;
  std::string partial;  // bytes of an incomplete answer
  std::string unsent;   // bytes that the socket did not take
};

// Where connections go and where they come from.
class Route {
 public:
  // `host` is an IPv4 address. To a loopback address, `connections` beyond what one source address
  // has ports for come from 127.0.0.2, 127.0.0.3, …
  static base::Result<Route> to(const std::string& host, std::uint16_t port,
                                std::uint32_t connections);

  // A non-blocking socket on its way to the target; `index` chooses the source. Empty: from
  // wherever the kernel likes.
  [[nodiscard]] base::Result<os::UniqueFd> connect(std::optional<std::uint32_t> index) const;
  // A blocking one, connected, whose reads and writes end after `deadline`.
  [[nodiscard]] base::Result<os::UniqueFd> connect_blocking(base::Duration deadline) const;

 private:
  sockaddr_in target_{};
  bool spread_sources_ = false;
};

}  // namespace segue::load
