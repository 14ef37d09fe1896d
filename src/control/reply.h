// SPDX-License-Identifier: Apache-2.0
// Field names of the keeper's replies that both sides have to agree on. A reply is one JSON object
// in one message; the last one of a request has `done`. See docs/adr/0001-control-protocol.md.
#pragma once

#include <string_view>

namespace segue::control::reply {

inline constexpr std::string_view kDone = "done";          // true in the last reply only
inline constexpr std::string_view kExit = "exit";          // with `done`: an ExitCode
inline constexpr std::string_view kText = "text";          // one line for a person
inline constexpr std::string_view kName = "name";          // the component
inline constexpr std::string_view kProgress = "progress";  // an object: how far the attempt is
inline constexpr std::string_view kStatus = "status";      // an object: answer to `status`
inline constexpr std::string_view kAttempt = "attempt";    // an object: an attempt that has ended
inline constexpr std::string_view kEvent = "event";        // an object: one step of the step log
inline constexpr std::string_view kMetrics = "metrics";    // a text: Prometheus' text format
inline constexpr std::string_view kRegistered = "registered";  // an array: what the program says
inline constexpr std::string_view kLosses = "losses";  // an object: what an older form cannot hold
inline constexpr std::string_view kSockets = "sockets";  // an array: names; descriptors come along
inline constexpr std::string_view kQueued = "queued";    // a text: what has to end before

}  // namespace segue::control::reply
