// SPDX-License-Identifier: Apache-2.0
#include "traffic/split_group.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "traffic/probe_socket.h"

namespace segue::traffic {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::uint32_t kMaxMembers = 8;       // looked through; two are Segue's
constexpr std::uint32_t kProbesPerIndex = 3;   // all have to arrive at the same socket
constexpr int kMaxTries = 5;                   // a busy listener drops others' segments too
constexpr std::uint32_t kProbesPerRound = 64;  // open at once
// Shorter than TCP waits until it sends a segment again.
constexpr base::Duration kArrivalLimit = std::chrono::milliseconds(900);

// Segments dropped at both sockets since `start()`.
class DropCounter {
 public:
  explicit DropCounter(const SplitGroup& group) : group_(group) {}

  struct Count {
    std::uint32_t stable = 0;
    std::uint32_t canary = 0;
  };
  Result<void> start() {
    SEGUE_ASSIGN(start_, look());
    return {};
  }
  // Waits until so many have been dropped; fewer at the limit.
  Result<Count> wait(const os::Clock& clock, std::uint32_t expected) const {
    const base::MonotonicTime until = clock.monotonic_now() + kArrivalLimit;
    while (true) {
      SEGUE_ASSIGN(const Count now, look());
      const Count count{now.stable - start_.stable, now.canary - start_.canary};
      if (count.stable + count.canary >= expected || clock.monotonic_now() >= until) return count;
      pause_shortly();
    }
  }

 private:
  [[nodiscard]] Result<Count> look() const {
    Count count;
    SEGUE_ASSIGN(count.stable, drops_of(group_.stable));
    if (group_.canary >= 0) {
      SEGUE_ASSIGN(count.canary, drops_of(group_.canary));
    }
    return count;
  }

  SplitGroup group_;
  Count start_;
};

enum class Arrived { stable, canary, elsewhere, unclear };

Arrived where(const DropCounter::Count& count) {
  if (count.stable == kProbesPerIndex && count.canary == 0) return Arrived::stable;
  if (count.canary == kProbesPerIndex && count.stable == 0) return Arrived::canary;
  return count.stable + count.canary == 0 ? Arrived::elsewhere : Arrived::unclear;
}

// Which socket has that index.
Result<Arrived> ask_index(const os::Clock& clock, const SplitGroup& group, const Destination& to,
                          std::uint32_t index, const SplitProgram& meanwhile) {
  for (int i = 0; i < kMaxTries; ++i) {
    ProbeRoutes routes{.source = to.bytes, .routes = {}};
    std::vector<ProbeSocket> probes;
    for (std::uint32_t probe = 0; probe < kProbesPerIndex; ++probe) {
      SEGUE_ASSIGN(auto socket, ProbeSocket::open(to, to.bytes));
      routes.routes.push_back({socket.port(), index});
      probes.push_back(std::move(socket));
    }
    SEGUE_TRY(attach(group.stable, with_probes(routes, meanwhile)));
    DropCounter counter(group);
    SEGUE_TRY(counter.start());
    for (auto& probe : probes) SEGUE_TRY(probe.send());
    SEGUE_ASSIGN(const auto count, counter.wait(clock, kProbesPerIndex));
    if (const Arrived arrived = where(count); arrived != Arrived::unclear) return arrived;
  }
  return fail(ErrorCode::unavailable,
              "the sockets drop so much that nothing can be measured: the host is overloaded; try "
              "again");
}

struct Found {
  std::optional<std::uint32_t> stable;
  std::optional<std::uint32_t> canary;
};

// Index by index. One beyond the group arrives at a socket that was found already.
Result<Found> look_through(const os::Clock& clock, const SplitGroup& group, const Destination& to,
                           const SplitProgram& meanwhile) {
  Found found;
  for (std::uint32_t index = 0; index < kMaxMembers; ++index) {
    SEGUE_ASSIGN(const Arrived arrived, ask_index(clock, group, to, index, meanwhile));
    if (arrived == Arrived::elsewhere) continue;
    auto& place = arrived == Arrived::stable ? found.stable : found.canary;
    if (place) break;
    place = index;
    if (found.stable && (found.canary || group.canary < 0)) break;
  }
  return found;
}

Result<std::uint64_t> cookie_of(int socket) {
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  if (::getsockopt(socket, SOL_SOCKET, SO_COOKIE, &cookie, &size) != 0) {
    return fail(base::errno_error("ask for the cookie of a listening socket", errno));
  }
  return cookie;
}

bool has_option(int socket, int option, int wanted) {
  int value = 0;
  socklen_t size = sizeof value;
  return ::getsockopt(socket, SOL_SOCKET, option, &value, &size) == 0 && value == wanted;
}

// 32 bits that look random, one after the other (splitmix64 of S. Vigna, public domain).
class Sequence {
 public:
  explicit Sequence(std::uint32_t seed) : state_(seed) {}
  std::uint32_t next() {
    state_ += 0x9E3779B97F4A7C15ULL;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return static_cast<std::uint32_t>((z ^ (z >> 31)) >> 32);
  }

 private:
  std::uint64_t state_;
};

}  // namespace

Result<void> attach(int socket, const SplitProgram& program) {
  SplitProgram copy = program;  // the kernel's structure is not const
  const sock_fprog whole{static_cast<unsigned short>(copy.size()), copy.data()};
  if (::setsockopt(socket, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &whole, sizeof whole) != 0) {
    return fail(base::errno_error("attach a program to the sockets of one address", errno));
  }
  return {};
}

Result<SplitMembers> find_members(const os::Clock& clock, const SplitGroup& group,
                                  const SplitProgram& meanwhile) {
  SEGUE_ASSIGN(const Destination to, destination_of(group.stable));
  const auto found = look_through(clock, group, to, meanwhile);
  const auto left = attach(group.stable, meanwhile);
  if (!found) return fail(found.error());
  SEGUE_TRY(left);
  if (!found->stable && !found->canary) {
    return fail(ErrorCode::failed_precondition,
                "no segment that was sent to {} arrived at the listening socket: it is in another "
                "network namespace, or a firewall stands before it",
                to.text);
  }
  if (!found->stable || (group.canary >= 0 && !found->canary)) {
    return fail(ErrorCode::failed_precondition,
                "the sockets of stable and canary on {} are not in one group: both need "
                "--listen=NAME=tcp:…,group, the same user and the same network namespace",
                to.text);
  }
  return SplitMembers{*found->stable, found->canary.value_or(*found->stable == 0 ? 1 : 0)};
}

Result<KnownGroup> set_share(const os::Clock& clock, const SplitGroup& group, const ShareRule& rule,
                             const std::optional<KnownGroup>& known) {
  const bool alone = group.canary < 0;
  if (alone && rule.share_ppm != 0) {
    return fail(ErrorCode::invalid_argument, "there is no canary that could get {}",
                share_text(rule.share_ppm));
  }
  KnownGroup now = known.value_or(KnownGroup{});
  SEGUE_ASSIGN(now.stable_cookie, cookie_of(group.stable));
  now.canary_cookie = 0;
  if (!alone) {
    SEGUE_ASSIGN(now.canary_cookie, cookie_of(group.canary));
  }
  if (!known || now != *known) {
    // Mostly right already: the stable one has listened first.
    SEGUE_ASSIGN(now.members, find_members(clock, group, split_program(rule, SplitMembers{})));
  }
  SEGUE_TRY(attach(group.stable, split_program(rule, now.members)));
  return now;
}

Result<ProbedShare> probe_share(const os::Clock& clock, const SplitGroup& group,
                                std::uint32_t count, std::uint32_t seed) {
  SEGUE_ASSIGN(const Destination to, destination_of(group.stable));
  Sequence sequence(seed);
  ProbedShare probed;
  for (std::uint32_t sent = 0; sent < count;) {
    const std::uint32_t round = std::min(kProbesPerRound, count - sent);
    DropCounter counter(group);
    SEGUE_TRY(counter.start());
    std::vector<ProbeSocket> probes;
    for (std::uint32_t i = 0; i < round; ++i) {
      SEGUE_ASSIGN(auto socket, ProbeSocket::open(to, any_source(to, sequence.next())));
      SEGUE_TRY(socket.send());
      probes.push_back(std::move(socket));
    }
    SEGUE_ASSIGN(const auto arrived, counter.wait(clock, round));
    probed.stable += arrived.stable;
    probed.canary += arrived.canary;
    probed.elsewhere += round - std::min(round, arrived.stable + arrived.canary);
    sent += round;
  }
  return probed;
}

Result<std::string> address_text(int socket) {
  SEGUE_ASSIGN(const Bound bound, bound_address(socket));
  return to_string(bound);
}

Result<void> check_member(int socket) {
  if (!has_option(socket, SO_TYPE, SOCK_STREAM) || !has_option(socket, SO_ACCEPTCONN, 1)) {
    return fail(ErrorCode::failed_precondition, "it is not a listening TCP socket");
  }
  SEGUE_TRY(bound_address(socket));
  if (!has_option(socket, SO_REUSEPORT, 1)) {
    return fail(ErrorCode::failed_precondition,
                "it was bound without SO_REUSEPORT: start the component with "
                "--listen=NAME=tcp:…,group");
  }
  return {};
}

Result<bool> have_one_address(int first, int second) {
  SEGUE_ASSIGN(const Bound one, bound_address(first));
  SEGUE_ASSIGN(const Bound other, bound_address(second));
  return one.port == other.port && one.bytes == other.bytes;
}

}  // namespace segue::traffic
