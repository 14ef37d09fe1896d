// SPDX-License-Identifier: Apache-2.0
// Virtual time, one source of randomness, and a hash over everything that happens: one seed is one
// run.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <queue>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.h"

namespace segue::simulation {

using base::Duration;

class Loop {
 public:
  explicit Loop(std::uint64_t seed) : random_(seed) {}

  void after(Duration delay, std::function<void()> work) {
    queue_.push({now_ + delay, next_number_++, std::move(work)});
  }
  // False: there is nothing left, or it is later than `until`.
  bool step(Duration until) {
    if (queue_.empty() || queue_.top().at > until) return false;
    // Only `at` and `number` order the queue.
    auto work = std::move(const_cast<Entry&>(queue_.top()).work);  // NOLINT
    now_ = queue_.top().at;
    queue_.pop();
    ++steps_;
    work();
    return true;
  }
  [[nodiscard]] Duration now() const { return now_; }
  [[nodiscard]] std::uint64_t steps() const { return steps_; }

  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }
  bool chance(std::uint64_t per_mille) { return below(1'000) < per_mille; }
  Duration between(Duration least, Duration most) {
    return least + Duration(static_cast<std::int64_t>(
                       below(static_cast<std::uint64_t>((most - least).count()) + 1)));
  }

  void trace(std::string_view what, std::string_view where, std::uint64_t number = 0) {
    mix(static_cast<std::uint64_t>(now_.count()));
    for (const char c : what) mix(static_cast<unsigned char>(c));
    for (const char c : where) mix(static_cast<unsigned char>(c));
    mix(number);
    if (log_ != nullptr) log_(now_, what, where, number);
  }
  [[nodiscard]] std::uint64_t hash() const { return hash_; }

  void (*log_)(Duration now, std::string_view what, std::string_view where,
               std::uint64_t number) = nullptr;

 private:
  struct Entry {
    Duration at{};
    std::uint64_t number = 0;
    std::function<void()> work;
    bool operator<(const Entry& other) const {
      return std::pair(at, number) > std::pair(other.at, other.number);
    }
  };

  void mix(std::uint64_t value) {  // FNV-1a
    hash_ = (hash_ ^ value) * 1'099'511'628'211ULL;
  }

  std::mt19937_64 random_;
  std::priority_queue<Entry> queue_;
  Duration now_{};
  std::uint64_t next_number_ = 0;
  std::uint64_t steps_ = 0;
  std::uint64_t hash_ = 14'695'981'039'346'656'037ULL;
};

}  // namespace segue::simulation
