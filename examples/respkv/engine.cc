// SPDX-License-Identifier: Apache-2.0
#include "engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "command.h"
#include "glob.h"

namespace respkv {
namespace {

// How much do_due() does at once; the rest follows in the next turn of the loop.
constexpr std::size_t kEndedKeysPerTurn = 1000;
constexpr std::size_t kEndedWaitsPerTurn = 1000;

std::string unknown_command(Arguments arguments) {
  constexpr std::size_t kShown = 128;
  std::string text = fmt::format("ERR unknown command '{}', with args beginning with: ",
                                 arguments[0].substr(0, kShown));
  for (const std::string_view argument : arguments.subspan(1)) {
    if (text.size() > 2 * kShown) break;
    text += fmt::format("'{}' ", argument.substr(0, kShown));
  }
  return text;
}

std::string upper(std::string_view name) {
  std::string text(name);
  std::transform(text.begin(), text.end(), text.begin(), [](char letter) {
    return letter >= 'a' && letter <= 'z' ? static_cast<char>(letter - 'a' + 'A') : letter;
  });
  return text;
}

bool accepts_arity(const Command& command, std::size_t count) {
  const auto given = static_cast<int>(count);
  return command.arity >= 0 ? given == command.arity : given >= -command.arity;
}

// The command, or subcommand, that the arguments name; or nullptr and what the client is told.
const Command* resolve(Arguments arguments, std::string& why) {
  const Command* command = find_command(arguments[0]);
  if (command == nullptr) {
    why = unknown_command(arguments);
    return nullptr;
  }
  if (!command->subcommands.empty() && arguments.size() > 1) {
    const Command& container = *command;
    command = find_subcommand(container, arguments[1]);
    if (command == nullptr) {
      why = fmt::format("ERR unknown subcommand '{}'. Try {} HELP.", arguments[1].substr(0, 128),
                        upper(container.name));
      return nullptr;
    }
  }
  if (!accepts_arity(*command, arguments.size())) {
    why = fmt::format("ERR wrong number of arguments for '{}' command", command->name);
    return nullptr;
  }
  return command;
}

void answer_wait(Session& session, std::string_view key, std::string_view element) {
  if (session.reply_mode != ReplyMode::on) return;
  Reply reply(session.output, session.protocol);
  reply.array(2);
  reply.bulk(key);
  reply.bulk(element);
}

}  // namespace

Engine::Engine(Host& the_host, std::uint64_t random_seed)
    : host(the_host), keys(*this), random_state_(random_seed | 1U) {}

void Engine::execute(Session& session, Arguments arguments) {
  ++statistics.commands;
  const std::size_t before = session.output.size();
  const ReplyMode mode = session.reply_mode;
  if (mode == ReplyMode::skip_next) {
    session.reply_mode = ReplyMode::on;
    session.changed = true;
  }
  dispatch(session, arguments);
  const bool stays_off = mode == ReplyMode::off && session.reply_mode == ReplyMode::off;
  if (mode == ReplyMode::skip_next || stays_off) session.output.resize(before);
  if (!ready_keys_.empty()) serve_ready_keys();
}

void Engine::dispatch(Session& session, Arguments arguments) {
  Reply reply(session.output, session.protocol);
  std::string why;
  const Command* command = resolve(arguments, why);
  if (command == nullptr) {
    if (session.transaction) session.transaction->failed = session.changed = true;
    return reply.error(why);
  }
  if (session.protocol < 3 && session.subscribed() && (command->flags & kWhileSubscribed) == 0) {
    return reply.error(fmt::format(
        "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / "
        "RESET are allowed in this context",
        command->name));
  }
  if (session.transaction && (command->flags & kImmediate) == 0) return queue(session, arguments);
  run(session, *command, arguments);
}

void Engine::run(Session& session, const Command& command, Arguments arguments) {
  Call call{*this, session, command, arguments, Reply(session.output, session.protocol)};
  command.handler(call);
}

void Engine::queue(Session& session, Arguments arguments) {
  Transaction& transaction = *session.transaction;
  Reply reply(session.output, session.protocol);
  std::size_t bytes = 0;
  for (const std::string_view argument : arguments) bytes += argument.size() + sizeof(std::string);
  session.changed = true;
  if (transaction.commands.size() >= kMaxTransactionCommands ||
      transaction.bytes + bytes > kMaxTransactionBytes) {
    transaction.failed = true;
    return reply.error("ERR the transaction is too large");
  }
  transaction.bytes += bytes;
  transaction.commands.emplace_back(arguments.begin(), arguments.end());
  reply.simple("QUEUED");
}

void Engine::run_transaction(Session& session) {
  Reply reply(session.output, session.protocol);
  for (const Watch& watch : session.watches)
    (void)keys.find(watch.key);  // one that ended is a change
  const auto transaction = std::move(session.transaction);
  const bool broken = session.watch_broken;
  registry.unwatch_all(session);
  session.changed = true;
  if (transaction->failed) {
    return reply.error("EXECABORT Transaction discarded because of previous errors.");
  }
  if (broken) return reply.null_array();
  ++session.transactions;
  reply.array(transaction->commands.size());
  session.executing = true;
  std::vector<std::string_view> arguments;
  for (const auto& command : transaction->commands) {
    arguments.assign(command.begin(), command.end());
    std::string why;
    run(session, *resolve(arguments, why), arguments);  // it was found when it was queued
  }
  session.executing = false;
}

void Engine::discard_transaction(Session& session) {
  session.transaction.reset();
  registry.unwatch_all(session);
  session.changed = true;
}

void Engine::block(Session& session, std::vector<std::string> awaited, bool from_left,
                   std::uint64_t deadline_ms) {
  registry.block(session, {std::move(awaited), from_left, deadline_ms, next_rank++});
  session.changed = true;
}

void Engine::serve_ready_keys() {
  while (!ready_keys_.empty()) {
    const auto ready = std::exchange(ready_keys_, {});
    for (const std::string& key : ready) serve(key);
  }
}

void Engine::serve(const std::string& key) {
  while (Session* session = registry.longest_waiting(key)) {
    Item* item = keys.find(key);
    List* list = item == nullptr ? nullptr : value_as<List>(item->data.value);
    if (list == nullptr) return;
    const bool from_left = session->wait->from_left;
    answer_wait(*session, key, from_left ? list->front() : list->back());
    from_left ? list->pop_front() : list->pop_back();
    registry.unblock(*session);
    session->changed = true;
    draw_attention(*session);
    list->empty() ? keys.erase(*item) : keys.changed(*item);
  }
}

void Engine::take_attention(std::vector<Session*>& out) {
  out.clear();
  out.swap(attention_);
  for (Session* session : out) session->attention = false;
}

void Engine::draw_attention(Session& session) {
  if (std::exchange(session.attention, true)) return;
  attention_.push_back(&session);
}

void Engine::add(Session& session) {
  if (session.id == 0) {
    session.id = next_client_id++;
    session.created_at_ms = keys.now_ms();
    ++statistics.connections;
  }
  registry.add(session);
}

void Engine::remove(Session& session) {
  registry.remove(session);
  if (session.attention) std::erase(attention_, &session);
}

void Engine::do_due() {
  keys.erase_ended(kEndedKeysPerTurn);
  std::uint64_t at_ms = 0;
  for (std::size_t i = 0; i < kEndedWaitsPerTurn; ++i) {
    Session* session = registry.next_deadline(at_ms);
    if (session == nullptr || at_ms > keys.now_ms()) return;
    registry.unblock(*session);
    if (session->reply_mode == ReplyMode::on) {
      Reply(session->output, session->protocol).null_array();
    }
    session->changed = true;
    draw_attention(*session);
  }
}

std::uint64_t Engine::next_due_ms() const {
  std::uint64_t at_ms = 0;
  const std::uint64_t key_ends = keys.next_expiry_ms();
  if (registry.next_deadline(at_ms) == nullptr) return key_ends;
  return key_ends == 0 ? at_ms : std::min(key_ends, at_ms);
}

bool Engine::deliver(Session& session, std::string_view bytes) {
  draw_attention(session);
  if (session.unsent() + bytes.size() > session.max_output()) session.over_limit = true;
  if (session.over_limit) return false;
  session.output.append(bytes);
  return true;
}

std::int64_t Engine::publish(std::string_view channel, std::string_view message) {
  std::int64_t receivers = 0;
  const auto send = [&](const SessionsById& sessions, std::string_view pattern) {
    std::array<std::string, 2> encoded;  // once for each protocol
    for (const auto& [id, session] : sessions) {
      std::string& bytes = encoded[session->protocol < 3 ? 0 : 1];
      if (bytes.empty()) {
        Reply reply(bytes, session->protocol);
        reply.push(pattern.empty() ? 3 : 4);
        reply.bulk(pattern.empty() ? "message" : "pmessage");
        if (!pattern.empty()) reply.bulk(pattern);
        reply.bulk(channel);
        reply.bulk(message);
      }
      deliver(*session, bytes);
      ++receivers;
    }
  };
  const auto found = registry.channels().find(channel);
  if (found != registry.channels().end()) send(found->second, {});
  for (const auto& [pattern, sessions] : registry.patterns()) {
    if (glob_matches(pattern, channel)) send(sessions, pattern);
  }
  return receivers;
}

void Engine::reset(Session& session) {
  discard_transaction(session);
  while (!session.channels.empty())
    registry.unsubscribe(session, std::string(*session.channels.begin()));
  while (!session.patterns.empty()) {
    registry.unsubscribe_pattern(session, std::string(*session.patterns.begin()));
  }
  session.name.clear();
  session.protocol = 2;
  session.reply_mode = ReplyMode::on;
  session.no_evict = false;
}

std::uint64_t Engine::random() {
  random_state_ ^= random_state_ >> 12U;
  random_state_ ^= random_state_ << 25U;
  random_state_ ^= random_state_ >> 27U;
  return random_state_ * 0x2545F4914F6CDD1DULL;
}

void Engine::key_changed(const std::string& key) {
  host.key_changed(key);
  if (!registry.watched().empty()) break_watches(key);
  if (registry.anybody_waits() && registry.longest_waiting(key) != nullptr) {
    ready_keys_.push_back(key);
  }
}

void Engine::key_erased(const std::string& key) {
  host.key_erased(key);
  if (!registry.watched().empty()) break_watches(key);
}

void Engine::all_keys_erased() {
  host.all_keys_erased();
  std::vector<std::string> broken;
  for (const auto& [key, sessions] : registry.watched()) {
    if (keys.peek(key) != nullptr) broken.push_back(key);
  }
  for (const std::string& key : broken) break_watches(key);
}

void Engine::break_watches(const std::string& key) {
  const auto found = registry.watched().find(key);
  if (found == registry.watched().end()) return;
  for (const auto& [id, session] : found->second) {
    if (std::exchange(session->watch_broken, true)) continue;
    session->changed = true;
    draw_attention(*session);
  }
}

std::string Engine::check() {
  if (std::string why = keys.check(); !why.empty()) return why;
  if (std::string why = registry.check(); !why.empty()) return why;
  for (const auto& [id, session] : registry.sessions()) {
    if (id >= next_client_id) return fmt::format("client {} is newer than the newest id", id);
    if (session->wait && session->wait->rank >= next_rank) {
      return fmt::format("client {} waits with a rank above the newest", id);
    }
    if (session->watch_broken) continue;
    for (const Watch& watch : session->watches) {
      const Item* item = keys.peek(watch.key);
      const std::uint64_t modification = item == nullptr ? 0 : item->data.modification;
      if (modification != watch.modification) {
        return fmt::format("client {} watches key '{}' at {}, which is at {}", id, watch.key,
                           watch.modification, modification);
      }
    }
  }
  return {};
}

}  // namespace respkv
