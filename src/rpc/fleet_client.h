// SPDX-License-Identifier: Apache-2.0
// An agent's or a relay's end of protocol/fleet.proto.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/error.h"
#include "os/clock.h"
#include "os/epoll_loop.h"
#include "pki/identity.h"
#include "rpc/envelope.h"

namespace segue::rpc {

// How a server is reached, and known when it is reached.
struct ServerAddress {
  std::string address;          // HOST:PORT
  std::string authorities_pem;  // one of them signed the server's certificate …
  std::string authority_pin;    // … or, before any is known, the SHA-256 of its DER, in hexadecimal
  pki::Role role = pki::Role::server;  // or relay: what its certificate has to say
};
struct OwnCertificate {
  std::string certificate_pem;
  std::string key_pem;
};

using TakeCredentials = std::function<void(base::Result<Credentials>)>;

// One call of Join or Renew; ends without an answer when it is destroyed.
class CredentialsCall {
 public:
  static constexpr base::Duration kLimit = std::chrono::seconds(30);

  // `take` is called once, on the loop's thread. The loop and the clock outlive it.
  static base::Result<std::unique_ptr<CredentialsCall>> join(os::EpollLoop& loop,
                                                             const os::Clock& clock,
                                                             const ServerAddress& server,
                                                             const JoinRequest& request,
                                                             TakeCredentials take);
  static base::Result<std::unique_ptr<CredentialsCall>> renew(
      os::EpollLoop& loop, const os::Clock& clock, const ServerAddress& server,
      const OwnCertificate& own, const RenewRequest& request, TakeCredentials take);
  ~CredentialsCall();
  CredentialsCall(const CredentialsCall&) = delete;
  CredentialsCall& operator=(const CredentialsCall&) = delete;

 private:
  struct State;
  explicit CredentialsCall(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// One connection; who wants another makes another.
class FleetClient {
 public:
  // More that were not taken end the connection.
  static constexpr std::size_t kMaxUnsent = 256;
  static constexpr std::size_t kRoomy = 64;  // with fewer there is room

  struct Handler {
    std::function<void()> attached;  // the server has let it in
    std::function<void(Envelope)> received;
    std::function<void(base::Error)> ended;  // once, last; destroying it here is allowed
    std::function<void()> room = {};         // again, after has_room() has said no
  };
  // Called on the loop's thread.
  static base::Result<std::unique_ptr<FleetClient>> open(os::EpollLoop& loop,
                                                         const os::Clock& clock,
                                                         const ServerAddress& server,
                                                         const OwnCertificate& own,
                                                         Handler handler);
  ~FleetClient();
  FleetClient(const FleetClient&) = delete;
  FleetClient& operator=(const FleetClient&) = delete;

  // False: it has ended.
  bool send(Envelope envelope);
  // For who has much to send: whether it may be more now.
  bool has_room();

 private:
  struct State;
  explicit FleetClient(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace segue::rpc
