// SPDX-License-Identifier: Apache-2.0
#include "handoff_client.h"

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "entry_form.h"
#include "records.h"
#include "version.h"

namespace respkv {
namespace {

// The fields of the form "respkv.client".
constexpr std::uint32_t kId = 1;
constexpr std::uint32_t kName = 2;
constexpr std::uint32_t kProtocol = 3;  // absent: 2
constexpr std::uint32_t kReplyMode = 4;
constexpr std::uint32_t kFlags = 5;
constexpr std::uint32_t kCreatedAt = 6;
constexpr std::uint32_t kLibraryName = 7;
constexpr std::uint32_t kLibraryVersion = 8;
constexpr std::uint32_t kInput = 9;
constexpr std::uint32_t kOutput = 10;
constexpr std::uint32_t kQueued = 11;               // repeated: a command as the protocol writes it
constexpr std::uint32_t kWatchedKey = 12;           // repeated ...
constexpr std::uint32_t kWatchedModification = 13;  // ... likewise
constexpr std::uint32_t kChannel = 14;              // repeated
constexpr std::uint32_t kPattern = 15;              // repeated
constexpr std::uint32_t kAwaitedKey = 16;           // repeated
constexpr std::uint32_t kDeadline = 17;
constexpr std::uint32_t kRank = 18;
constexpr std::uint32_t kTransactions = 19;  // from version 2 on

constexpr std::uint64_t kNoEvict = 1;
constexpr std::uint64_t kCloseAfterReply = 2;
constexpr std::uint64_t kInTransaction = 4;
constexpr std::uint64_t kTransactionFailed = 8;
constexpr std::uint64_t kWatchBroken = 16;
constexpr std::uint64_t kWaits = 32;
constexpr std::uint64_t kWaitsLeft = 64;

constexpr bool kCountsTransactions = kVersion >= 2;

std::vector<std::uint32_t> known_tags() {
  std::vector<std::uint32_t> tags;
  for (std::uint32_t tag = kId; tag <= kRank; ++tag) tags.push_back(tag);
  if (kCountsTransactions) tags.push_back(kTransactions);
  return tags;
}

std::uint64_t flags_of(const Session& session) {
  const auto flag = [](bool is_set, std::uint64_t bit) { return is_set ? bit : 0; };
  const Transaction* transaction = session.transaction.get();
  return flag(session.no_evict, kNoEvict) | flag(session.close_after_reply, kCloseAfterReply) |
         flag(transaction != nullptr, kInTransaction) |
         flag(transaction != nullptr && transaction->failed, kTransactionFailed) |
         flag(session.watch_broken, kWatchBroken) | flag(session.wait != nullptr, kWaits) |
         flag(session.wait && session.wait->from_left, kWaitsLeft);
}

void encode_transaction(const Session& session, segue_writer* out) {
  if (session.transaction) {
    std::string text;
    for (const auto& command : session.transaction->commands) {
      text.clear();
      append_request(text, command);
      put_text(out, kQueued, text);
    }
  }
  for (const Watch& watch : session.watches) {
    put_text(out, kWatchedKey, watch.key);
    segue_put(out, kWatchedModification, &watch.modification, sizeof watch.modification);
  }
}

// All that is to be sent: what its loop has fetched comes first.
std::string unsent_output(const Connection& connection) {
  std::string output = connection.outgoing.substr(connection.outgoing_sent);
  output += connection.output;
  return output;
}

int encode(void* user, segue_conn* handle, segue_writer* out) {
  const Server::Exclusive exclusive(*static_cast<Server*>(user));
  const auto& connection = *static_cast<const Connection*>(segue_conn_data(handle));
  const Session& session = connection;
  put_number(out, kId, session.id);
  put_text_unless_empty(out, kName, session.name);
  put_number(out, kProtocol, session.protocol == 3 ? 3 : 0);
  put_number(out, kReplyMode, static_cast<std::uint64_t>(session.reply_mode));
  put_number(out, kFlags, flags_of(session));
  put_number(out, kCreatedAt, session.created_at_ms);
  put_text_unless_empty(out, kLibraryName, session.library_name);
  put_text_unless_empty(out, kLibraryVersion, session.library_version);
  put_text_unless_empty(out, kInput, session.input);
  put_text_unless_empty(out, kOutput, unsent_output(connection));
  encode_transaction(session, out);
  for (const std::string& channel : session.channels) put_text(out, kChannel, channel);
  for (const std::string& pattern : session.patterns) put_text(out, kPattern, pattern);
  if (session.wait) {
    for (const std::string& key : session.wait->keys) put_text(out, kAwaitedKey, key);
    put_number(out, kDeadline, session.wait->deadline_ms);
    put_number(out, kRank, session.wait->rank);
  }
  if (kCountsTransactions) put_number(out, kTransactions, session.transactions);
  segue_put_fields(out, session.unknown_fields.data(), session.unknown_fields.size());
  return SEGUE_OK;
}

bool decode_command(std::string_view text, std::vector<std::string>& out) {
  RequestParser parser;
  if (parser.parse(text) != RequestParser::Status::complete || parser.size() != text.size()) {
    return false;
  }
  std::vector<std::string_view> arguments;
  parser.arguments(text, arguments);
  out.assign(arguments.begin(), arguments.end());
  return !out.empty();
}

// What occurs more than once. False if a queued command is damaged.
bool decode_lists(const segue_record* record, Session& session) {
  bool good = true;
  std::size_t next_watch = 0;
  for_each_field(record, [&](std::uint32_t tag, std::string_view bytes) {
    if (tag == kQueued && session.transaction) {
      good &= decode_command(bytes, session.transaction->commands.emplace_back());
      session.transaction->bytes += bytes.size();
    } else if (tag == kWatchedKey) {
      session.watches.push_back({std::string(bytes), 0});
    } else if (tag == kWatchedModification && next_watch < session.watches.size() &&
               bytes.size() == sizeof(std::uint64_t)) {
      std::memcpy(&session.watches[next_watch++].modification, bytes.data(), bytes.size());
    } else if (tag == kChannel) {
      session.channels.emplace(bytes);
    } else if (tag == kPattern) {
      session.patterns.emplace(bytes);
    } else if (tag == kAwaitedKey && session.wait) {
      session.wait->keys.emplace_back(bytes);
    }
  });
  return good;
}

bool decode(const segue_record* record, Connection& connection) {
  static const std::vector<std::uint32_t> known = known_tags();
  Session& session = connection;
  const std::uint64_t flags = segue_get_u64(record, kFlags, 0);
  const std::uint64_t reply_mode = segue_get_u64(record, kReplyMode, 0);
  session.id = segue_get_u64(record, kId, 0);
  if (session.id == 0 || reply_mode > static_cast<std::uint64_t>(ReplyMode::skip_next))
    return false;
  session.name = get_text(record, kName);
  session.library_name = get_text(record, kLibraryName);
  session.library_version = get_text(record, kLibraryVersion);
  session.protocol = segue_get_u64(record, kProtocol, 0) == 3 ? 3 : 2;
  session.reply_mode = static_cast<ReplyMode>(reply_mode);
  session.no_evict = (flags & kNoEvict) != 0;
  session.close_after_reply = (flags & kCloseAfterReply) != 0;
  session.watch_broken = (flags & kWatchBroken) != 0;
  session.created_at_ms = segue_get_u64(record, kCreatedAt, 0);
  session.input = get_text(record, kInput);
  connection.outgoing = get_text(record, kOutput);
  session.sending.set(connection.outgoing.size());
  connection.is_over_when_sent = session.close_after_reply;
  connection.unexecuted_bytes = session.input.size();
  connection.recorded_buffers = !session.input.empty() || !connection.outgoing.empty();
  if (kCountsTransactions) session.transactions = segue_get_u64(record, kTransactions, 0);
  if ((flags & kInTransaction) != 0) {
    session.transaction = std::make_unique<Transaction>();
    session.transaction->failed = (flags & kTransactionFailed) != 0;
  }
  if ((flags & kWaits) != 0) {
    session.wait = std::make_unique<Wait>();
    session.wait->from_left = (flags & kWaitsLeft) != 0;
    session.wait->deadline_ms = segue_get_u64(record, kDeadline, 0);
    session.wait->rank = segue_get_u64(record, kRank, 0);
  }
  session.unknown_fields = unknown_fields(record, known);
  return decode_lists(record, session);
}

int adopt(void* user, segue_conn* handle, int fd, const segue_record* record) {
  auto connection = std::make_unique<Connection>();
  connection->handle = handle;
  connection->fd = fd;
  if (!decode(record, *connection)) return SEGUE_INVALID;
  segue_conn_set_data(handle, connection.get());
  return static_cast<Server*>(user)->attach(std::move(connection)) ? SEGUE_OK : SEGUE_SYSTEM;
}

// The session becomes what the new record says; socket and registration stay.
int update(void* user, segue_conn* handle, const segue_record* record) {
  auto& server = *static_cast<Server*>(user);
  auto& connection = *static_cast<Connection*>(segue_conn_data(handle));
  Connection fresh;
  if (!decode(record, fresh)) return SEGUE_INVALID;
  server.engine.remove(connection);
  static_cast<Session&>(connection) = std::move(static_cast<Session&>(fresh));
  connection.outgoing = std::move(fresh.outgoing);
  connection.outgoing_sent = 0;
  connection.is_over_when_sent = fresh.is_over_when_sent;
  connection.unexecuted_bytes = fresh.unexecuted_bytes;
  connection.recorded_buffers = fresh.recorded_buffers;
  server.engine.add(connection);
  return server.follow(connection) ? SEGUE_OK : SEGUE_SYSTEM;
}

Connection& connection_of(segue_conn* handle) {
  return *static_cast<Connection*>(segue_conn_data(handle));
}

void readable(void* /*user*/, segue_conn* handle) {
  Connection& connection = connection_of(handle);
  connection.home->handle_input(connection);
}

void writable(void* /*user*/, segue_conn* handle) {
  Connection& connection = connection_of(handle);
  connection.home->catch_up(connection);
}

int accepted(void* user, segue_conn* handle, int fd) {
  return static_cast<Server*>(user)->welcome(handle, fd) ? SEGUE_OK : SEGUE_SYSTEM;
}

void drop(void* user, segue_conn* handle) {
  static_cast<Server*>(user)->detach(*static_cast<Connection*>(segue_conn_data(handle)));
}

}  // namespace

segue_class* open_client_class(segue_instance* handle, Server& server) {
  segue_form form{};
  form.size = sizeof form;
  form.version = kCountsTransactions ? 2 : 1;
  form.oldest = 1;
  form.name = "respkv.client";
  form.up = copy_fields;
  form.down = copy_fields;
  segue_class_ops ops{};
  ops.size = sizeof ops;
  ops.encode = encode;
  ops.adopt = adopt;
  ops.update = update;
  ops.drop = drop;
  ops.readable = readable;
  ops.writable = writable;
  ops.accepted = accepted;
  return segue_class_open(handle, "client", &form, &ops, &server);
}

}  // namespace respkv
