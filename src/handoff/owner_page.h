// SPDX-License-Identifier: Apache-2.0
// Who serves: one compare-and-swapped word in a sealed page (protocol/handoff.md).
#pragma once

#include <atomic>
#include <cstdint>

#include "handoff/status.h"
#include "handoff/unique_fd.h"

namespace segue::handoff {

enum class OwnerState : uint8_t { vacant = 0, serving = 1, offered = 2 };

using OwnerName = uint32_t;  // 24 bits; 0 is nobody
inline constexpr OwnerName kNobody = 0;

struct Ownership {
  uint32_t epoch = 0;
  OwnerState state = OwnerState::vacant;
  OwnerName owner = kNobody;

  [[nodiscard]] uint64_t word() const {
    return uint64_t{epoch} << 32 | uint64_t{static_cast<uint8_t>(state)} << 24 | owner;
  }
  static Ownership of(uint64_t word) {
    return {static_cast<uint32_t>(word >> 32), static_cast<OwnerState>((word >> 24) & 0xFF),
            static_cast<OwnerName>(word & 0xFFFFFF)};
  }
  bool operator==(const Ownership&) const = default;
};

class OwnerPage {
 public:
  static constexpr size_t kBytes = 4096;

  OwnerPage() = default;
  OwnerPage(OwnerPage&& other) noexcept;
  OwnerPage& operator=(OwnerPage&& other) noexcept;
  OwnerPage(const OwnerPage&) = delete;
  OwnerPage& operator=(const OwnerPage&) = delete;
  ~OwnerPage();

  // A new, vacant page.
  static Status create(OwnerPage& page);
  // Takes ownership of fd; refuses one that is not a memfd of kBytes with all three seals.
  static Status map(UniqueFd fd, OwnerPage& page);

  [[nodiscard]] bool valid() const { return words_ != nullptr; }
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] Ownership look() const;
  // A name that no owner of this page had before (until 2^24 names).
  OwnerName new_name();

  // Each returns true if it happened; then `epoch`, where given, is the epoch that began.
  bool take(OwnerName me, uint32_t& epoch);
  bool offer(uint32_t epoch, OwnerName me);
  bool activate(uint32_t epoch, OwnerName predecessor, OwnerName me);
  // Also raises the epoch of an owner that has not offered yet.
  bool withdraw(uint32_t epoch, OwnerName me);
  // `predecessor` must be dead.
  bool inherit(uint32_t epoch, OwnerName predecessor, OwnerName me);
  // `successor` must be dead; it may have offered to a third instance, which then loses.
  bool reclaim(uint32_t epoch, OwnerName successor, OwnerName me);
  // `owner` must be dead.
  bool vacate(OwnerName owner);

 private:
  struct Words {
    std::atomic<uint64_t> ownership;
    std::atomic<uint64_t> names;
  };
  static_assert(std::atomic<uint64_t>::is_always_lock_free);

  bool change(const Ownership& from, const Ownership& to);

  UniqueFd fd_;
  Words* words_ = nullptr;
};

}  // namespace segue::handoff
