// SPDX-License-Identifier: Apache-2.0
#include "relay/state.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/json_writer.h"
#include "relay/fields.h"
#include "relay/source_url.h"

namespace segue::relay {
namespace {

using base::ErrorCode;
using base::fail;
using base::JsonWriter;
using base::Result;
using Json = nlohmann::json;

constexpr int kMaxDepth = 8;
constexpr std::size_t kMaxTextBytes = 1'000;
constexpr std::size_t kMaxItems = 1'024;
constexpr double kMaxRate = 1e12;

template <class T>
void put(JsonWriter& json, std::string_view key, const std::optional<T>& value) {
  json.key(key);
  if (value) {
    json.value(*value);
  } else {
    json.null();
  }
}

void put_line(JsonWriter& json, const LineState& line) {
  json.begin_object();
  put(json, "limit_bytes_per_s", line.limit_bytes_per_second);
  json.field("bytes_per_s", line.bytes_per_second)
      .field("bytes_today", line.bytes_today)
      .field("bytes_total", line.bytes_total)
      .end();
}

void put_hosts(JsonWriter& json, std::string_view key, const std::vector<HostState>& hosts) {
  json.key(key).begin_array();
  for (const HostState& host : hosts) {
    json.begin_object().field("host", host.host).field("task", host.task);
    json.field("relay", host.relay);
    put(json, "go_live", host.go_live);
    put(json, "left_bytes", host.left_bytes);
    json.field("bytes_per_s", host.bytes_per_second).field("bytes", host.bytes);
    put(json, "eta_s", host.eta_s);
    json.end();
  }
  json.end();
}

void put_members(JsonWriter& json, const std::vector<MemberState>& members) {
  json.key("members").begin_array();
  for (const MemberState& member : members) {
    json.begin_object().field("name", member.name).field("url", member.url);
    json.field("alive", member.is_alive).field("trusted", member.is_trusted);
    put(json, "seen_s_ago", member.seen_s_ago);
    json.key("line");
    if (member.line) {
      put_line(json, *member.line);
    } else {
      json.null();
    }
    json.end();
  }
  json.end();
}

void put_transfers(JsonWriter& json, const std::vector<TransferState>& transfers) {
  json.key("transfers").begin_array();
  for (const TransferState& transfer : transfers) {
    json.begin_object().field("object", transfer.object).field("bytes", transfer.bytes);
    put(json, "of", transfer.total_bytes);
    put(json, "go_live", transfer.go_live);
    json.field("source", transfer.source).field("waiters", transfer.waiters).end();
  }
  json.end();
}

// ---- Reading. What is missing, or of another type, has its default; what is too much is refused.

const Json* find(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

std::string text_of(const Json& object, const char* key) {
  const Json* value = find(object, key);
  if (value == nullptr || !value->is_string()) return "";
  return value->get<std::string>().substr(0, kMaxTextBytes);
}

bool truth_of(const Json& object, const char* key, bool otherwise) {
  const Json* value = find(object, key);
  return value != nullptr && value->is_boolean() ? value->get<bool>() : otherwise;
}

std::optional<std::uint64_t> count_of(const Json& object, const char* key) {
  const Json* value = find(object, key);
  if (value == nullptr || !value->is_number_unsigned()) return std::nullopt;
  return value->get<std::uint64_t>();
}

double rate_of(const Json& object, const char* key) {
  const Json* value = find(object, key);
  if (value == nullptr || !value->is_number()) return 0;
  const double number = value->get<double>();
  return number >= 0 && number <= kMaxRate ? number : 0;
}

GoLive moment_of(const Json& object, const char* key) {
  const Json* value = find(object, key);
  if (value == nullptr || !value->is_number_unsigned()) return std::nullopt;
  const auto seconds = value->get<std::uint64_t>();
  if (seconds > INT32_MAX * std::uint64_t{2}) return std::nullopt;
  return static_cast<std::int64_t>(seconds);
}

template <class T>
Result<std::vector<T>> list_of(const Json& object, const char* key, T (*read)(const Json&)) {
  std::vector<T> list;
  const Json* value = find(object, key);
  if (value == nullptr || !value->is_array()) return list;
  if (value->size() > kMaxItems) {
    return fail(ErrorCode::data_loss, "a relay's state has {} {}", value->size(), key);
  }
  for (const Json& item : *value) {
    if (item.is_object()) list.push_back(read(item));
  }
  return list;
}

LineState read_line(const Json& json) {
  return {.limit_bytes_per_second = count_of(json, "limit_bytes_per_s"),
          .bytes_per_second = rate_of(json, "bytes_per_s"),
          .bytes_today = count_of(json, "bytes_today").value_or(0),
          .bytes_total = count_of(json, "bytes_total").value_or(0)};
}

TransferState read_transfer(const Json& json) {
  return {.object = text_of(json, "object"),
          .bytes = count_of(json, "bytes").value_or(0),
          .total_bytes = count_of(json, "of"),
          .go_live = moment_of(json, "go_live"),
          .source = text_of(json, "source"),
          .waiters = static_cast<std::size_t>(count_of(json, "waiters").value_or(0))};
}

// What a member says of hosts is passed on: it may be no longer than what hosts say themselves.
HostState read_host(const Json& json) {
  const auto name_of = [&json](const char* key) {
    std::string name = text_of(json, key);
    return check_name(key, name) ? name : "";
  };
  std::string task = text_of(json, "task");
  return {.host = name_of("host"),
          .task = is_task(task) ? std::move(task) : "",
          .relay = name_of("relay"),
          .go_live = moment_of(json, "go_live"),
          .left_bytes = count_of(json, "left_bytes"),
          .bytes_per_second = rate_of(json, "bytes_per_s"),
          .bytes = count_of(json, "bytes").value_or(0),
          .eta_s = count_of(json, "eta_s")};
}

MemberState read_member(const Json& json) {
  MemberState member{.name = text_of(json, "name"), .url = text_of(json, "url")};
  member.is_alive = truth_of(json, "alive", false);
  member.is_trusted = truth_of(json, "trusted", true);
  const Json* seen = find(json, "seen_s_ago");
  if (seen != nullptr && seen->is_number()) member.seen_s_ago = rate_of(json, "seen_s_ago");
  const Json* line = find(json, "line");
  if (line != nullptr && line->is_object()) member.line = read_line(*line);
  return member;
}

}  // namespace

std::string write_state(const RelayState& state) {
  JsonWriter json;
  json.begin_object().field("site", state.site).field("name", state.name);
  json.field("leader", state.leader).field("leads", state.leads).field("busy", state.is_busy);
  json.field("able", state.is_able);
  json.field("cache_bytes", state.cache_bytes).field("cache_max_bytes", state.cache_max_bytes);
  json.key("line");
  put_line(json, state.line);
  put_members(json, state.members);
  put_transfers(json, state.transfers);
  put_hosts(json, "hosts", state.hosts);
  put_hosts(json, "site_hosts", state.site_hosts);
  json.end();
  return std::move(json).take();
}

Result<RelayState> read_state(std::string_view text) {
  if (text.size() > kMaxStateBytes) {
    return fail(ErrorCode::data_loss, "a relay's state has {} bytes", text.size());
  }
  const auto bounded = [](int depth, Json::parse_event_t /*event*/, Json& /*parsed*/) {
    return depth <= kMaxDepth;
  };
  const Json json = Json::parse(text, bounded, false);
  if (!json.is_object()) return fail(ErrorCode::data_loss, "it is no relay's state");
  RelayState state{.site = text_of(json, "site"),
                   .name = text_of(json, "name"),
                   .leader = text_of(json, "leader"),
                   .leads = truth_of(json, "leads", false),
                   .is_busy = truth_of(json, "busy", false),
                   .is_able = truth_of(json, "able", true),
                   .cache_bytes = count_of(json, "cache_bytes").value_or(0),
                   .cache_max_bytes = count_of(json, "cache_max_bytes").value_or(0)};
  if (const Json* line = find(json, "line"); line != nullptr && line->is_object()) {
    state.line = read_line(*line);
  }
  SEGUE_ASSIGN(state.members, list_of(json, "members", read_member));
  SEGUE_ASSIGN(state.transfers, list_of(json, "transfers", read_transfer));
  SEGUE_ASSIGN(state.hosts, list_of(json, "hosts", read_host));
  SEGUE_ASSIGN(state.site_hosts, list_of(json, "site_hosts", read_host));
  std::erase_if(state.hosts, [](const HostState& host) { return host.host.empty(); });
  std::erase_if(state.site_hosts, [](const HostState& host) { return host.host.empty(); });
  return state;
}

}  // namespace segue::relay
