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
  kHello = 1,
  kAccept = 2,
  kRefuse = 3,
  kReady = 4,
  kListeners = 5,
  kDescriptors = 6,
  kArena = 7,
  kConnections = 8,
  kConnectionRecords = 9,
  kConnectionsClosed = 10,
  kTablePut = 11,
  kTableErase = 12,
  kRemoved = 13,
  kRound = 14,
  kRoundDone = 15,
  kMark = 16,
  kDigests = 17,
  kExcluded = 18,
  kRehearse = 19,
  kRehearsed = 20,
  kFinal = 21,
  kActivated = 22,
  kDecline = 23,
  kWithdrawn = 24,
  kCommit = 25,
  kCommitted = 26,
  kAbort = 27,
  kHeartbeat = 28,

  kKeeperHello = 64,
  kKeeperStart = 65,
  kKeeperStore = 66,
  kKeeperUnstore = 67,
  kKeeperAttempt = 68,
  kKeeperProgress = 69,
  kKeeperEvent = 70,
  kKeeperCommit = 71,
  kKeeperAbort = 72,
  kKeeperEnd = 73,
  kKeeperPing = 74,
  kKeeperPong = 75,
};

enum class AttemptMode : uint32_t { kUpgrade = 1, kRehearse = 2 };
enum class AttemptRole : uint32_t { kPredecessor = 1, kSuccessor = 2 };

enum class KeeperEvent : uint32_t {
  kActivated = 1,
  kResumed = 2,
  kFailed = 3,
  kRehearsed = 4,
  kCommitted = 5,
  kVote = 6,
  kRoundBegun = 7,
  kFrozen = 8,
};

enum class DeclineCode : uint32_t { kLate = 1, kCheck = 2, kAcquire = 3, kOther = 4 };

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
