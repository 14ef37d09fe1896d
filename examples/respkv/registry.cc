// SPDX-License-Identifier: Apache-2.0
#include "registry.h"

#include <fmt/format.h>

#include <algorithm>

#include "hash.h"

namespace respkv {
namespace {

void insert_into(SessionIndex& index, std::string_view name, Session& session) {
  auto found = index.find(name);
  if (found == index.end()) found = index.emplace(std::string(name), SessionsById()).first;
  found->second.emplace(session.id, &session);
}

void remove_from(SessionIndex& index, std::string_view name, const Session& session) {
  const auto found = index.find(name);
  if (found == index.end()) return;
  found->second.erase(session.id);
  if (found->second.empty()) index.erase(found);
}

bool contains(const SessionIndex& index, std::string_view name, const Session& session) {
  const auto found = index.find(name);
  return found != index.end() && found->second.contains(session.id);
}

std::size_t count_of(const SessionIndex& index) {
  std::size_t count = 0;
  for (const auto& [name, sessions] : index) count += sessions.size();
  return count;
}

}  // namespace

std::size_t TextHash::hash_bytes(std::string_view text) {
  return respkv::hash_bytes(text);
}

void Registry::add(Session& session) {
  sessions_.emplace(session.id, &session);
  for (const std::string& channel : session.channels) insert_into(channels_, channel, session);
  for (const std::string& pattern : session.patterns) insert_into(patterns_, pattern, session);
  for (const Watch& watch : session.watches) insert_into(watched_, watch.key, session);
  if (session.wait) index_wait(session);
}

void Registry::remove(Session& session) {
  for (const std::string& channel : session.channels) remove_from(channels_, channel, session);
  for (const std::string& pattern : session.patterns) remove_from(patterns_, pattern, session);
  unwatch_all(session);
  if (session.wait) unblock(session);
  sessions_.erase(session.id);
}

bool Registry::subscribe(Session& session, std::string_view channel) {
  if (!session.channels.emplace(channel).second) return false;
  insert_into(channels_, channel, session);
  return true;
}

bool Registry::unsubscribe(Session& session, std::string_view channel) {
  const auto found = session.channels.find(channel);
  if (found == session.channels.end()) return false;
  remove_from(channels_, channel, session);
  session.channels.erase(found);
  return true;
}

bool Registry::subscribe_pattern(Session& session, std::string_view pattern) {
  if (!session.patterns.emplace(pattern).second) return false;
  insert_into(patterns_, pattern, session);
  return true;
}

bool Registry::unsubscribe_pattern(Session& session, std::string_view pattern) {
  const auto found = session.patterns.find(pattern);
  if (found == session.patterns.end()) return false;
  remove_from(patterns_, pattern, session);
  session.patterns.erase(found);
  return true;
}

void Registry::watch(Session& session, std::string_view key, std::uint64_t modification) {
  if (contains(watched_, key, session)) return;
  session.watches.push_back({std::string(key), modification});
  insert_into(watched_, key, session);
}

void Registry::unwatch_all(Session& session) {
  for (const Watch& watch : session.watches) remove_from(watched_, watch.key, session);
  session.watches.clear();
  session.watch_broken = false;
}

void Registry::block(Session& session, Wait wait) {
  session.wait = std::make_unique<Wait>(std::move(wait));
  index_wait(session);
}

void Registry::index_wait(Session& session) {
  const Wait& wait = *session.wait;
  for (const std::string& key : wait.keys) waiting_[key].emplace(wait.rank, &session);
  if (wait.deadline_ms != 0) deadlines_.emplace(std::pair(wait.deadline_ms, session.id), &session);
  ++blocked_count_;
}

void Registry::unblock(Session& session) {
  const Wait& wait = *session.wait;
  for (const std::string& key : wait.keys) {
    const auto found = waiting_.find(key);
    if (found == waiting_.end()) continue;  // a key may be named twice
    found->second.erase(wait.rank);
    if (found->second.empty()) waiting_.erase(found);
  }
  if (wait.deadline_ms != 0) deadlines_.erase({wait.deadline_ms, session.id});
  session.wait.reset();
  --blocked_count_;
}

Session* Registry::longest_waiting(std::string_view key) const {
  const auto found = waiting_.find(key);
  return found == waiting_.end() ? nullptr : found->second.begin()->second;
}

Session* Registry::next_deadline(std::uint64_t& at_ms) const {
  if (deadlines_.empty()) return nullptr;
  at_ms = deadlines_.begin()->first.first;
  return deadlines_.begin()->second;
}

std::string Registry::check() const {
  std::size_t channels = 0;
  std::size_t patterns = 0;
  std::size_t watches = 0;
  std::size_t blocked = 0;
  for (const auto& [id, session] : sessions_) {
    const auto missing = [id = id](std::string_view kind, std::string_view name) {
      return fmt::format("client {} is missing in the index of {} '{}'", id, kind, name);
    };
    channels += session->channels.size();
    patterns += session->patterns.size();
    watches += session->watches.size();
    for (const std::string& channel : session->channels) {
      if (!contains(channels_, channel, *session)) return missing("channel", channel);
    }
    for (const std::string& pattern : session->patterns) {
      if (!contains(patterns_, pattern, *session)) return missing("pattern", pattern);
    }
    for (const Watch& watch : session->watches) {
      if (!contains(watched_, watch.key, *session)) return missing("watched key", watch.key);
    }
    if (!session->wait) continue;
    ++blocked;
    for (const std::string& key : session->wait->keys) {
      const auto found = waiting_.find(key);
      if (found == waiting_.end() || !found->second.contains(session->wait->rank)) {
        return missing("awaited key", key);
      }
    }
  }
  if (channels != count_of(channels_)) return "the index of channels has dead clients";
  if (patterns != count_of(patterns_)) return "the index of patterns has dead clients";
  if (watches != count_of(watched_)) return "the index of watched keys has dead clients";
  if (blocked != blocked_count_) return "the count of blocked clients is wrong";
  return {};
}

}  // namespace respkv
