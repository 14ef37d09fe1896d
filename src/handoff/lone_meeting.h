// SPDX-License-Identifier: Apache-2.0
// How instances find each other without a keeper: a directory with a lock, a nonce and a socket
// (protocol/handoff.md, "Meeting alone").
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "handoff/status.h"
#include "handoff/unique_fd.h"

namespace segue::handoff {

class LoneMeeting {
 public:
  struct Options {
    std::string directory;
    std::string flag;  // empty: none
    bool successor_listens = false;
    uint64_t poll_ns = 0;
  };
  // A checked peer: same user, and its pidfd.
  using Met = std::function<void(UniqueFd link, UniqueFd pidfd, std::string nonce)>;

  LoneMeeting(Options options, Met met) : options_(std::move(options)), met_(std::move(met)) {}
  ~LoneMeeting();
  LoneMeeting(const LoneMeeting&) = delete;
  LoneMeeting& operator=(const LoneMeeting&) = delete;

  // Checks or makes the directory. `first` is true if nobody serves; the lock is held then.
  Status open(bool& first);

  // This process serves: be found by successors (again). Called at each change of ownership.
  Status serve();
  // This process is a successor: find the predecessor.
  Status seek();
  // Refuses everybody until the next serve().
  void rest();
  [[nodiscard]] bool rests() const { return resting_; }

  // A listening descriptor to watch for reading, or -1.
  [[nodiscard]] int listening_fd() const { return listener_.get(); }
  // Another number for each listening descriptor: the kernel reuses theirs.
  [[nodiscard]] uint64_t listener_serial() const { return listener_serial_; }
  void on_connection();

  // When on_time() is due, kNever if not.
  [[nodiscard]] uint64_t deadline() const { return deadline_; }
  // True if this process, so far a successor, found that nobody serves any more.
  bool on_time(uint64_t now);

  [[nodiscard]] int lock_fd() const { return lock_.get(); }
  void take_lock(UniqueFd fd) { lock_ = std::move(fd); }
  [[nodiscard]] const std::string& error() const { return error_; }

 private:
  enum class Role { none, serving, seeking };

  [[nodiscard]] std::string path(const char* name) const { return options_.directory + "/" + name; }
  Status check_directory();
  Status listen_at(const char* name);
  // The link, or an invalid one if nobody listens there.
  UniqueFd connect_to(const char* name);
  void meet(UniqueFd link);
  Status write_nonce();
  bool read_nonce();
  void stop_listening();
  [[nodiscard]] bool flagged() const;

  Options options_;
  Met met_;
  Role role_ = Role::none;
  UniqueFd lock_;
  UniqueFd successor_lock_;  // held by the one successor that waits
  UniqueFd listener_;
  uint64_t listener_serial_ = 0;
  std::string listening_name_;
  std::string nonce_;
  bool resting_ = false;
  uint64_t deadline_ = UINT64_MAX;
  std::string error_;
};

}  // namespace segue::handoff
