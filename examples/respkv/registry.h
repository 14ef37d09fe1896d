// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "session.h"

namespace respkv {

// Finds by std::string_view without building a std::string.
struct TextHash {
  using is_transparent = void;  // NOLINT(readability-identifier-naming): the library's name
  std::size_t operator()(std::string_view text) const { return hash_bytes(text); }
  static std::size_t hash_bytes(std::string_view text);
};

// Sessions by id: a fixed order, so that what is listed is the same in each process.
using SessionsById = std::map<std::uint64_t, Session*>;
using SessionIndex = std::unordered_map<std::string, SessionsById, TextHash, std::equal_to<>>;

// Who is there, and which sessions a key, a channel or a pattern concerns. The sessions hold the
// facts; these are indices over them.
class Registry {
 public:
  // Indexes what the session holds: nothing for a new client, all for one that was handed over.
  void add(Session& session);
  void remove(Session& session);

  [[nodiscard]] const SessionsById& sessions() const { return sessions_; }

  // Each keeps session and index in step.
  bool subscribe(Session& session, std::string_view channel);
  bool unsubscribe(Session& session, std::string_view channel);
  bool subscribe_pattern(Session& session, std::string_view pattern);
  bool unsubscribe_pattern(Session& session, std::string_view pattern);
  void watch(Session& session, std::string_view key, std::uint64_t modification);
  void unwatch_all(Session& session);
  void block(Session& session, Wait wait);
  void unblock(Session& session);

  [[nodiscard]] const SessionIndex& channels() const { return channels_; }
  [[nodiscard]] const SessionIndex& patterns() const { return patterns_; }
  [[nodiscard]] const SessionIndex& watched() const { return watched_; }
  // The one that has waited longest for `key`, or nullptr.
  [[nodiscard]] Session* longest_waiting(std::string_view key) const;
  [[nodiscard]] bool anybody_waits() const { return !waiting_.empty(); }
  [[nodiscard]] std::size_t blocked_count() const { return blocked_count_; }

  // The next session whose wait ends, or nullptr; and when.
  [[nodiscard]] Session* next_deadline(std::uint64_t& at_ms) const;

  // Empty if the indices say what the sessions say; else where they differ.
  [[nodiscard]] std::string check() const;

 private:
  void index_wait(Session& session);

  SessionsById sessions_;
  SessionIndex channels_;
  SessionIndex patterns_;
  SessionIndex watched_;
  std::unordered_map<std::string, std::map<std::uint64_t, Session*>, TextHash, std::equal_to<>>
      waiting_;                                                            // by rank
  std::map<std::pair<std::uint64_t, std::uint64_t>, Session*> deadlines_;  // by time, id
  std::size_t blocked_count_ = 0;
};

}  // namespace respkv
