// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "membership/membership.h"
#include "os/clock.h"
#include "os/epoll_loop.h"
#include "rpc/fleet_client.h"

namespace segue::membership {

// The line to the server, through a relay perhaps: made anew whenever it breaks, and the
// certificate renewed in time. Of several servers the one that leads takes it; where they are it
// learns from that one, and keeps it. Nothing that its owner does waits for it.
class ServerLine {
 public:
  static constexpr base::Duration kHeartbeat = std::chrono::seconds(5);
  static constexpr base::Duration kFirstPause = std::chrono::seconds(1);  // doubles, whenever …
  static constexpr base::Duration kMaxPause = std::chrono::seconds(30);   // … each was tried once
  static constexpr base::Duration kRenewRetry = std::chrono::minutes(1);

  struct Handler {
    std::function<void()> attached;  // says hello first
    std::function<void()> beat;      // at once after that, and each kHeartbeat
    std::function<void(rpc::Envelope)> received;
    std::function<void()> lost = {};     // there is no line any more
    std::function<void()> room = {};     // as of rpc::FleetClient
    std::function<void()> renewed = {};  // membership() has another certificate
  };
  // All outlive it.
  ServerLine(os::EpollLoop& loop, const os::Clock& clock, const base::Log& log,
             MembershipFiles files, Membership membership, Handler handler);
  ~ServerLine();
  ServerLine(const ServerLine&) = delete;
  ServerLine& operator=(const ServerLine&) = delete;

  void start();
  // False: there is no line now.
  bool send(rpc::Envelope envelope);
  bool has_room();
  // Where it is reached now, or will be tried next.
  [[nodiscard]] const rpc::ServerAddress& route() const { return routes_.at(route_); }
  [[nodiscard]] const Membership& membership() const { return membership_; }

 private:
  void connect();
  void attached();
  void ended(const base::Error& why);
  void received(rpc::Envelope envelope);
  [[nodiscard]] base::Result<void> check_order(rpc::Envelope& envelope) const;
  void take_servers(const std::string& document);
  void find_routes(const std::string& here);
  void beat();
  void lose();
  void plan_renewal();
  void renew();
  void renewed(const base::Result<rpc::Credentials>& credentials);
  void call_in(base::Duration delay, std::optional<os::EpollLoop::TimerId>& timer,
               std::function<void()> call);
  void cancel(std::optional<os::EpollLoop::TimerId>& timer);

  os::EpollLoop& loop_;
  const os::Clock& clock_;
  const base::Log& log_;
  MembershipFiles files_;
  Membership membership_;
  Handler handler_;
  std::vector<rpc::ServerAddress> routes_;
  std::size_t route_ = 0;  // of them
  std::uint32_t failures_ = 0;
  bool is_attached_ = false;
  std::string complaint_;  // as it was logged last
  std::unique_ptr<rpc::FleetClient> client_;
  std::unique_ptr<rpc::CredentialsCall> renewal_;
  std::optional<os::EpollLoop::TimerId> connect_timer_;
  std::optional<os::EpollLoop::TimerId> beat_timer_;
  std::optional<os::EpollLoop::TimerId> renewal_timer_;
};

}  // namespace segue::membership
