// SPDX-License-Identifier: Apache-2.0
// What stands between segue_read(), segue_write(), segue_note() and the kernel while a successor's
// doings are recorded or done again. Outside of both there is none.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

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
};

ssize_t plain_read(int fd, void* data, size_t size);
// Raises no SIGPIPE where the kernel allows to say so.
ssize_t plain_write(int fd, const void* data, size_t size);

}  // namespace segue::handoff
