// SPDX-License-Identifier: Apache-2.0
#include "handoff/frame.h"

#include <cstring>

namespace segue::handoff {
namespace {

struct Name {
  FrameType type;
  std::string_view name;
};

constexpr Name kNames[] = {
    {FrameType::kHello, "HELLO"},
    {FrameType::kAccept, "ACCEPT"},
    {FrameType::kRefuse, "REFUSE"},
    {FrameType::kReady, "READY"},
    {FrameType::kListeners, "LISTENERS"},
    {FrameType::kDescriptors, "DESCRIPTORS"},
    {FrameType::kArena, "ARENA"},
    {FrameType::kConnections, "CONNECTIONS"},
    {FrameType::kConnectionRecords, "CONNECTION_RECORDS"},
    {FrameType::kConnectionsClosed, "CONNECTIONS_CLOSED"},
    {FrameType::kTablePut, "TABLE_PUT"},
    {FrameType::kTableErase, "TABLE_ERASE"},
    {FrameType::kRemoved, "REMOVED"},
    {FrameType::kRound, "ROUND"},
    {FrameType::kRoundDone, "ROUND_DONE"},
    {FrameType::kMark, "MARK"},
    {FrameType::kDigests, "DIGESTS"},
    {FrameType::kExcluded, "EXCLUDED"},
    {FrameType::kRehearse, "REHEARSE"},
    {FrameType::kRehearsed, "REHEARSED"},
    {FrameType::kFinal, "FINAL"},
    {FrameType::kActivated, "ACTIVATED"},
    {FrameType::kDecline, "DECLINE"},
    {FrameType::kWithdrawn, "WITHDRAWN"},
    {FrameType::kCommit, "COMMIT"},
    {FrameType::kCommitted, "COMMITTED"},
    {FrameType::kAbort, "ABORT"},
    {FrameType::kHeartbeat, "HEARTBEAT"},
    {FrameType::kKeeperHello, "K_HELLO"},
    {FrameType::kKeeperStart, "K_START"},
    {FrameType::kKeeperStore, "K_STORE"},
    {FrameType::kKeeperUnstore, "K_UNSTORE"},
    {FrameType::kKeeperAttempt, "K_ATTEMPT"},
    {FrameType::kKeeperProgress, "K_PROGRESS"},
    {FrameType::kKeeperEvent, "K_EVENT"},
    {FrameType::kKeeperCommit, "K_COMMIT"},
    {FrameType::kKeeperAbort, "K_ABORT"},
    {FrameType::kKeeperEnd, "K_END"},
    {FrameType::kKeeperPing, "K_PING"},
    {FrameType::kKeeperPong, "K_PONG"},
};

template <typename T>
T load(std::string_view bytes, size_t offset) {
  T value{};
  memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

}  // namespace

std::array<char, kHeaderBytes> encode_header(const FrameHeader& header) {
  std::array<char, kHeaderBytes> bytes{};
  memcpy(bytes.data(), &header.type, 2);
  memcpy(bytes.data() + 2, &header.flags, 2);
  memcpy(bytes.data() + 4, &header.payload_bytes, 4);
  memcpy(bytes.data() + 8, &header.sequence, 4);
  memcpy(bytes.data() + 12, &header.fd_count, 2);
  return bytes;
}

std::optional<FrameHeader> decode_header(std::string_view message) {
  if (message.size() < kHeaderBytes || message.size() > kMaxMessageBytes) return std::nullopt;
  const FrameHeader header{load<uint16_t>(message, 0), load<uint16_t>(message, 2),
                           load<uint32_t>(message, 4), load<uint32_t>(message, 8),
                           load<uint16_t>(message, 12)};
  if ((header.flags & ~(kFlagCritical | kFlagMore)) != 0) return std::nullopt;
  if (load<uint16_t>(message, 14) != 0) return std::nullopt;
  if (header.payload_bytes != message.size() - kHeaderBytes) return std::nullopt;
  if (header.fd_count > kMaxFdsPerMessage) return std::nullopt;
  return header;
}

std::string_view frame_name(FrameType type) {
  for (const Name& entry : kNames) {
    if (entry.type == type) return entry.name;
  }
  return "frame";
}

bool is_known(FrameType type) {
  for (const Name& entry : kNames) {
    if (entry.type == type) return true;
  }
  return false;
}

}  // namespace segue::handoff
