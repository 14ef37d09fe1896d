// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "handoff/status.h"
#include "handoff/unique_fd.h"

namespace segue::handoff {

// The memory of a journal.
class JournalMemory {
 public:
  JournalMemory() = default;
  JournalMemory(JournalMemory&& other) noexcept;
  JournalMemory& operator=(JournalMemory&& other) noexcept;
  JournalMemory(const JournalMemory&) = delete;
  JournalMemory& operator=(const JournalMemory&) = delete;
  ~JournalMemory();

  // A fresh one; not populated.
  static Status create(size_t bytes, JournalMemory& memory);
  // Takes ownership of fd; refuses one that is not a memfd of that size with all seals.
  static Status map(UniqueFd fd, size_t bytes, JournalMemory& memory);
  // Touches all pages, so that no write faults later. Takes a while. False where the kernel cannot
  // (before Linux 5.14, or memory is short): then a write may fault, or end the process.
  bool populate();

  [[nodiscard]] bool valid() const { return data_ != nullptr; }
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] char* data() const { return data_; }
  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] std::string_view bytes() const { return {data_, size_}; }

 private:
  UniqueFd fd_;
  char* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace segue::handoff
