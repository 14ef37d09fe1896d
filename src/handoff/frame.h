// SPDX-License-Identifier: Apache-2.0
// Frames of protocol/handoff.md. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace segue::handoff {

inline constexpr uint32_t kLowestProtocol = 1;
inline constexpr uint32_t kHighestProtocol = 1;

inline constexpr size_t kHeaderBytes = 16;
inline constexpr size_t kMaxMessageBytes = 65'536;
inline constexpr size_t kMaxPartBytes = kMaxMessageBytes - kHeaderBytes;
inline constexpr size_t kMaxPayloadBytes = size_t{1} << 30;
inline constexpr size_t kMaxFdsPerMessage = 253;  // SCM_MAX_FD

enum class FrameType : uint16_t {
  hello = 1,
  accept = 2,
  refuse = 3,
  ready = 4,
  listeners = 5,
  descriptors = 6,
  arena = 7,
  connections = 8,
  connection_records = 9,
  connections_closed = 10,
  table_put = 11,
  table_erase = 12,
  removed = 13,
  round = 14,
  round_done = 15,
  mark = 16,
  digests = 17,
  excluded = 18,
  rehearse = 19,
  rehearsed = 20,
  final = 21,
  activated = 22,
  decline = 23,
  withdrawn = 24,
  commit = 25,
  committed = 26,
  abort = 27,
  heartbeat = 28,
  table_clear = 29,
  heap = 30,
  heap_slots = 31,
  heap_put = 32,
  heap_mark = 33,
  journal = 34,
  room = 35,
  accepted = 36,

  keeper_hello = 64,
  keeper_start = 65,
  keeper_store = 66,
  keeper_unstore = 67,
  keeper_attempt = 68,
  keeper_progress = 69,
  keeper_event = 70,
  keeper_commit = 71,
  keeper_abort = 72,
  keeper_end = 73,
  keeper_ping = 74,
  keeper_pong = 75,
  keeper_rendezvous = 76,
  keeper_rejoin = 77,
  keeper_release = 78,
  keeper_survey = 79,
  keeper_losses = 80,
  keeper_fence = 81,
  keeper_channel = 82,
};

enum class AttemptMode : uint32_t { upgrade = 1, rehearse = 2 };
enum class AttemptRole : uint32_t { predecessor = 1, successor = 2 };

enum class KeeperEvent : uint32_t {
  activated = 1,
  resumed = 2,
  failed = 3,
  rehearsed = 4,
  committed = 5,
  vote = 6,
  round_begun = 7,
  frozen = 8,
  released = 9,
};

// What an instance can do for a keeper beyond the first version (K_HELLO, K_REJOIN).
inline constexpr uint64_t kAbilityRejoin = 1;   // it finds the next keeper
inline constexpr uint64_t kAbilityRelease = 2;  // it goes on alone when it is told to
inline constexpr uint64_t kAbilitySurvey = 4;   // it says what an older form cannot hold

enum class DeclineCode : uint32_t { late = 1, check = 2, acquire = 3, other = 4 };

inline constexpr uint16_t kFlagCritical = 1;
inline constexpr uint16_t kFlagMore = 2;

struct FrameHeader {
  uint16_t type = 0;
  uint16_t flags = 0;
  uint32_t payload_bytes = 0;
  uint32_t sequence = 0;
  uint16_t fd_count = 0;
};

std::array<char, kHeaderBytes> encode_header(const FrameHeader& header);
// nullopt unless `message` is a whole message: known flags, reserved bytes 0, sizes that agree.
std::optional<FrameHeader> decode_header(std::string_view message);

// For people; "frame" where the type is not known.
std::string_view frame_name(FrameType type);
bool is_known(FrameType type);

}  // namespace segue::handoff
