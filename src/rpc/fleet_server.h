// SPDX-License-Identifier: Apache-2.0
// The server's end of protocol/fleet.proto.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/error.h"
#include "os/clock.h"
#include "os/epoll_loop.h"
#include "pki/certificate.h"
#include "rpc/envelope.h"

namespace segue::rpc {

using SessionId = std::uint64_t;
using GiveCredentials = std::function<void(base::Result<Credentials>)>;

// What a server does with those who call. Called on the loop's thread.
class FleetHandler {
 public:
  FleetHandler() = default;
  FleetHandler(const FleetHandler&) = delete;
  FleetHandler& operator=(const FleetHandler&) = delete;
  virtual ~FleetHandler() = default;

  // `give` is called once, on the loop's thread, now or later.
  virtual void join(const JoinRequest& request, GiveCredentials give) = 0;
  virtual void renew(const pki::Certificate& who, const RenewRequest& request,
                     GiveCredentials give) = 0;
  // Somebody shows a certificate that does not let them attach.
  virtual void refused(const base::Error& /*why*/) {}
  // An error ends the session, and is told.
  virtual base::Result<void> attached(SessionId session, const pki::Certificate& who) = 0;
  // The session's next envelope is read after this has returned.
  virtual void received(SessionId session, Envelope envelope) = 0;
  // After attached() has let it in; nothing comes after.
  virtual void detached(SessionId session) = 0;
  // Again, after FleetServer::has_room() has said no.
  virtual void room(SessionId /*session*/) {}
};

class FleetServer {
 public:
  // More that were not taken end the session: whoever is so slow has to begin anew.
  static constexpr std::size_t kMaxUnsent = 256;
  static constexpr std::size_t kRoomy = 64;  // with fewer there is room

  struct Settings {
    std::string address;           // HOST:PORT; port 0: any that is free
    std::string certificate_file;  // PEM, the authority's certificate after its own; read again
    std::string key_file;          // … whenever they change
    std::string authorities_pem;   // whose certificates are believed
  };
  // All outlive it. The port is open when it returns.
  static base::Result<std::unique_ptr<FleetServer>> open(os::EpollLoop& loop,
                                                         const os::Clock& clock,
                                                         const Settings& settings,
                                                         FleetHandler& handler);
  ~FleetServer();
  FleetServer(const FleetServer&) = delete;
  FleetServer& operator=(const FleetServer&) = delete;

  [[nodiscard]] std::uint16_t port() const;
  // False: there is no such session any more.
  bool send(SessionId session, Envelope envelope);
  // For who has much to send: whether it may be more now.
  bool has_room(SessionId session);
  // Ends it; detached() follows.
  void close(SessionId session, const base::Error& why);

 private:
  struct State;
  explicit FleetServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace segue::rpc
