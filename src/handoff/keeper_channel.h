// SPDX-License-Identifier: Apache-2.0
// The instance's end of the keeper channel.
#pragma once

#include <string>
#include <vector>

#include "handoff/host.h"
#include "handoff/keeper_rejoin.h"
#include "handoff/link.h"

namespace segue::handoff {

// What the keeper asks of an instance.
class KeeperOrders {
 public:
  virtual ~KeeperOrders() = default;
  virtual void start_first(OwnerName name, OwnerPage page, NamedFds stored) = 0;
  virtual void begin_attempt(AttemptRole role, const Terms& terms, UniqueFd link, OwnerPage page,
                             UniqueFd peer_pidfd) = 0;
  virtual void keeper_commits(uint64_t attempt) = 0;
  virtual void keeper_aborts(uint64_t attempt, const std::string& why) = 0;
  virtual void keeper_ends(segue_end_reason reason) = 0;
  virtual void keeper_can_be_found(Rendezvous rendezvous) = 0;
  virtual void keeper_releases() = 0;
  // Asks what of the state a program that declares `items` could not hold.
  virtual void keeper_surveys(uint64_t number, std::string_view items) = 0;
  // This program's own, as in HELLO.
  virtual std::string items() const = 0;
  virtual bool serving() const = 0;
  virtual size_t connection_count() const = 0;
  // Adds what is registered, as field 4 of K_PONG.
  virtual void describe(segue_writer& out) const = 0;
  virtual const Terms& own_terms() const = 0;
};

class KeeperChannel {
 public:
  KeeperChannel(KeeperOrders& orders, UniqueFd fd);

  [[nodiscard]] int fd() const { return link_.fd(); }
  [[nodiscard]] bool wants_write() const { return link_.congested(); }
  [[nodiscard]] bool lost() const { return lost_; }
  [[nodiscard]] uint64_t last_heard_ns() const { return last_heard_ns_; }

  void hello(const std::string& service, const std::string& version);
  // Instead of hello(), to the next keeper: this instance serves. Or, if `fence` names somebody, it
  // does not, and asks only for the end of that one.
  void rejoin(const std::string& service, const std::string& version, const Rendezvous& rendezvous,
              OwnerName me, const OwnerPage& page, OwnerName fence = kNobody);
  void on_ready();  // readable or writable
  void event(AttemptRole role, uint64_t attempt, KeeperEvent event, uint64_t number,
             const std::string& text, uint32_t epoch);
  void progress(AttemptRole role, uint64_t attempt, const segue_progress& progress);
  void losses(const segue_writer& found);
  // Asks for the end of the other side of a handoff.
  void fence(uint64_t attempt, OwnerName other);
  void store(const NamedFds& listeners);
  void unstore(const std::string& name);

 private:
  void on_message(Message& message);
  void on_start(Message& message);
  void on_attempt(Message& message);
  void on_rendezvous(Message& message);
  void send(FrameType type, std::string_view payload, std::span<const int> fds = {});

  KeeperOrders& orders_;
  Link link_;
  bool lost_ = false;
  uint64_t last_heard_ns_ = 0;
};

}  // namespace segue::handoff
