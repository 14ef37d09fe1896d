// SPDX-License-Identifier: Apache-2.0
#include "load/wire.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

namespace segue::load {
namespace {

constexpr std::array<std::pair<std::string_view, Protocol>, 3> kProtocols = {{
    {"resp", Protocol::resp},
    {"http", Protocol::http},
    {"echo", Protocol::echo},
}};

constexpr std::string_view kHttpRequest = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n";

template <class Integer>
std::optional<Integer> number_in(std::string_view text) {
  Integer value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

template <class... Args>
std::string_view format_into(std::span<char> out, fmt::format_string<Args...> format,
                             Args&&... args) {
  const auto result = fmt::format_to_n(out.data(), out.size(), format, std::forward<Args>(args)...);
  return {out.data(), std::min(result.size, out.size())};
}

Answer malformed() {
  return {.status = ParseStatus::malformed};
}
Answer incomplete(std::string_view input) {
  return input.size() > kMaxAnswerBytes ? malformed() : Answer{};
}

Answer parse_bulk(std::string_view input, std::string_view length, std::size_t header_bytes) {
  if (length == "-1") {
    return {.status = ParseStatus::complete, .size_bytes = header_bytes, .is_nil = true};
  }
  const auto size = number_in<std::uint32_t>(length);
  if (!size || *size > kMaxAnswerBytes) return malformed();
  const std::size_t total = header_bytes + *size + 2;
  if (input.size() < total) return {};
  if (input.substr(total - 2, 2) != "\r\n") return malformed();
  return {.status = ParseStatus::complete,
          .size_bytes = total,
          .text = input.substr(header_bytes, *size)};
}

Answer parse_resp(std::string_view input) {
  if (input.empty()) return {};
  const std::size_t end = input.find("\r\n");
  if (end == std::string_view::npos) return incomplete(input);
  const std::string_view line = input.substr(1, end - 1);
  switch (input.front()) {
    case '+':
    case ':':
    case '-':
      return {.status = ParseStatus::complete,
              .size_bytes = end + 2,
              .text = line,
              .is_error = input.front() == '-'};
    case '$':
      return parse_bulk(input, line, end + 2);
    default:
      return malformed();
  }
}

bool equal_ignoring_case(std::string_view one, std::string_view two) {
  return std::equal(one.begin(), one.end(), two.begin(), two.end(), [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) ==
           std::tolower(static_cast<unsigned char>(b));
  });
}

// The value of the first header field of that name in `head`, without the blanks around it.
std::optional<std::string_view> header(std::string_view head, std::string_view name) {
  std::size_t at = head.find("\r\n");
  while (at != std::string_view::npos) {
    const std::string_view rest = head.substr(at + 2);
    const std::string_view line = rest.substr(0, rest.find("\r\n"));
    const std::size_t colon = line.find(':');
    if (colon != std::string_view::npos && equal_ignoring_case(line.substr(0, colon), name)) {
      std::string_view value = line.substr(colon + 1);
      while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
      while (!value.empty() && value.back() == ' ') value.remove_suffix(1);
      return value;
    }
    at = head.find("\r\n", at + 2);
  }
  return std::nullopt;
}

Answer parse_http(std::string_view input) {
  const std::size_t end = input.find("\r\n\r\n");
  if (end == std::string_view::npos) return incomplete(input);
  const std::string_view head = input.substr(0, end);
  if (!head.starts_with("HTTP/1.1 ") || head.size() < 12) return malformed();
  // Servers of this bench send a length with every answer.
  const auto length = number_in<std::uint32_t>(header(head, "content-length").value_or(""));
  if (!length || *length > kMaxAnswerBytes) return malformed();
  const std::size_t total = end + 4 + *length;
  if (input.size() < total) return {};
  return {.status = ParseStatus::complete,
          .size_bytes = total,
          .text = input.substr(0, total),
          .is_error = head.substr(9, 3) != "200",
          .closes = equal_ignoring_case(header(head, "connection").value_or(""), "close")};
}

Answer parse_line(std::string_view input) {
  const std::size_t end = input.find('\n');
  if (end == std::string_view::npos) return incomplete(input);
  return {.status = ParseStatus::complete, .size_bytes = end + 1, .text = input.substr(0, end)};
}

bool resp_answer_fits(const Request& request, const Answer& answer) {
  std::array<char, kMaxRequestBytes> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  switch (request.kind) {
    case RequestKind::ping:
      return answer.text == write_value(request.key, request.sequence, buffer);
    case RequestKind::set:
      return answer.text == "OK";
    case RequestKind::get:
      if (request.sequence == 0) return answer.is_nil;
      return !answer.is_nil && answer.text == write_value(request.key, request.sequence, buffer);
    case RequestKind::probe:
      return true;
  }
  return false;
}

}  // namespace

std::optional<Protocol> protocol_named(std::string_view name) {
  for (const auto& [known, protocol] : kProtocols) {
    if (known == name) return protocol;
  }
  return std::nullopt;
}

std::string_view to_string(Protocol protocol) {
  for (const auto& [name, known] : kProtocols) {
    if (known == protocol) return name;
  }
  return "?";
}

Answer parse_answer(Protocol protocol, std::string_view input) {
  switch (protocol) {
    case Protocol::resp:
      return parse_resp(input);
    case Protocol::http:
      return parse_http(input);
    case Protocol::echo:
      return parse_line(input);
  }
  return malformed();
}

std::string_view write_value(std::uint32_t key, std::uint32_t sequence, std::span<char> out) {
  return format_into(out, "{}:{}", key, sequence);
}

std::string_view write_key(std::uint32_t key, std::span<char> out) {
  return format_into(out, "bench:{}", key);
}

std::optional<std::uint32_t> sequence_in(std::uint32_t key, std::string_view value) {
  const std::size_t colon = value.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  if (number_in<std::uint32_t>(value.substr(0, colon)) != key) return std::nullopt;
  return number_in<std::uint32_t>(value.substr(colon + 1));
}

std::size_t write_request(Protocol protocol, const Request& request, std::span<char> out) {
  if (protocol == Protocol::http) {
    std::copy(kHttpRequest.begin(), kHttpRequest.end(), out.begin());
    return kHttpRequest.size();
  }
  std::array<char, 32> value_buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  const std::string_view value = write_value(request.key, request.sequence, value_buffer);
  if (protocol == Protocol::echo) return format_into(out, "{}\n", value).size();

  std::array<char, 32> key_buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  const std::string_view key = write_key(request.key, key_buffer);
  switch (request.kind) {
    case RequestKind::set:
      return format_into(out, "*3\r\n$3\r\nSET\r\n${}\r\n{}\r\n${}\r\n{}\r\n", key.size(), key,
                         value.size(), value)
          .size();
    case RequestKind::get:
      return format_into(out, "*2\r\n$3\r\nGET\r\n${}\r\n{}\r\n", key.size(), key).size();
    case RequestKind::ping:
    case RequestKind::probe:
      break;
  }
  return format_into(out, "*2\r\n$4\r\nPING\r\n${}\r\n{}\r\n", value.size(), value).size();
}

std::size_t write_command(std::string_view command, std::span<char> out) {
  fmt::memory_buffer words;
  std::size_t count = 0;
  while (!command.empty()) {
    const std::string_view word = command.substr(0, command.find(' '));
    command.remove_prefix(std::min(word.size() + 1, command.size()));
    if (word.empty()) continue;
    fmt::format_to(std::back_inserter(words), "${}\r\n{}\r\n", word.size(), word);
    ++count;
  }
  const auto result = fmt::format_to_n(out.data(), out.size(), "*{}\r\n{}", count,
                                       std::string_view(words.data(), words.size()));
  return count == 0 || result.size > out.size() ? 0 : result.size;
}

bool answer_fits(Protocol protocol, const Request& request, const Answer& answer) {
  if (answer.status != ParseStatus::complete || answer.is_error) return false;
  switch (protocol) {
    case Protocol::resp:
      return resp_answer_fits(request, answer);
    case Protocol::http:
      return true;
    case Protocol::echo: {
      std::array<char, 32> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
      const std::string_view sent = write_value(request.key, request.sequence, buffer);
      return answer.text == sent || (answer.text.ends_with(sent) &&
                                     answer.text[answer.text.size() - sent.size() - 1] == ' ');
    }
  }
  return false;
}

}  // namespace segue::load
