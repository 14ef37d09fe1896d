// SPDX-License-Identifier: Apache-2.0
// What stands between segue_read(), segue_write(), segue_note() and the kernel while a successor's
// doings are recorded or done again. Outside of both there is none.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "segue/segue.h"

namespace segue::handoff {

class Traffic {
 public:
  virtual ~Traffic() = default;
  // As read() and write(): errno tells why -1.
  virtual ssize_t read(segue_conn& conn, void* data, size_t size) = 0;
  virtual ssize_t write(segue_conn& conn, const void* data, size_t size) = 0;
  // Returns the size of what stands in `data` afterwards.
  virtual size_t note(uint32_t tag, void* data, size_t size, size_t capacity) = 0;
  virtual void opened(segue_conn& conn) = 0;
  // Before it is closed.
  virtual void closing(segue_conn& conn, segue_close_how how) = 0;
  // The service begins to be handed on.
  virtual void hand_on() = 0;
  [[nodiscard]] virtual bool replaying() const = 0;
  // One of the service's loops begins a turn; it ends with Turns::end(). False: none is to begin
  // any more.
  virtual bool begin_turn() = 0;
};

// Set while no loop runs; emptied at any time.
class TrafficSlot {
 public:
  TrafficSlot& operator=(std::unique_ptr<Traffic> traffic) {
    current_.store(traffic.get(), std::memory_order_release);
    kept_ = std::move(traffic);
    return *this;
  }
  // Another thread may be inside: what was there goes when it is replaced.
  void reset() { current_.store(nullptr, std::memory_order_release); }
  [[nodiscard]] Traffic* get() const { return current_.load(std::memory_order_acquire); }
  Traffic* operator->() const { return get(); }
  explicit operator bool() const { return get() != nullptr; }

 private:
  std::unique_ptr<Traffic> kept_;
  std::atomic<Traffic*> current_ = nullptr;
};

ssize_t plain_read(int fd, void* data, size_t size);
// Raises no SIGPIPE where the kernel allows to say so.
ssize_t plain_write(int fd, const void* data, size_t size);

}  // namespace segue::handoff
