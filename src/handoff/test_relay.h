// SPDX-License-Identifier: Apache-2.0
// For tests only: stands between a predecessor and a successor, sees every message and may change
// it.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "handoff/frame.h"
#include "handoff/test_service.h"
#include "handoff/unique_fd.h"

namespace segue::handoff::test {

enum class Way { to_predecessor, to_successor };

class Relay {
 public:
  struct Seen {
    Way way{};
    FrameHeader header;
    std::string payload;
  };
  // May change a message; false drops it. Called on the relay's own thread.
  using Edit = std::function<bool(Way way, FrameHeader& header, std::string& payload)>;

  // `predecessor` is the directory of an instance that serves. A successor finds directory().
  Relay(const std::string& predecessor, Edit edit, bool adds_unknown_frames = false);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  [[nodiscard]] const std::string& directory() const { return directory_.path(); }
  [[nodiscard]] std::vector<Seen> seen() const;
  [[nodiscard]] bool has_seen(FrameType type) const;

 private:
  struct Side {
    UniqueFd socket;
    uint32_t next_sequence = 1;
  };

  void serve();
  bool meet();
  // False when the connection is over.
  bool pass(Way way, Side& from, Side& to);
  static void send(Side& to, FrameHeader header, const std::string& payload,
                   const std::vector<UniqueFd>& fds);

  TemporaryDirectory directory_;
  std::string predecessor_directory_;
  Edit edit_;
  bool adds_unknown_frames_;
  UniqueFd lock_;
  UniqueFd listener_;
  UniqueFd stop_;
  Side predecessor_;
  Side successor_;
  mutable std::mutex mutex_;
  std::vector<Seen> seen_;
  std::thread thread_;
};

}  // namespace segue::handoff::test
