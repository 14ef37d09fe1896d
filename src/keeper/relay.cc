// SPDX-License-Identifier: Apache-2.0
#include "keeper/relay.h"

#include <sys/epoll.h>

#include <utility>
#include <vector>

#include "handoff/frame.h"

namespace segue::keeper {
namespace {

constexpr int kMessagesPerTurn = 64;  // then the keeper's other work has its turn

}  // namespace

base::Result<Relay::Ends> Relay::create(os::EpollLoop& loop) {
  SEGUE_ASSIGN(auto left, os::socket_pair(os::SocketType::seqpacket, os::Blocking::no));
  SEGUE_ASSIGN(auto right, os::socket_pair(os::SocketType::seqpacket, os::Blocking::no));
  std::unique_ptr<Relay> relay(new Relay(loop, std::move(left.second), std::move(right.second)));
  SEGUE_TRY(relay->watch());
  return Ends{std::move(left.first), std::move(right.first), std::move(relay)};
}

Relay::Relay(os::EpollLoop& loop, os::UniqueFd a, os::UniqueFd b) : loop_(loop) {
  sides_[0].fd = std::move(a);
  sides_[1].fd = std::move(b);
}

Relay::~Relay() {
  end();
}

base::Result<void> Relay::watch() {
  for (std::size_t i = 0; i < sides_.size(); ++i) {
    interest_[i] = EPOLLIN;
    SEGUE_TRY(loop_.watch(sides_[i].fd.get(), EPOLLIN, [this](std::uint32_t) { on_ready(); }));
  }
  return {};
}

void Relay::on_ready() {
  if (!forward(sides_[0], sides_[1]) || !forward(sides_[1], sides_[0])) return end();
  for (std::size_t i = 0; i < sides_.size(); ++i) {
    std::uint32_t wanted = 0;
    if (!sides_[i].held) wanted |= EPOLLIN;
    if (sides_[1 - i].held) wanted |= EPOLLOUT;
    if (wanted == std::exchange(interest_[i], wanted)) continue;
    if (!loop_.change(sides_[i].fd.get(), wanted)) return end();
  }
}

bool Relay::forward(Side& from, const Side& to) {
  for (int i = 0; i < kMessagesPerTurn; ++i) {
    if (!from.held) {
      auto received = os::receive_message(from.fd, handoff::kMaxMessageBytes);
      if (!received || received->kind == os::Received::Kind::closed) return false;
      if (received->kind == os::Received::Kind::would_block) return true;
      from.held = *std::move(received);
    }
    std::vector<int> fds;
    for (const auto& fd : from.held->fds) fds.push_back(fd.get());
    const auto sent = os::send_message(to.fd, from.held->bytes, fds);
    if (!sent) return false;
    if (*sent == 0) return true;
    bytes_ += *sent;
    from.held.reset();
  }
  return true;
}

void Relay::end() {
  if (std::exchange(ended_, true)) return;
  for (auto& side : sides_) {
    loop_.unwatch(side.fd.get());
    side.fd.reset();
    side.held.reset();
  }
}

}  // namespace segue::keeper
