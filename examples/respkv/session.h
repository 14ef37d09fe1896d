// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "parser.h"

namespace respkv {

// What a client may leave unread before it is cut off, so that memory stays bounded.
inline constexpr std::size_t kMaxOutputBytes = std::size_t{1} << 30U;
inline constexpr std::size_t kMaxSubscriberOutputBytes = std::size_t{32} << 20U;
// Input that waits: a request that is not complete, or requests behind one that blocks.
inline constexpr std::size_t kMaxInputBytes = std::size_t{1} << 30U;
inline constexpr std::size_t kMaxTransactionCommands = std::size_t{1} << 20U;
inline constexpr std::size_t kMaxTransactionBytes = std::size_t{512} << 20U;

enum class ReplyMode : std::uint8_t { on, off, skip_next };

struct Watch {
  std::string key;
  std::uint64_t modification;  // when WATCH saw it; 0: there was no such key
};

// What a blocked client waits for.
struct Wait {
  std::vector<std::string> keys;  // in the order of the command
  bool from_left = true;
  std::uint64_t deadline_ms = 0;  // time of day; 0: none
  std::uint64_t rank = 0;         // who waits longer for a key has the lower one
};

struct Transaction {
  std::vector<std::vector<std::string>> commands;
  std::size_t bytes = 0;
  bool failed = false;  // a command could not be queued: EXEC will refuse
};

// A number that one thread changes and others may read at any time.
class SharedCount {
 public:
  SharedCount() = default;
  SharedCount(const SharedCount& other) : value_(other.get()) {}
  SharedCount& operator=(const SharedCount& other) {
    set(other.get());
    return *this;
  }
  ~SharedCount() = default;
  [[nodiscard]] std::size_t get() const { return value_.load(std::memory_order_relaxed); }
  void set(std::size_t value) { value_.store(value, std::memory_order_relaxed); }

 private:
  std::atomic<std::size_t> value_ = 0;
};

// A client as the commands see it. All of it moves to the next process.
struct Session {
  std::uint64_t id = 0;
  std::string name;
  std::string library_name;
  std::string library_version;
  int protocol = 2;
  ReplyMode reply_mode = ReplyMode::on;
  bool no_evict = false;
  bool close_after_reply = false;
  std::uint64_t created_at_ms = 0;
  std::uint64_t transactions = 0;  // executed; known from version 2 on

  std::string input;     // what has not been executed
  std::string output;    // replies that its event loop has not fetched
  SharedCount sending;   // bytes that it has fetched and not sent
  RequestParser parser;  // of the input

  std::unique_ptr<Transaction> transaction;
  std::vector<Watch> watches;
  bool watch_broken = false;
  std::set<std::string, std::less<>> channels;
  std::set<std::string, std::less<>> patterns;
  std::unique_ptr<Wait> wait;

  std::string unknown_fields;  // what a newer version knows of this client

  // Of this process only.
  bool changed = false;     // something above, buffers aside, is not what was last recorded
  bool attention = false;   // in Engine's list
  bool over_limit = false;  // more output than it may leave unread
  bool executing = false;   // inside EXEC

  [[nodiscard]] std::size_t unsent() const { return output.size() + sending.get(); }
  [[nodiscard]] bool subscribed() const { return !channels.empty() || !patterns.empty(); }
  [[nodiscard]] std::size_t max_output() const {
    return subscribed() ? kMaxSubscriberOutputBytes : kMaxOutputBytes;
  }
};

}  // namespace respkv
