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
    {FrameType::hello, "HELLO"},
    {FrameType::accept, "ACCEPT"},
    {FrameType::refuse, "REFUSE"},
    {FrameType::ready, "READY"},
    {FrameType::listeners, "LISTENERS"},
    {FrameType::descriptors, "DESCRIPTORS"},
    {FrameType::arena, "ARENA"},
    {FrameType::connections, "CONNECTIONS"},
    {FrameType::connection_records, "CONNECTION_RECORDS"},
    {FrameType::connections_closed, "CONNECTIONS_CLOSED"},
    {FrameType::table_put, "TABLE_PUT"},
    {FrameType::table_erase, "TABLE_ERASE"},
    {FrameType::removed, "REMOVED"},
    {FrameType::round, "ROUND"},
    {FrameType::round_done, "ROUND_DONE"},
    {FrameType::mark, "MARK"},
    {FrameType::digests, "DIGESTS"},
    {FrameType::excluded, "EXCLUDED"},
    {FrameType::rehearse, "REHEARSE"},
    {FrameType::rehearsed, "REHEARSED"},
    {FrameType::final, "FINAL"},
    {FrameType::activated, "ACTIVATED"},
    {FrameType::decline, "DECLINE"},
    {FrameType::withdrawn, "WITHDRAWN"},
    {FrameType::commit, "COMMIT"},
    {FrameType::committed, "COMMITTED"},
    {FrameType::abort, "ABORT"},
    {FrameType::heartbeat, "HEARTBEAT"},
    {FrameType::table_clear, "TABLE_CLEAR"},
    {FrameType::heap, "HEAP"},
    {FrameType::heap_slots, "HEAP_SLOTS"},
    {FrameType::heap_put, "HEAP_PUT"},
    {FrameType::heap_mark, "HEAP_MARK"},
    {FrameType::journal, "JOURNAL"},
    {FrameType::room, "ROOM"},
    {FrameType::accepted, "ACCEPTED"},
    {FrameType::keeper_hello, "K_HELLO"},
    {FrameType::keeper_start, "K_START"},
    {FrameType::keeper_store, "K_STORE"},
    {FrameType::keeper_unstore, "K_UNSTORE"},
    {FrameType::keeper_attempt, "K_ATTEMPT"},
    {FrameType::keeper_progress, "K_PROGRESS"},
    {FrameType::keeper_event, "K_EVENT"},
    {FrameType::keeper_commit, "K_COMMIT"},
    {FrameType::keeper_abort, "K_ABORT"},
    {FrameType::keeper_end, "K_END"},
    {FrameType::keeper_ping, "K_PING"},
    {FrameType::keeper_pong, "K_PONG"},
    {FrameType::keeper_rendezvous, "K_RENDEZVOUS"},
    {FrameType::keeper_rejoin, "K_REJOIN"},
    {FrameType::keeper_release, "K_RELEASE"},
    {FrameType::keeper_survey, "K_SURVEY"},
    {FrameType::keeper_losses, "K_LOSSES"},
    {FrameType::keeper_fence, "K_FENCE"},
    {FrameType::keeper_channel, "K_CHANNEL"},
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
