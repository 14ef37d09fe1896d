// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "crypto/keys.h"
#include "fleet/host.h"
#include "fleet/join_token.h"
#include "os/clock.h"
#include "os/epoll_loop.h"
#include "pki/identity.h"
#include "rpc/fleet_client.h"

namespace segue::bench {

struct AgentOptions {
  std::string token;
  std::string relay_token;
  std::size_t agents = 100;
  std::size_t relays = 0;
  std::string through;      // a real relay's HOST:PORT; empty: none
  bool comes_back = false;  // when the server ends a line, instead of ending
};

// All of them have one key, so that it costs nothing to make; each has a certificate of its own.
class SimulatedAgents {
 public:
  static constexpr base::Duration kHeartbeat = std::chrono::seconds(5);  // as agents
  static constexpr base::Duration kTick = std::chrono::milliseconds(50);
  static constexpr base::Duration kMaxPause =
      std::chrono::seconds(1);  // before who comes back does
  static constexpr std::size_t kJoinsAtOnce = 16;
  static constexpr std::size_t kMaxGenerations = 64;  // whose arrivals are counted at a time

  using Say = std::function<void(const std::string& line)>;
  SimulatedAgents(os::EpollLoop& loop, const os::Clock& clock, AgentOptions options, Say say);

  // Turns the loop until all have joined.
  base::Result<void> join();
  // From then on they are in the loop's hands.
  base::Result<void> attach();

 private:
  struct Agent {
    pki::Identity identity;
    std::string certificate;
    std::size_t session = 0;
    std::uint64_t generation = 0;
    std::map<fleet::SlotKey, std::string> orders;  // that it has carried out
    std::string observed;                          // as it was told last
  };
  struct Session {
    std::unique_ptr<rpc::FleetClient> client;
    std::vector<std::size_t> agents;
    std::deque<rpc::Envelope> unsent;
  };

  base::Result<void> join_all(std::vector<Agent>& members, const std::string& token);
  base::Result<void> open(std::size_t session, const Agent& speaker);
  void attached(std::size_t session);
  void ended(std::size_t session, const std::string& who, const base::Error& why);
  void received(std::size_t session, const rpc::Envelope& envelope);
  void arrived(const Agent& agent, bool stopped);
  void send(std::size_t session, rpc::Envelope envelope);
  void flush(std::size_t session);
  void tick();
  void beat(std::size_t session);
  rpc::Envelope envelope_of(std::size_t agent, rpc::EnvelopeKind kind, std::string document) const;

  os::EpollLoop& loop_;
  const os::Clock& clock_;
  const AgentOptions options_;
  Say say_;
  crypto::PrivateKey key_;
  std::string key_pem_;
  std::string authorities_pem_;
  std::string server_;
  std::vector<Agent> agents_;
  std::vector<Agent> relays_;
  std::vector<Session> sessions_;
  std::size_t next_beat_ = 0;  // of sessions_
  base::MonotonicTime round_began_{};
  std::size_t heard_from_server_ = 0;  // agents that have had something
  // When a generation was had, in order; complete ones are told of and forgotten.
  std::map<std::uint64_t, std::vector<std::int64_t>> arrivals_ns_;
};

}  // namespace segue::bench
