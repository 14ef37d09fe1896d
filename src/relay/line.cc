// SPDX-License-Identifier: Apache-2.0
#include "relay/line.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

namespace segue::relay {

namespace asio = boost::asio;

Line::Line(asio::io_context& context, const os::Clock& clock)
    : context_(context), clock_(clock), timer_(context) {}

void Line::set_rate(std::optional<std::uint64_t> bytes_per_second) {
  if (bucket_.rate() == bytes_per_second) return;
  bucket_.set_rate(bytes_per_second, clock_.monotonic_now());
  post_work();
}

void Line::enter(const std::string& transfer, GoLive go_live, std::uint64_t number,
                 std::function<void()> on_turn) {
  queue_.enter(transfer, go_live, number);
  waiters_[transfer] = {.on_turn = std::move(on_turn), .wanted = 0, .then = nullptr};
  post_work();
}

void Line::change(const std::string& transfer, GoLive go_live) {
  queue_.change(transfer, go_live);
  post_work();
}

void Line::leave(const std::string& transfer) {
  queue_.leave(transfer);
  waiters_.erase(transfer);
  post_work();
}

void Line::take(const std::string& transfer, std::uint64_t wanted,
                std::function<void(std::uint64_t bytes)> then) {
  const auto found = waiters_.find(transfer);
  if (found == waiters_.end()) return;
  found->second.wanted = wanted;
  found->second.then = std::move(then);
  post_work();
}

void Line::count(std::uint64_t bytes) {
  bytes_total_ += bytes;
  bytes_today_ += bytes;
  meter_.add(bytes);
}

void Line::came(std::uint64_t bytes, std::uint64_t given) {
  count(bytes);
  if (given > bytes) bucket_.give_back(given - bytes);
}

void Line::came_unasked(std::uint64_t bytes) {
  count(bytes);
  bucket_.charge(bytes, clock_.monotonic_now());
}

void Line::tick(std::int64_t day) {
  meter_.tick();
  if (std::exchange(day_, day) != day) bytes_today_ = 0;
}

void Line::post_work() {
  if (std::exchange(is_posted_, true)) return;
  asio::post(context_, [this] {
    is_posted_ = false;
    work();
  });
}

void Line::work() {
  if (bucket_.rate() == 0) return;  // nothing may come, so nothing is asked for
  auto order = queue_.order();
  order.resize(std::min(order.size(), TransferQueue::kSlots));
  for (const std::string& transfer : order) {
    if (auto on_turn = std::exchange(waiters_.at(transfer).on_turn, nullptr)) {
      asio::post(context_, std::move(on_turn));
    }
  }
  for (const std::string& transfer : order) {
    const auto found = waiters_.find(transfer);
    if (found->second.wanted == 0) continue;
    const auto now = clock_.monotonic_now();
    const auto at = bucket_.next_at(found->second.wanted, now);
    if (!at) return;  // until the rate changes
    if (*at > now) {
      timer_.expires_after(*at - now);
      timer_.async_wait([this](const boost::system::error_code& problem) {
        if (!problem) work();
      });
      return;  // who comes later does not get what this one waits for
    }
    const std::uint64_t given = bucket_.take(std::exchange(found->second.wanted, 0), now);
    asio::post(context_,
               [then = std::exchange(found->second.then, nullptr), given] { then(given); });
  }
}

}  // namespace segue::relay
