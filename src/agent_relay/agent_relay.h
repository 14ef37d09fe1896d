// SPDX-License-Identifier: Apache-2.0
// Carries the lines of a site's agents to the fleet's server, over one line of its own. It is
// believed about what they say; what they are to be is signed by the server.
#pragma once

#include <list>
#include <memory>
#include <string>

#include "agent_relay/lines.h"
#include "base/log.h"
#include "membership/server_line.h"
#include "os/clock.h"
#include "os/epoll_loop.h"
#include "rpc/fleet_server.h"

namespace segue::agent_relay {

class AgentRelay final : public rpc::FleetHandler {
 public:
  static constexpr std::size_t kMaxCalls = 64;  // of Join and Renew at a time

  struct Settings {
    std::string directory;  // its own, for its key and certificate as files
    std::string listen;     // HOST:PORT
    std::size_t max_agents = 0;
    std::string incarnation;
    std::string boot_id;
  };
  // All outlive it. The port is open when it returns.
  static base::Result<std::unique_ptr<AgentRelay>> open(os::EpollLoop& loop, const os::Clock& clock,
                                                        const base::Log& log, Settings settings,
                                                        membership::MembershipFiles files,
                                                        membership::Membership membership);
  ~AgentRelay() override;

  [[nodiscard]] std::uint16_t port() const { return agents_->port(); }

  // ---- rpc::FleetHandler
  void join(const rpc::JoinRequest& request, rpc::GiveCredentials give) override;
  void renew(const pki::Certificate& who, const rpc::RenewRequest& request,
             rpc::GiveCredentials give) override;
  base::Result<void> attached(rpc::SessionId session, const pki::Certificate& who) override;
  void received(rpc::SessionId session, rpc::Envelope envelope) override;
  void detached(rpc::SessionId session) override;

 private:
  using Call = std::unique_ptr<rpc::CredentialsCall>;

  AgentRelay(os::EpollLoop& loop, const os::Clock& clock, const base::Log& log, Settings settings,
             membership::MembershipFiles files, membership::Membership membership);

  base::Result<void> write_certificate() const;
  [[nodiscard]] std::string path(const char* name) const;
  void server_attached();
  void from_server(rpc::Envelope envelope);
  void tell_servers(Line line);
  void beat();
  void pass_on();
  void ask_server(const std::function<base::Result<Call>(rpc::TakeCredentials)>& begin,
                  const rpc::GiveCredentials& give);

  os::EpollLoop& loop_;
  const os::Clock& clock_;
  const base::Log& log_;
  const Settings settings_;
  Lines lines_;
  membership::ServerLine line_;
  rpc::Envelope servers_;  // as the server has said it, with its signature; no kind: not so far
  std::list<Call> calls_;
  Call ended_call_;  // until its callback has returned
  std::unique_ptr<rpc::FleetServer> agents_;
};

}  // namespace segue::agent_relay
