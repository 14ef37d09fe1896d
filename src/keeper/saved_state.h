// SPDX-License-Identifier: Apache-2.0
// What a keeper leaves to the program that goes on in its place (protocol/keeper-state.md). Pure.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/options.h"
#include "keeper/component_snapshot.h"
#include "keeper/contract/file_index.h"

namespace segue::keeper {

// Who reads a state that it cannot understand in full says so, instead of losing half of it.
inline constexpr std::uint32_t kStateVersion = 2;       // of programs that do not link libsegue
inline constexpr std::uint32_t kStateReadableFrom = 1;  // of those that do
inline constexpr std::size_t kMaxStateBytes = std::size_t{16} << 20;
inline constexpr std::size_t kMaxStateEntries = 8'192;  // of one kind

// What the keeper holds of one process. Descriptors are numbers that stay open across exec; -1
// where the state is for a keeper that has to find the instances again.
struct SavedProcess {
  Generation generation = 0;
  std::int32_t pid = 0;
  std::uint64_t start_ticks = 0;  // with the pid it names a process until the next boot
  std::uint32_t owner_name = 0;   // in the ownership page
  bool is_child = true;
  bool channel_open = false;
  std::int32_t channel_fd = -1;
  std::int32_t pidfd = -1;
  std::uint32_t next_out = 1;  // sequence numbers of the channel
  std::uint32_t next_in = 1;
};
// What was started where the instance is another process; a child of the keeper that waits for it.
struct SavedStarter {
  Generation generation = 0;
  std::int32_t pid = 0;
  std::int32_t pidfd = -1;
};
struct SavedFd {
  std::string name;
  std::int32_t fd = -1;
};
struct SavedClient {
  std::uint32_t request = 0;
  std::int32_t fd = -1;
  bool asked = false;
  bool finished = false;
  bool follows = false;  // `segue events -f`
  std::deque<std::string> queue;
};
struct SavedStep {
  std::uint64_t number = 0;
  std::string json;
};

// A descriptor that the keeper holds for a program.
struct SavedHeld {
  std::string name;
  std::int32_t fd = -1;
  FileIdentity identity;    // by which it is found again in a process of the program
  bool is_watched = false;  // it is given up when it hangs up
};
struct SavedMain {
  Generation generation = 0;
  std::int32_t pid = 0;
};
// Where the program does not link libsegue.
struct SavedPrograms {
  control::ContractOptions contract;  // as found, where it was to be found out
  control::AttemptOptions health;
  std::int32_t notify_fd = -1;
  std::vector<SavedHeld> sockets;
  std::vector<SavedHeld> stored;
  std::string binary_name;
  std::vector<SavedMain> announced;  // MAINPID of another process
};

struct SavedState {
  std::string name;
  std::string boot_id;  // a state of another boot describes nothing that lives
  bool foreground = false;
  control::RunOptions run;
  control::Launch launch;      // as the keeper was started
  MonotonicTime since{};       // of the component's first keeper
  std::uint32_t replaced = 0;  // how often the keeper was replaced since
  ComponentSnapshot component;
  std::vector<SavedProcess> processes;

  std::int32_t page_fd = -1;
  std::int32_t keeper_lock_fd = -1;
  std::int32_t instances_lock_fd = -1;
  std::int32_t control_fd = -1;
  std::vector<SavedFd> listeners;
  std::vector<SavedClient> clients;
  std::uint32_t last_request = 0;
  std::uint32_t answer_to = 0;  // who asked for the new program
  std::string replaces;         // the program that wrote this
  std::uint64_t last_step = 0;
  std::vector<SavedStep> steps;
  std::uint64_t last_ping = 0;
  std::string rendezvous_nonce;  // by which instances know the next keeper, and it them
  std::optional<SavedPrograms> programs;
  std::vector<SavedStarter> starters;
};

std::string encode_state(const SavedState& state);
// Checks everything that can be checked without a descriptor: versions, digest, bounds, that names
// and numbers refer to what is there. The error says what is wrong.
base::Result<SavedState> decode_state(std::string_view bytes);

// Those of `state` that have to stay open, each once.
std::vector<int> descriptors_of(const SavedState& state);

}  // namespace segue::keeper
