// SPDX-License-Identifier: Apache-2.0
#include "membership/joining.h"

#include "fleet/join_token.h"
#include "pki/request.h"

namespace segue::membership {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr base::Duration kPause = std::chrono::seconds(1);

Result<rpc::Credentials> ask(os::EpollLoop& loop, const os::Clock& clock,
                             const rpc::ServerAddress& server, const rpc::JoinRequest& request) {
  std::optional<Result<rpc::Credentials>> answer;
  SEGUE_ASSIGN(const auto call,
               rpc::CredentialsCall::join(loop, clock, server, request,
                                          [&](Result<rpc::Credentials> given) { answer = given; }));
  while (!answer) SEGUE_TRY(loop.run_once(kPause));  // the call has a limit of its own
  return *std::move(answer);
}

Result<void> wait(os::EpollLoop& loop, const os::Clock& clock, base::MonotonicTime until) {
  while (clock.monotonic_now() < until) {
    SEGUE_TRY(loop.run_once(until - clock.monotonic_now()));
  }
  return {};
}

}  // namespace

Result<Membership> join_fleet(os::EpollLoop& loop, const os::Clock& clock,
                              const MembershipFiles& files, const JoinWish& wish,
                              base::Duration limit) {
  SEGUE_ASSIGN(const auto token, fleet::parse_join_token(wish.token));
  SEGUE_ASSIGN(const auto key, files.next_key());
  SEGUE_ASSIGN(const std::string pem, pki::make_request(key, {wish.role, wish.host}));
  Membership membership{.role = wish.role,
                        .host = wish.host,
                        .site = wish.site,
                        .labels = wish.labels,
                        .servers = token.servers,
                        .relays = wish.relays,
                        .direct = wish.direct};
  std::vector<rpc::ServerAddress> routes = routes_of(membership);
  for (auto& route : routes) route.authority_pin = token.pin;
  const rpc::JoinRequest request{wish.token, pem, wish.site, wish.labels, SEGUE_VERSION};
  const base::MonotonicTime deadline = clock.monotonic_now() + limit;
  auto credentials = ask(loop, clock, routes.front(), request);
  std::size_t asked = 0;
  while (!credentials && credentials.error().code() == ErrorCode::unavailable &&
         clock.monotonic_now() < deadline) {
    SEGUE_TRY(wait(loop, clock, clock.monotonic_now() + kPause));
    credentials = ask(loop, clock, routes.at(++asked % routes.size()), request);
  }
  if (!credentials) return fail(credentials.error().with("cannot join"));
  SEGUE_ASSIGN(membership.authorities_pem,
               pki::pinned_authority(credentials->authorities_pem, token.pin));
  SEGUE_TRY(files.keep(membership, *credentials));
  SEGUE_ASSIGN(auto kept, files.read());
  return *std::move(kept);
}

}  // namespace segue::membership
