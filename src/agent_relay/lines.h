// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "pki/certificate.h"
#include "rpc/envelope.h"

namespace segue::agent_relay {

using Line = std::uint64_t;  // of one agent to the relay; numbers are not used again

// Which agents are connected to a relay, and what its server is to be told of them, in which order.
// Of each line the newest word of a kind is enough; heartbeats go in one message for all. Pure.
class Lines {
 public:
  // What waits for the server, or is not taken by it.
  static constexpr std::size_t kMaxWaitingBytes = std::size_t{64} << 20;
  // … of one line, of kinds that do not stand for what was said before.
  static constexpr std::size_t kMaxOthers = 16;

  explicit Lines(std::size_t max_lines) : max_lines_(max_lines) {}

  // ---- From agents. An error ends the line, and is told to the agent.
  base::Result<void> opened(Line line, const pki::Certificate& who);
  base::Result<void> received(Line line, rpc::Envelope envelope);
  void closed(Line line);

  // ---- To the server
  // There is a new line to it: everybody has to say hello again. Who they are.
  std::vector<Line> server_attached();
  // There is none: what agents say is not kept, as they will be asked again.
  void server_lost();
  // What has waited the longest, and waits no more.
  std::optional<rpc::Envelope> next();
  // Who was heard since the last call.
  std::vector<Line> heard();

  [[nodiscard]] std::vector<Line> all() const;
  // Whether it is `host` that is at the other end.
  [[nodiscard]] bool is(Line line, const std::string& host) const;
  [[nodiscard]] const std::string& host_of(Line line) const { return lines_.at(line).host; }
  [[nodiscard]] std::size_t size() const { return lines_.size(); }
  [[nodiscard]] std::size_t waiting_bytes() const { return waiting_bytes_; }

 private:
  struct Agent {
    std::string host;
    std::string certificate_pem;
    bool introduced = false;                  // to the server, on this line to it
    bool heard = false;                       // since heard() was asked
    std::optional<std::uint64_t> generation;  // as it was told
    std::size_t others = 0;
  };
  using Waiting = std::list<rpc::Envelope>;

  base::Result<void> add(rpc::Envelope envelope, bool replaces);
  base::Result<void> add_other(Agent& agent, rpc::Envelope envelope);
  void drop(Waiting::iterator place);
  static std::size_t bytes_of(const rpc::Envelope& envelope);

  const std::size_t max_lines_;
  std::unordered_map<Line, Agent> lines_;
  bool has_server_ = false;
  Waiting waiting_;
  // Of kinds whose newest word is enough.
  std::map<std::pair<Line, rpc::EnvelopeKind>, Waiting::iterator> places_;
  std::size_t waiting_bytes_ = 0;
};

}  // namespace segue::agent_relay
