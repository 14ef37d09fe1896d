// SPDX-License-Identifier: Apache-2.0
#include "keeper/instance_channel.h"

#include "base/json_writer.h"
#include "handoff/fields.h"
#include "segue/segue.h"

namespace segue::keeper {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using handoff::FrameType;
using handoff::get_bytes;
using handoff::get_number;

constexpr std::size_t kMaxTextBytes = 1'024;  // of what an instance says to people
constexpr std::size_t kMaxRegistered = 1'024;
constexpr std::size_t kMaxRegisteredNameBytes = 63;
constexpr std::size_t kMaxRanges = 8'192;  // of descriptors

std::string text_of(std::string_view record, std::uint32_t tag) {
  return std::string(get_bytes(record, tag).substr(0, kMaxTextBytes));
}

Event hello_of(Generation generation, std::string_view record) {
  const std::string_view forms = get_bytes(record, 11);
  return HelloReceived{generation,
                       get_number(record, 1, 0),
                       get_number(record, 2, 0),
                       text_of(record, 3),
                       text_of(record, 4),
                       get_number(record, 6, 0),
                       std::string(forms.size() <= kMaxFormsBytes ? forms : "")};
}

Event progress_of(Generation generation, std::string_view record) {
  const auto small = [&](std::uint32_t tag) {
    return static_cast<std::uint32_t>(get_number(record, tag, 0));
  };
  return ProgressReceived{generation,
                          small(1),
                          {.phase = small(3),
                           .rounds = small(4),
                           .freezes = small(5),
                           .records = get_number(record, 6, 0),
                           .bytes = get_number(record, 7, 0),
                           .fds = get_number(record, 8, 0),
                           .connections = get_number(record, 9, 0),
                           .predicted_ns = get_number(record, 10, 0),
                           .blackout_ns = get_number(record, 11, 0),
                           .frozen_max_ns = get_number(record, 12, 0),
                           .replayed = get_number(record, 13, 0),
                           .repaired = get_number(record, 14, 0),
                           .closed_on_reclaim = get_number(record, 15, 0)}};
}

Result<Event> event_of(Generation generation, std::string_view record) {
  const std::uint64_t said = get_number(record, 3, 0);
  if (said < 1 || said > kSaidCount) {
    return fail(ErrorCode::invalid_argument, "it reported an event of unknown number {}", said);
  }
  return EventReceived{generation, static_cast<AttemptId>(get_number(record, 1, 0)),
                       static_cast<Said>(said), text_of(record, 4), get_number(record, 5, 0)};
}

// The records of field 4 as a JSON array; empty where there are none.
std::string registered_of(std::string_view record) {
  base::JsonWriter json;
  json.begin_array();
  std::size_t count = 0;
  while (!record.empty() && count < kMaxRegistered) {
    const auto field = handoff::take_field(record);
    if (!field) break;
    if (field->tag != 4 || !handoff::is_record(field->bytes)) continue;
    ++count;
    json.begin_object()
        .field("kind", get_number(field->bytes, 1, 0))
        .field("name", get_bytes(field->bytes, 2).substr(0, kMaxRegisteredNameBytes))
        .field("number", get_number(field->bytes, 3, 0));
    json.key("fds").begin_array();
    std::string_view ranges = get_bytes(field->bytes, 4);
    for (std::size_t i = 0; i < kMaxRanges && !ranges.empty(); ++i) {
      const auto first = handoff::take_varint(ranges);
      const auto length = handoff::take_varint(ranges);
      if (!first || !length) break;
      json.begin_array().value(*first).value(*length).end();
    }
    json.end().end();
  }
  json.end();
  return count == 0 ? "" : std::move(json).take();
}

Result<std::vector<Stored>> stored_of(handoff::Message& message) {
  std::string_view names = get_bytes(message.payload, 1);
  std::vector<Stored> stored;
  for (auto& fd : message.fds) {
    const auto entry = names.empty() ? std::nullopt : handoff::take_batch_entry(names);
    if (!entry || entry->key.empty() || entry->key.size() > 63) {
      return fail(ErrorCode::invalid_argument, "it stored {} listeners under malformed names",
                  message.fds.size());
    }
    stored.push_back({std::string(entry->key), std::move(fd)});
  }
  return stored;
}

}  // namespace

Result<FrameContent> read_frame(Generation generation, handoff::Message message) {
  const std::string_view record = message.payload;
  const auto malformed = [&] {
    return fail(ErrorCode::invalid_argument, "it sent a malformed {}",
                handoff::frame_name(message.type));
  };
  if (!handoff::is_record(record)) return malformed();
  if (message.type != FrameType::keeper_store && !message.fds.empty()) return malformed();
  switch (message.type) {
    case FrameType::keeper_hello:
      return FrameContent(hello_of(generation, record));
    case FrameType::keeper_progress:
      return FrameContent(progress_of(generation, record));
    case FrameType::keeper_event: {
      SEGUE_ASSIGN(auto event, event_of(generation, record));
      return FrameContent(std::move(event));
    }
    case FrameType::keeper_pong:
      return FrameContent(Event(PongReceived{generation, get_number(record, 3, 0),
                                             get_number(record, 1, 0), registered_of(record)}));
    case FrameType::keeper_store: {
      SEGUE_ASSIGN(auto stored, stored_of(message));
      return FrameContent(std::move(stored));
    }
    case FrameType::keeper_losses:
      return FrameContent(LossesTold{get_number(record, 1, 0), losses_of(record)});
    case FrameType::keeper_fence:
      return FrameContent(
          FenceWanted{static_cast<handoff::OwnerName>(get_number(record, 2, 0) & 0xFFFFFF)});
    case FrameType::keeper_unstore:
      return FrameContent(Unstored{text_of(record, 1)});
    default:
      return fail(ErrorCode::invalid_argument, "it sent {}, which is not for a keeper",
                  handoff::frame_name(message.type));
  }
}

std::string start_payload(handoff::OwnerName owner, std::span<const std::string> listeners) {
  std::string batch;
  for (const auto& name : listeners) handoff::append_batch_entry(batch, name, {});
  segue_writer out;
  handoff::put_number(out, 1, owner);
  handoff::put_field(out, 2, batch);
  return std::move(out.fields);
}

std::string attempt_payload(const AttemptOrder& order, const control::AttemptOptions& options) {
  segue_writer out;
  const auto optional = [&](std::uint32_t tag, const std::optional<std::uint32_t>& number) {
    if (number) handoff::put_number(out, tag, *number);
  };
  const auto role =
      order.is_successor ? handoff::AttemptRole::successor : handoff::AttemptRole::predecessor;
  const auto mode =
      order.kind == Kind::rehearse ? handoff::AttemptMode::rehearse : handoff::AttemptMode::upgrade;
  handoff::put_number(out, 1, static_cast<std::uint64_t>(role));
  handoff::put_number(out, 2, order.attempt);
  handoff::put_field(out, 3, order.nonce);
  handoff::put_number(out, 4, static_cast<std::uint64_t>(mode));
  optional(5, options.budget_us);
  optional(6, options.max_rounds);
  optional(7, options.max_attempts);
  optional(8, options.background_ms);
  optional(9, options.rehearsal_ms);
  optional(10, options.answer_ms);
  handoff::put_number(out, 11, options.probation_ms);
  optional(12, options.hang_ms);
  handoff::put_number(out, 13, options.vote ? 1 : 0);
  handoff::put_number(out, 14, options.no_rehearsal ? 1 : 0);
  handoff::put_number(out, 15, order.successor);
  if (const auto word = control::on_crash_of(options.on_crash)) {
    handoff::put_number(out, 16, *word + 1);
  }
  handoff::put_number(out, 17, 1);
  return std::move(out.fields);
}

std::string ask_payload(std::uint64_t number) {
  segue_writer out;
  handoff::put_number(out, 1, number);
  handoff::put_number(out, 2, 1);
  return std::move(out.fields);
}

std::string survey_payload(std::uint64_t number, std::string_view forms) {
  segue_writer out;
  handoff::put_number(out, 1, number);
  handoff::put_field(out, 2, forms);
  return std::move(out.fields);
}

std::string number_payload(std::uint64_t number) {
  segue_writer out;
  handoff::put_number(out, 1, number);
  return std::move(out.fields);
}

std::string rendezvous_payload(std::string_view socket_path, std::string_view nonce,
                               Generation generation) {
  segue_writer out;
  handoff::put_field(out, 1, socket_path);
  handoff::put_field(out, 2, nonce);
  handoff::put_number(out, 3, generation);
  return std::move(out.fields);
}

std::string abort_payload(AttemptId attempt, std::string_view text) {
  segue_writer out;
  handoff::put_number(out, 1, attempt);
  handoff::put_field(out, 2, text.substr(0, kMaxTextBytes));
  return std::move(out.fields);
}

}  // namespace segue::keeper
