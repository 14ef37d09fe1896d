// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "handoff/link.h"
#include "handoff/owner_page.h"
#include "keeper/events.h"

namespace segue::keeper {

// A listener that an instance leaves with the keeper.
struct Stored {
  std::string name;
  handoff::UniqueFd fd;
};
struct Unstored {
  std::string name;
};

struct LossesTold {
  std::uint64_t number = 0;  // of the question
  LossReport report;
};
// The other side of a handoff is to be ended.
struct FenceWanted {
  handoff::OwnerName other = handoff::kNobody;
};
// What one frame says.
using FrameContent = std::variant<Event, std::vector<Stored>, Unstored, LossesTold, FenceWanted>;

// Reads a frame of the keeper channel (protocol/handoff.md). The error says what is wrong with it.
base::Result<FrameContent> read_frame(Generation generation, handoff::Message message);

// The payloads of what the keeper says.
std::string start_payload(handoff::OwnerName owner, std::span<const std::string> listeners);
struct AttemptOrder {
  bool is_successor = false;
  AttemptId attempt = 0;
  Kind kind = Kind::upgrade;
  std::string_view nonce;
  handoff::OwnerName successor = handoff::kNobody;
};
std::string attempt_payload(const AttemptOrder& order, const control::AttemptOptions& options);
std::string ask_payload(std::uint64_t number);  // a ping that asks what is registered
std::string survey_payload(std::uint64_t number, std::string_view forms);
std::string number_payload(std::uint64_t number);
std::string rendezvous_payload(std::string_view socket_path, std::string_view nonce,
                               Generation generation);
std::string abort_payload(AttemptId attempt, std::string_view text);

}  // namespace segue::keeper
