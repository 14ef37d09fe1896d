// SPDX-License-Identifier: Apache-2.0
#include "keeper/http_request.h"

#include <fmt/format.h>

#include <algorithm>

namespace segue::keeper {
namespace {

bool is_token(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";  // RFC 9110, 5.6.2
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

bool is_visible(std::string_view text, bool spaces) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    const auto code = static_cast<unsigned char>(c);
    return (code > 0x20 && code != 0x7F) || (spaces && (c == ' ' || c == '\t'));
  });
}

bool same_word(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return lower(x) == lower(y);
  });
}

// A field line that says that a body follows would hide it in the next request.
bool is_field(std::string_view line) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) return false;
  std::string_view value = line.substr(colon + 1);
  if (!is_visible(value, true)) return false;
  const std::string_view name = line.substr(0, colon);
  if (same_word(name, "transfer-encoding")) return false;
  if (!same_word(name, "content-length")) return true;
  value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
  return value.substr(0, value.find_last_not_of(" \t") + 1) == "0";
}

bool read_request_line(std::string_view line, HttpRequest& request) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return false;
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (!is_token(method) || !target.starts_with('/') || !is_visible(target, false)) return false;
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return false;
  request.is_get = method == "GET";
  request.is_head = method == "HEAD";
  request.target = target.substr(0, target.find('?'));
  return true;
}

std::string_view reason_of(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    default:
      return "Bad Request";
  }
}

}  // namespace

HttpRequest parse_http_request(std::string_view bytes) {
  HttpRequest request;
  const auto bad = [&] {
    request.state = HttpRequest::State::bad;
    return request;
  };
  if (bytes.size() > kMaxHttpRequestBytes) return bad();
  bool is_first = true;
  while (true) {
    const std::size_t end = bytes.find("\r\n");
    if (end == std::string_view::npos) {
      return bytes.find('\n') == std::string_view::npos ? request : bad();
    }
    const std::string_view line = bytes.substr(0, end);
    bytes.remove_prefix(end + 2);
    if (line.empty() && !is_first) {
      if (!bytes.empty()) return bad();  // a body, or another request: one is answered
      request.state = HttpRequest::State::whole;
      return request;
    }
    const bool fine = is_first ? read_request_line(line, request) : is_field(line);
    if (!fine) return bad();
    is_first = false;
  }
}

std::string http_response(int status, std::string_view content_type, std::string_view body,
                          bool head_only) {
  return fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
      status, reason_of(status), content_type, body.size(), head_only ? "" : body);
}

}  // namespace segue::keeper
