// SPDX-License-Identifier: Apache-2.0
#include "store/etcd_messages.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/json_writer.h"
#include "store/commit_rules.h"

namespace segue::store::etcd {
namespace {

using base::Error;
using base::ErrorCode;
using base::fail;
using base::JsonWriter;
using base::Result;
using nlohmann::json;

constexpr std::size_t kMaxQuotedBytes = 200;

JsonWriter& bytes(JsonWriter& writer, std::string_view name, std::string_view value) {
  return writer.field(name, to_base64(value));
}

// etcd's numbers of 64 bits are strings (proto3's JSON).
JsonWriter& number(JsonWriter& writer, std::string_view name, std::uint64_t value) {
  return writer.field(name, std::to_string(value));
}

tl::unexpected<Error> strange(std::string_view body) {
  return fail(ErrorCode::data_loss, "etcd answers what it should not: {}",
              body.substr(0, kMaxQuotedBytes));
}

Result<json> parse(std::string_view body) {
  json value = json::parse(body.begin(), body.end(), nullptr, false);
  if (!value.is_object()) return strange(body);
  return value;
}

const json& member(const json& object, const char* name) {
  static const json null;
  if (!object.is_object()) return null;
  const auto found = object.find(name);
  return found == object.end() ? null : *found;
}

// Absent: 0, as proto3 leaves out what has its default value.
std::optional<std::uint64_t> number_in(const json& object, const char* name) {
  const json& value = member(object, name);
  if (value.is_null()) return 0;
  if (value.is_number_unsigned()) return value.get<std::uint64_t>();
  if (!value.is_string()) return std::nullopt;
  const auto& text = value.get_ref<const std::string&>();
  std::uint64_t number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<std::string> bytes_in(const json& object, const char* name) {
  const json& value = member(object, name);
  if (value.is_null()) return std::string();
  if (!value.is_string()) return std::nullopt;
  return from_base64(value.get_ref<const std::string&>());
}

std::string text_in(const json& object, const char* name) {
  const json& value = member(object, name);
  return value.is_string() ? value.get<std::string>() : std::string();
}

bool truth_in(const json& object, const char* name) {
  const json& value = member(object, name);
  return value.is_boolean() && value.get<bool>();
}

std::optional<Entry> entry_in(const json& pair, const std::string& root) {
  auto key = bytes_in(pair, "key");
  auto value = bytes_in(pair, "value");
  const auto modified = number_in(pair, "mod_revision");
  if (!key || !value || !modified || *modified == 0) return std::nullopt;
  if (!key->starts_with(root) || key->size() == root.size()) return std::nullopt;
  return Entry{.key = key->substr(root.size()), .value = *std::move(value), .modified = *modified};
}

std::optional<Revision> revision_in(const json& answer) {
  const auto revision = number_in(member(answer, "header"), "revision");
  return revision && *revision > 0 ? revision : std::nullopt;
}

void write_operation(JsonWriter& writer, const std::string& root, const Operation& operation) {
  const bool is_put = operation.kind == Operation::Kind::put;
  writer.begin_object().key(is_put ? "request_put" : "request_delete_range").begin_object();
  bytes(writer, "key", root + operation.key);
  if (is_put) {
    bytes(writer, "value", operation.value);
    if (operation.lease != 0) number(writer, "lease", operation.lease);
  }
  writer.end().end();
}

std::vector<Compare> compares_of(const Transaction& transaction) {
  std::vector<Compare> all;
  if (transaction.guard) all.push_back(*transaction.guard);
  all.insert(all.end(), transaction.compares.begin(), transaction.compares.end());
  return all;
}

}  // namespace

std::string get_body(const std::string& root, const std::string& key) {
  JsonWriter writer;
  writer.begin_object();
  bytes(writer, "key", root + key).end();
  return std::move(writer).take();
}

std::string list_body(const std::string& root, const ListQuery& query, std::size_t limit) {
  const std::string prefix = root + query.prefix;
  const std::string next = root + query.after + '\0';
  JsonWriter writer;
  writer.begin_object();
  bytes(writer, "key", !query.after.empty() && next > prefix ? next : prefix);
  // A root ends in a byte that has a next one.
  bytes(writer, "range_end", end_of_prefix(prefix));
  number(writer, "limit", limit).end();
  return std::move(writer).take();
}

std::string commit_body(const std::string& root, const Transaction& transaction) {
  const std::vector<Compare> compares = compares_of(transaction);
  JsonWriter writer;
  writer.begin_object().key("compare").begin_array();
  for (const Compare& compare : compares) {
    writer.begin_object().field("target", "MOD").field("result", "EQUAL");
    bytes(writer, "key", root + compare.key);
    number(writer, "mod_revision", compare.modified).end();
  }
  writer.end().key("success").begin_array();
  for (const Operation& operation : transaction.operations) {
    write_operation(writer, root, operation);
  }
  writer.end().key("failure").begin_array();
  for (const Compare& compare : compares) {
    writer.begin_object().key("request_range").begin_object().field("keys_only", true);
    bytes(writer, "key", root + compare.key).end().end();
  }
  writer.end().end();
  return std::move(writer).take();
}

std::string watch_body(const std::string& root, const std::string& prefix, Revision first) {
  JsonWriter writer;
  writer.begin_object().key("create_request").begin_object();
  bytes(writer, "key", root + prefix);
  bytes(writer, "range_end", end_of_prefix(root + prefix));
  number(writer, "start_revision", first > 1 ? first - 1 : 1);
  writer.field("fragment", true).end().end();
  return std::move(writer).take();
}

std::string compact_body(Revision revision) {
  JsonWriter writer;
  writer.begin_object();
  number(writer, "revision", revision).end();
  return std::move(writer).take();
}

std::string grant_body(base::Duration ttl) {
  JsonWriter writer;
  writer.begin_object();
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(ttl).count();
  number(writer, "TTL", static_cast<std::uint64_t>(seconds)).end();
  return std::move(writer).take();
}

std::string lease_body(LeaseId lease) {
  JsonWriter writer;
  writer.begin_object();
  number(writer, "ID", lease).end();
  return std::move(writer).take();
}

Result<Page> read_page(std::string_view body, const std::string& root, const ListQuery& query) {
  SEGUE_ASSIGN(const json answer, parse(body));
  const auto revision = revision_in(answer);
  const json& pairs = member(answer, "kvs");
  if (!revision || (!pairs.is_array() && !pairs.is_null())) return strange(body);
  PageBuilder builder(query, *revision);
  bool is_full = false;
  std::string last = query.after;
  for (const json& pair : pairs) {
    auto entry = entry_in(pair, root);
    if (!entry || !entry->key.starts_with(query.prefix) || entry->key <= last) return strange(body);
    last = entry->key;
    is_full = !builder.add(*std::move(entry));
    if (is_full) break;
  }
  Page page = std::move(builder).take();
  page.has_more = is_full || truth_in(answer, "more");
  return page;
}

Result<Reading> read_entry(std::string_view body, const std::string& root) {
  SEGUE_ASSIGN(const json answer, parse(body));
  const auto revision = revision_in(answer);
  const json& pairs = member(answer, "kvs");
  if (!revision) return strange(body);
  Reading reading{.entry = {}, .revision = *revision};
  if (pairs.is_null()) return reading;
  if (!pairs.is_array() || pairs.size() != 1) return strange(body);
  reading.entry = entry_in(pairs[0], root);
  if (!reading.entry) return strange(body);
  return reading;
}

Result<CommitResult> read_commit(std::string_view body, const Transaction& transaction) {
  SEGUE_ASSIGN(const json answer, parse(body));
  if (truth_in(answer, "succeeded")) {
    const auto revision = revision_in(answer);
    if (!revision) return strange(body);
    return CommitResult(*revision);
  }
  const std::vector<Compare> compares = compares_of(transaction);
  const json& responses = member(answer, "responses");
  if (!revision_in(answer) || !responses.is_array() || responses.size() != compares.size()) {
    return strange(body);
  }
  for (std::size_t i = 0; i < compares.size(); ++i) {
    const json& pairs = member(member(responses[i], "response_range"), "kvs");
    const bool is_there = pairs.is_array() && !pairs.empty();
    const auto found = is_there ? number_in(pairs[0], "mod_revision") : 0;
    if (!found) return strange(body);
    if (*found == compares[i].modified) continue;
    return CommitResult(
        broken_compare(compares[i].key, *found, transaction.guard.has_value() && i == 0));
  }
  return strange(body);
}

Result<LeaseId> read_grant(std::string_view body) {
  SEGUE_ASSIGN(const json answer, parse(body));
  const auto lease = number_in(answer, "ID");
  if (!lease || *lease == 0) return strange(body);
  return *lease;
}

Result<void> read_keep_alive(std::string_view body, LeaseId lease) {
  SEGUE_ASSIGN(const json answer, parse(body));
  const json& result = member(answer, "result");
  const auto ttl = number_in(result, "TTL");
  if (number_in(result, "ID") != lease || !ttl) return strange(body);
  if (*ttl == 0) return fail(no_lease(lease));
  return {};
}

namespace {

// gRPC's codes (https://grpc.github.io/grpc/core/md_doc_statuscodes.html) that etcd gives only for
// what it has not done.
bool is_refused(std::uint64_t code) {
  constexpr std::array<std::uint64_t, 8> kCodes{3, 5, 6, 7, 8, 9, 11, 16};
  return std::find(kCodes.begin(), kCodes.end(), code) != kCodes.end();
}

// Given before a proposal is made, or instead of applying it.
bool is_passing(std::string_view message) {
  constexpr std::array<std::string_view, 4> kMessages{
      "etcdserver: no leader", "etcdserver: too many requests", "raft proposal dropped",
      "etcdserver: not leader"};
  return std::find(kMessages.begin(), kMessages.end(), message) != kMessages.end();
}

ErrorCode code_of_refusal(std::uint64_t code, Refusal::Kind kind) {
  constexpr std::uint64_t kInvalidArgument = 3;
  constexpr std::uint64_t kNotFound = 5;
  constexpr std::uint64_t kPermissionDenied = 7;
  constexpr std::uint64_t kResourceExhausted = 8;
  constexpr std::uint64_t kUnauthenticated = 16;
  if (kind == Refusal::Kind::unclear) return ErrorCode::unknown_outcome;
  if (kind == Refusal::Kind::passing) return ErrorCode::unavailable;
  if (code == kInvalidArgument) return ErrorCode::invalid_argument;
  if (code == kNotFound) return ErrorCode::not_found;
  if (code == kPermissionDenied || code == kUnauthenticated) return ErrorCode::permission_denied;
  if (code == kResourceExhausted) return ErrorCode::resource_exhausted;
  return ErrorCode::failed_precondition;
}

}  // namespace

Refusal read_refusal(long status, std::string_view body) {
  std::string message;
  std::uint64_t code = 0;
  if (auto answer = parse(body)) {
    // A stream says it in an object of its own.
    const json& stream = member(*answer, "error");
    const bool is_stream = stream.is_object();
    message = text_in(is_stream ? stream : *answer, "message");
    code = number_in(is_stream ? stream : *answer, is_stream ? "grpc_code" : "code").value_or(0);
  }
  Refusal::Kind kind = Refusal::Kind::unclear;
  if (is_passing(message))
    kind = Refusal::Kind::passing;
  else if (is_refused(code))
    kind = Refusal::Kind::refused;
  std::string text = message.empty() ? std::string(body.substr(0, kMaxQuotedBytes)) : message;
  if (message.starts_with("etcdserver: mvcc: database space exceeded")) {
    text += "; compact and defragment etcd, then disarm its alarm";
  }
  return {.kind = kind,
          .error = Error(code_of_refusal(code, kind),
                         fmt::format("etcd answers with status {}: {}", status, text)),
          .is_compacted = message == "etcdserver: mvcc: required revision has been compacted",
          .is_future = message == "etcdserver: mvcc: required revision is a future revision"};
}

Result<void> WatchReader::take(std::string_view bytes, const OnChange& on_change) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    line_ += bytes.substr(0, end);
    if (line_.size() > kMaxLineBytes) {
      return fail(ErrorCode::resource_exhausted, "etcd sends a line of more than {} bytes",
                  kMaxLineBytes);
    }
    if (end == bytes.npos) return {};
    bytes.remove_prefix(end + 1);
    const std::string line = std::exchange(line_, {});
    if (line.empty()) continue;
    SEGUE_TRY(take_line(line, on_change));
  }
  return {};
}

Result<void> WatchReader::take_line(std::string_view line, const OnChange& on_change) {
  SEGUE_ASSIGN(const json answer, parse(line));
  const json& result = member(answer, "result");
  if (!result.is_object()) {
    const Refusal refusal = read_refusal(0, line);
    const bool helps_to_retry = refusal.kind != Refusal::Kind::refused;
    return fail(Error(helps_to_retry ? ErrorCode::unavailable : refusal.error.code(),
                      refusal.error.message()));
  }
  const json& events = member(result, "events");
  if (!events.is_array() && !events.is_null()) return strange(line);
  for (const json& row : events) {
    const json& pair = member(row, "kv");
    auto entry = entry_in(pair, root_);
    if (!entry) return strange(line);
    if (entry->modified < first_) continue;
    if (entry->modified < change_.revision) return strange(line);
    if (entry->modified == change_.revision && change_.events.empty()) return strange(line);
    if (entry->modified > change_.revision) emit(on_change);
    change_.revision = entry->modified;
    change_bytes_ += entry->key.size() + entry->value.size();
    if (change_bytes_ > kMaxChangeBytes) return strange(line);
    const bool is_erased = text_in(row, "type") == "DELETE";
    change_.events.push_back({.kind = is_erased ? Event::Kind::erase : Event::Kind::put,
                              .key = std::move(entry->key),
                              .value = std::move(entry->value)});
  }
  if (truth_in(result, "fragment")) return {};
  emit(on_change);
  if (!truth_in(result, "canceled")) return {};
  if (number_in(result, "compact_revision").value_or(0) > 0) {
    return fail(ErrorCode::failed_precondition, "etcd has forgotten changes up to revision {}",
                number_in(result, "compact_revision").value_or(0));
  }
  return fail(ErrorCode::unavailable, "etcd ends the watch: {}", text_in(result, "cancel_reason"));
}

// The next revision's first event, or the end of a response without more fragments: it is whole.
void WatchReader::emit(const OnChange& on_change) {
  if (change_.events.empty()) return;
  Change whole{.revision = change_.revision, .events = std::exchange(change_.events, {})};
  change_bytes_ = 0;
  sort_events(whole);
  on_change(std::move(whole));
}

}  // namespace segue::store::etcd
