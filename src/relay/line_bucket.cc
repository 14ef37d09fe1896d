// SPDX-License-Identifier: Apache-2.0
#include "relay/line_bucket.h"

#include <cmath>

namespace segue::relay {
namespace {

double seconds_of(base::Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

std::uint64_t LineBucket::burst_bytes() const {
  const double burst = static_cast<double>(rate_.value_or(0)) * seconds_of(kBurst);
  return std::max(kMinBurstBytes, static_cast<std::uint64_t>(burst));
}

void LineBucket::fill(base::MonotonicTime now) {
  if (now > filled_) {
    tokens_ += static_cast<double>(rate_.value_or(0)) * seconds_of(now - filled_);
  }
  filled_ = std::max(filled_, now);
  tokens_ = std::min(tokens_, static_cast<double>(burst_bytes()));
}

void LineBucket::set_rate(std::optional<std::uint64_t> bytes_per_second, base::MonotonicTime now) {
  fill(now);
  rate_ = bytes_per_second;
  fill(now);
}

std::uint64_t LineBucket::take(std::uint64_t wanted, base::MonotonicTime now) {
  if (!rate_) return wanted;
  fill(now);
  if (tokens_ < 1 || *rate_ == 0) return 0;
  const std::uint64_t given = std::min(wanted, static_cast<std::uint64_t>(tokens_));
  tokens_ -= static_cast<double>(given);
  return given;
}

void LineBucket::give_back(std::uint64_t bytes) {
  tokens_ = std::min(tokens_ + static_cast<double>(bytes), static_cast<double>(burst_bytes()));
}

void LineBucket::charge(std::uint64_t bytes, base::MonotonicTime now) {
  if (!rate_) return;
  fill(now);
  tokens_ = std::max(tokens_ - static_cast<double>(bytes), -static_cast<double>(*rate_));
}

std::optional<base::MonotonicTime> LineBucket::next_at(std::uint64_t wanted,
                                                       base::MonotonicTime now) {
  if (!rate_) return now;
  if (*rate_ == 0) return std::nullopt;
  fill(now);
  const double lacking = static_cast<double>(std::min(wanted, kPacketBytes)) - tokens_;
  if (lacking <= 0) return now;
  const double wait_ns = std::ceil(lacking / static_cast<double>(*rate_) * 1e9);
  return now + base::Duration(static_cast<std::int64_t>(wait_ns) + 1);
}

}  // namespace segue::relay
