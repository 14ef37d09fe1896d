// SPDX-License-Identifier: Apache-2.0
// The header fields that hosts and relays exchange, from anybody: read strictly. Pure.
#pragma once

#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "relay/transfer_queue.h"
#include "relay/upstream.h"

namespace segue::relay {

inline constexpr const char* kGoLiveField = "Segue-Go-Live";  // seconds since 1970
inline constexpr const char* kHostField = "Segue-Host";       // a name
inline constexpr const char* kTaskField = "Segue-Task";       // "chat 1.4.2"
inline constexpr const char* kLeftField = "Segue-Left";       // bytes, this object's too
inline constexpr const char* kRelayField = "Segue-Relay";     // SITE/NAME of the relay that asks
inline constexpr const char* kOnlyKeptField = "Segue-Only-Kept";  // 1: only what is there
inline constexpr const char* kKeptField = "Segue-Kept";           // answer: how much of it is there

inline constexpr std::size_t kMaxHostBytes = 64;
inline constexpr std::size_t kMaxTaskBytes = 200;

// Digits alone.
std::optional<std::uint64_t> parse_count(std::string_view text);

// What a host may say that it does.
bool is_task(std::string_view text);

struct ContentRange {
  std::optional<std::uint64_t> first_byte;  // nothing: bytes */TOTAL
  std::optional<std::uint64_t> total_bytes;
};
// RFC 9110, section 14.4.
std::optional<ContentRange> parse_content_range(std::string_view text);

// What a host says of itself when it asks; what it says wrongly counts as not said.
struct Asker {
  GoLive go_live;
  std::string host;
  std::string task;
  std::optional<std::uint64_t> left_bytes;
  std::string relay_site;  // of a relay that asks
  std::string relay_name;
  bool wants_only_kept = false;
  bool wants_fresh = false;  // Cache-Control: no-cache
};
using RequestHeader = boost::beast::http::request<boost::beast::http::empty_body>;
Asker asker_of(const RequestHeader& request);

UpstreamAnswer answer_of(
    const boost::beast::http::response<boost::beast::http::empty_body>& message);

}  // namespace segue::relay
