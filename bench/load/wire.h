// SPDX-License-Identifier: Apache-2.0
// The three protocols that the load generator speaks, as pure functions over bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace segue::load {

enum class Protocol : std::uint8_t {
  resp,  // Redis protocol, version 2
  http,  // HTTP/1.1 keep-alive GET, no pipelining
  echo,  // the server sends every line back, perhaps with a prefix that names its version
};

std::optional<Protocol> protocol_named(std::string_view name);
std::string_view to_string(Protocol protocol);

enum class RequestKind : std::uint8_t { ping, set, get, probe };

// What an answer is checked against, and what a request is written from.
struct Request {
  RequestKind kind = RequestKind::ping;
  std::uint32_t key = 0;       // of set and get; for ping and echo the connection
  std::uint32_t sequence = 0;  // set: the value; get: the value expected, 0 for none; ping: a token
};

enum class ParseStatus : std::uint8_t { complete, incomplete, malformed };

// One answer. `text` points into the parsed bytes: RESP the payload, HTTP head and body, echo the
// line.
struct Answer {
  ParseStatus status = ParseStatus::incomplete;
  std::size_t size_bytes = 0;  // how much of the input it took
  std::string_view text;
  bool is_error = false;  // RESP -ERR, HTTP status other than 200
  bool is_nil = false;    // RESP null bulk
  bool closes = false;    // HTTP: the server announces that it will close
};

// No answer may be larger; a larger one is malformed.
inline constexpr std::size_t kMaxAnswerBytes = std::size_t{64} << 10;
// Every request of write_request() but a probe fits.
inline constexpr std::size_t kMaxRequestBytes = 256;

Answer parse_answer(Protocol protocol, std::string_view input);

// Writes `request` to `out` (kMaxRequestBytes); returns how much of it was used. A probe of RESP is
// not written here: its command is write_command()'s.
std::size_t write_request(Protocol protocol, const Request& request, std::span<char> out);

// Writes the words of `command`, which spaces separate, as one RESP command; returns its size, or 0
// if it does not fit.
std::size_t write_command(std::string_view command, std::span<char> out);

// Whether `answer` is exactly what `request` asks for. A probe is content with any answer that is
// no error.
bool answer_fits(Protocol protocol, const Request& request, const Answer& answer);

// The value that a set stores names its key, so that a misplaced record shows: "KEY:SEQUENCE".
std::string_view write_value(std::uint32_t key, std::uint32_t sequence, std::span<char> out);
std::string_view write_key(std::uint32_t key, std::span<char> out);
// The sequence in a stored value of `key`; empty if the value is not one of that key's.
std::optional<std::uint32_t> sequence_in(std::uint32_t key, std::string_view value);

}  // namespace segue::load
