// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "command.h"
#include "hash.h"

namespace respkv {
namespace {

constexpr std::size_t kLongestName = 24;

char lower(char letter) {
  return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
}

std::vector<Command> gather() {
  std::vector<Command> all;
  for (const auto& part :
       {string_commands(), counter_commands(), list_commands(), hash_commands(), set_commands(),
        sorted_set_commands(), key_commands(), expiry_commands(), pubsub_commands(),
        transaction_commands(), connection_commands(), server_commands()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

class Table {
 public:
  Table() : commands_(gather()) {
    for (const Command& command : commands_) {
      std::size_t at = home(command.name);
      while (slots_[at] != nullptr) at = (at + 1) % kSlots;
      slots_[at] = &command;
    }
  }

  [[nodiscard]] const Command* find(std::string_view lower_name) const {
    for (std::size_t at = home(lower_name); slots_[at] != nullptr; at = (at + 1) % kSlots) {
      if (slots_[at]->name == lower_name) return slots_[at];
    }
    return nullptr;
  }

  [[nodiscard]] std::span<const Command> all() const { return commands_; }

 private:
  static constexpr std::size_t kSlots = 1024;  // several times the number of commands

  static std::size_t home(std::string_view name) { return hash_bytes(name) % kSlots; }

  std::vector<Command> commands_;
  std::array<const Command*, kSlots> slots_{};
};

const Table& table() {
  static const Table the_table;
  return the_table;
}

}  // namespace

const Command* find_command(std::string_view name) {
  std::array<char, kLongestName> lowered{};
  if (name.size() > lowered.size()) return nullptr;
  std::transform(name.begin(), name.end(), lowered.begin(), lower);
  return table().find({lowered.data(), name.size()});
}

std::span<const Command> all_commands() {
  return table().all();
}

bool is_word(std::string_view argument, std::string_view word) {
  return argument.size() == word.size() &&
         std::equal(argument.begin(), argument.end(), word.begin(),
                    [](char a, char b) { return lower(a) == b; });
}

void Call::wrong_arity() {
  reply.error(fmt::format("ERR wrong number of arguments for '{}' command", command.name));
}

const Command* find_subcommand(const Command& command, std::string_view name) {
  const std::size_t prefix = command.name.size() + 1;
  for (const Command& subcommand : command.subcommands) {
    if (is_word(name, subcommand.name.substr(prefix))) return &subcommand;
  }
  return nullptr;
}

bool clamp_range(std::int64_t size, std::int64_t& start, std::int64_t& stop) {
  if (start < 0) start = std::max<std::int64_t>(start + size, 0);
  if (stop < 0) stop += size;
  stop = std::min(stop, size - 1);
  return start <= stop && start < size;
}

}  // namespace respkv
