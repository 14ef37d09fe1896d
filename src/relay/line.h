// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "os/clock.h"
#include "relay/line_bucket.h"
#include "relay/rate_meter.h"
#include "relay/transfer_queue.h"

namespace segue::relay {

// A site's line: whose turn it is, and how many bytes may come now. Callbacks come from the loop.
class Line {
 public:
  // Both outlive it.
  Line(boost::asio::io_context& context, const os::Clock& clock);

  void set_rate(std::optional<std::uint64_t> bytes_per_second);
  [[nodiscard]] std::optional<std::uint64_t> rate() const { return bucket_.rate(); }

  // `on_turn` is called once. Until leave().
  void enter(const std::string& transfer, GoLive go_live, std::uint64_t number,
             std::function<void()> on_turn);
  void change(const std::string& transfer, GoLive go_live);
  void leave(const std::string& transfer);
  [[nodiscard]] bool is_used() const { return queue_.size() > 0; }
  [[nodiscard]] bool has_turn(const std::string& transfer) const {
    return queue_.has_turn(transfer);
  }

  // Calls with how many of `wanted` bytes may be read, once there are any and it is its turn.
  void take(const std::string& transfer, std::uint64_t wanted,
            std::function<void(std::uint64_t bytes)> then);
  void came(std::uint64_t bytes, std::uint64_t given);  // of what take() gave
  void came_unasked(std::uint64_t bytes);               // metadata

  // `day` is that of the site's own clocks, in days since 1970; a new one begins a new count. Each
  // second.
  void tick(std::int64_t day);
  [[nodiscard]] std::uint64_t bytes_total() const { return bytes_total_; }
  [[nodiscard]] std::uint64_t bytes_today() const { return bytes_today_; }
  // Over the last seconds.
  [[nodiscard]] double bytes_per_second() const { return meter_.per_second(); }

 private:
  struct Waiter {
    std::function<void()> on_turn;
    std::uint64_t wanted = 0;
    std::function<void(std::uint64_t)> then;
  };
  void work();
  void post_work();
  void count(std::uint64_t bytes);

  boost::asio::io_context& context_;
  const os::Clock& clock_;
  boost::asio::steady_timer timer_;
  LineBucket bucket_;
  TransferQueue queue_;
  std::map<std::string, Waiter> waiters_;
  bool is_posted_ = false;
  std::uint64_t bytes_total_ = 0;
  std::uint64_t bytes_today_ = 0;
  std::int64_t day_ = 0;
  RateMeter meter_;
};

}  // namespace segue::relay
