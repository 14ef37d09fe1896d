// SPDX-License-Identifier: Apache-2.0
// Connections whose every byte is known beforehand, so that one that is lost, doubled or out of
// order shows at once.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/time.h"
#include "os/clock.h"
#include "os/unique_fd.h"

namespace segue::example {

// The bytes of stream `seed` from `offset` on.
void fill(std::uint64_t seed, std::uint64_t offset, std::span<char> bytes);
bool matches(std::uint64_t seed, std::uint64_t offset, std::span<const char> bytes);

// One end of a connection: it sends one stream and expects another.
struct StreamEnd {
  int fd = -1;  // borrowed
  std::uint64_t send_seed = 0;
  std::uint64_t receive_seed = 0;
  std::uint64_t sent_bytes = 0;
  std::uint64_t received_bytes = 0;
  std::uint64_t send_limit_bytes = ~std::uint64_t{0};
  bool done = false;  // the peer has closed its side
  std::string fault;  // empty: all is well
};

// Sends and checks on a thread of its own. Between stop() and start() the ends are the caller's,
// as those of a service that has been frozen.
class Pump {
 public:
  // An end sends at most this much more than it has received, so that memory stays bounded.
  static constexpr std::uint64_t kLeadBytes = 128U << 10;

  explicit Pump(std::vector<StreamEnd> ends) : ends_(std::move(ends)) {}
  Pump(const Pump&) = delete;
  Pump& operator=(const Pump&) = delete;
  ~Pump() { stop(); }

  void start();
  void stop();

  // Only while stopped.
  std::vector<StreamEnd>& ends() { return ends_; }

  // Of all ends together, since the beginning.
  [[nodiscard]] std::uint64_t received_bytes() const { return received_bytes_.load(); }
  // How many ends have sent and received at least one byte since start().
  [[nodiscard]] std::size_t active_ends() const { return active_ends_.load(); }
  [[nodiscard]] std::size_t faulty_ends() const { return faulty_ends_.load(); }
  // How many are at the limit that was set for their sending.
  [[nodiscard]] std::size_t finished_ends() const { return finished_ends_.load(); }

 private:
  struct Progress {
    bool sent = false;
    bool received = false;
    bool counted = false;
  };

  void loop();
  void serve(std::size_t index, std::uint32_t events);
  void receive(std::size_t index);
  void send(std::size_t index);
  void watch(std::size_t index, int operation);
  void set_fault(std::size_t index, std::string fault);
  void note_progress(std::size_t index);

  std::vector<StreamEnd> ends_;
  std::vector<Progress> progress_;
  std::vector<std::uint32_t> watched_;
  os::UniqueFd epoll_;
  os::UniqueFd wakeup_;
  std::thread thread_;
  std::atomic<std::uint64_t> received_bytes_ = 0;
  std::atomic<std::size_t> active_ends_ = 0;
  std::atomic<std::size_t> faulty_ends_ = 0;
  std::atomic<std::size_t> finished_ends_ = 0;
};

// Whether the condition became true in time; looks every millisecond.
template <class Condition>
bool wait_until(const os::Clock& clock, base::Duration at_most, Condition condition) {
  const base::MonotonicTime deadline = clock.monotonic_now() + at_most;
  while (!condition()) {
    if (clock.monotonic_now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace segue::example
