// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

#include "engine.h"
#include "reply.h"

namespace respkv {

// One command being executed.
struct Call {
  Engine& engine;
  Session& session;
  const Command& command;
  Arguments arguments;  // the first is the command's name
  Reply reply;

  [[nodiscard]] Keyspace& keys() const { return engine.keys; }
  std::string_view operator[](std::size_t i) const { return arguments[i]; }
  [[nodiscard]] std::size_t size() const { return arguments.size(); }
  void wrong_arity();
};

// Flags of a command.
inline constexpr std::uint8_t kNone = 0;
inline constexpr std::uint8_t kWrites = 1;
inline constexpr std::uint8_t kImmediate = 2;        // executed, not queued, inside MULTI
inline constexpr std::uint8_t kWhileSubscribed = 4;  // allowed for a subscriber with protocol 2

struct Command {
  std::string_view name;  // lower case
  void (*handler)(Call& call);
  int arity;  // name included; negative: at least so many
  std::uint8_t flags = kNone;
  int first_key = 0;
  int last_key = 0;  // negative: from the end
  int key_step = 0;
  std::span<const Command> subcommands = {};  // "client|id", ...; the second argument names one
};

// Of a command that only has subcommands.
inline constexpr void (*kNoHandler)(Call& call) = nullptr;

// nullptr if there is none; upper and lower case are the same.
const Command* find_command(std::string_view name);
std::span<const Command> all_commands();

std::span<const Command> string_commands();
std::span<const Command> counter_commands();
std::span<const Command> list_commands();
std::span<const Command> hash_commands();
std::span<const Command> set_commands();
std::span<const Command> sorted_set_commands();
std::span<const Command> key_commands();
std::span<const Command> expiry_commands();
std::span<const Command> pubsub_commands();
std::span<const Command> transaction_commands();
std::span<const Command> connection_commands();
std::span<const Command> server_commands();

// `word` is given in lower case.
bool is_word(std::string_view argument, std::string_view word);

// nullptr if there is none.
const Command* find_subcommand(const Command& command, std::string_view name);

template <class T>
struct Found {
  Item* item = nullptr;
  T* value = nullptr;
  bool wrong_type = false;  // the client has been told

  explicit operator bool() const { return value != nullptr; }
};

template <class T>
T* value_as(Value& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    return std::get_if<std::string>(&value);
  } else {
    auto* holder = std::get_if<std::unique_ptr<T>>(&value);
    return holder == nullptr ? nullptr : holder->get();
  }
}

template <class T>
void set_empty(Value& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    value = std::string();
  } else {
    value = std::make_unique<T>();
  }
}

// The value of a key; `value` is nullptr if there is none, or if it is of another type.
template <class T>
Found<T> find(Call& call, std::string_view key) {
  Item* item = call.keys().find(key);
  if (item == nullptr) return {};
  T* value = value_as<T>(item->data.value);
  if (value == nullptr) call.reply.wrong_type();
  return {item, value, value == nullptr};
}

// As find(); counts hits and misses.
template <class T>
Found<T> read(Call& call, std::string_view key) {
  Found<T> found = find<T>(call, key);
  Statistics& statistics = call.engine.statistics;
  ++(found.item != nullptr ? statistics.keyspace_hits : statistics.keyspace_misses);
  return found;
}

// As find(), but an empty value is made where there is none.
template <class T>
Found<T> find_or_create(Call& call, std::string_view key) {
  Found<T> found = find<T>(call, key);
  if (found.item != nullptr) return found;
  found.item = &call.keys().create(key);
  set_empty<T>(found.item->data.value);
  found.value = value_as<T>(found.item->data.value);
  return found;
}

// A key whose list, hash or set became empty is gone.
template <class T>
void changed_or_gone(Call& call, const Found<T>& found) {
  if (found.value->empty()) {
    call.keys().erase(*found.item);
  } else {
    call.keys().changed(*found.item);
  }
}

// Redis' ranges: negative counts from the end. False if nothing is in the range.
bool clamp_range(std::int64_t size, std::int64_t& start, std::int64_t& stop);

}  // namespace respkv
