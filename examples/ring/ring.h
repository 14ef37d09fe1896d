// SPDX-License-Identifier: Apache-2.0
// What server and clients share: an arena of lanes, one per client, each with a ring of requests
// and a ring of answers. A position counts up for ever; its slot is the remainder.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace ring {

inline constexpr std::uint32_t kLanes = 64;
inline constexpr std::uint64_t kSlots = 256;

struct Answer {
  std::uint64_t request;
  std::uint64_t sum;  // of all requests of this lane so far
  std::uint64_t server_pid;
};

struct Lane {
  // The client's:
  std::atomic<std::uint64_t> requests_end;   // written by the client
  std::atomic<std::uint64_t> answers_begin;  // taken by the client
  std::array<std::uint64_t, kSlots> requests;
  // The server's:
  std::atomic<std::uint64_t> requests_begin;  // taken by the server
  std::atomic<std::uint64_t> answers_end;     // written by the server
  std::array<Answer, kSlots> answers;
  std::uint64_t sum;
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "processes share them");

struct Arena {
  std::array<Lane, kLanes> lanes;
};

// What a client gets when it has connected, with three descriptors: the arena, an eventfd to be
// written after requests, and one that is written after answers.
struct Welcome {
  std::uint32_t lane;
};

}  // namespace ring
