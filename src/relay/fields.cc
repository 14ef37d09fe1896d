// SPDX-License-Identifier: Apache-2.0
#include "relay/fields.h"

#include <algorithm>
#include <boost/beast/http/field.hpp>
#include <charconv>

#include "relay/source_url.h"

namespace segue::relay {

namespace http = boost::beast::http;

namespace {

constexpr std::int64_t kLastYearEnd = 4'102'444'800;  // 2100-01-01

std::string_view view_of(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

}  // namespace

bool is_task(std::string_view text) {
  return text.size() <= kMaxTaskBytes &&
         std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

std::optional<std::uint64_t> parse_count(std::string_view text) {
  std::uint64_t number = 0;
  const char* begin = text.data();
  const char* end = begin + text.size();
  const auto [read, problem] = std::from_chars(begin, end, number);
  if (text.empty() || problem != std::errc() || read != end) return std::nullopt;
  return number;
}

std::optional<ContentRange> parse_content_range(std::string_view text) {
  constexpr std::string_view kUnit = "bytes ";
  if (!text.starts_with(kUnit)) return std::nullopt;
  text.remove_prefix(kUnit.size());
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  ContentRange range;
  const std::string_view total = text.substr(slash + 1);
  if (total != "*") {
    range.total_bytes = parse_count(total);
    if (!range.total_bytes) return std::nullopt;
  }
  const std::string_view span = text.substr(0, slash);
  if (span == "*") return range;
  const std::size_t dash = span.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto first = parse_count(span.substr(0, dash));
  const auto last = parse_count(span.substr(dash + 1));
  if (!first || !last || *last < *first) return std::nullopt;
  if (range.total_bytes && *last >= *range.total_bytes) return std::nullopt;
  range.first_byte = first;
  return range;
}

Asker asker_of(const RequestHeader& request) {
  Asker asker;
  const auto go_live = parse_count(view_of(request[kGoLiveField]));
  if (go_live && *go_live <= static_cast<std::uint64_t>(kLastYearEnd)) {
    asker.go_live = static_cast<std::int64_t>(*go_live);
  }
  const std::string_view host = view_of(request[kHostField]);
  if (check_name("host", host)) asker.host = host;
  const std::string_view task = view_of(request[kTaskField]);
  if (is_task(task)) asker.task = task;
  asker.left_bytes = parse_count(view_of(request[kLeftField]));
  const std::string_view relay = view_of(request[kRelayField]);
  const std::size_t slash = relay.find('/');
  if (slash != std::string_view::npos && check_name("site", relay.substr(0, slash)) &&
      check_name("member", relay.substr(slash + 1))) {
    asker.relay_site = relay.substr(0, slash);
    asker.relay_name = relay.substr(slash + 1);
  }
  asker.wants_only_kept = view_of(request[kOnlyKeptField]) == "1";
  asker.wants_fresh = view_of(request[http::field::cache_control]) == "no-cache";
  return asker;
}

UpstreamAnswer answer_of(const http::response<http::empty_body>& message) {
  UpstreamAnswer answer;
  answer.status = message.result_int();
  answer.body_bytes = parse_count(view_of(message[http::field::content_length]));
  answer.tag = view_of(message[http::field::etag]);
  answer.kept_bytes = parse_count(view_of(message[kKeptField]));
  const auto range = parse_content_range(view_of(message[http::field::content_range]));
  if (answer.status == 200) answer.total_bytes = answer.body_bytes;
  if (range) {
    answer.first_byte = range->first_byte.value_or(0);
    answer.total_bytes = range->total_bytes;
  }
  return answer;
}

}  // namespace segue::relay
