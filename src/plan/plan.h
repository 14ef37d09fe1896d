// SPDX-License-Identifier: Apache-2.0
// What goes live where and when, decided in advance. A plan is fixed once it is made, but for being
// cancelled; the moment at each site stands in it, so that a host needs nobody to act on it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "plan/time_expression.h"
#include "plan/window.h"

namespace segue::plan {

inline constexpr std::size_t kMaxSites = 1'000;
inline constexpr std::size_t kMaxWindows = 32;
inline constexpr std::size_t kMaxFreezes = 64;
inline constexpr std::size_t kMaxTextBytes = 500;

struct Site {
  std::string name;
  std::string zone;
  Instant at{};

  friend bool operator==(const Site&, const Site&) = default;
};

// In it nothing goes live. The times are expressions with a date.
struct Freeze {
  std::string from;
  std::string to;
  std::string reason;

  friend bool operator==(const Freeze&, const Freeze&) = default;
};

// What is done when the time has passed by more than `late_limit`: the host was down, or the
// version was not there.
enum class MissedPolicy {
  skip,         // nothing
  next_window,  // when the next window opens; without windows, at the same time of the next day
  at_once,      // as soon as it can, also outside of windows, but in no freeze
};
std::string_view to_string(MissedPolicy policy);
std::optional<MissedPolicy> missed_policy_of(std::string_view word);

struct Cancellation {
  Instant at{};
  std::string reason;

  friend bool operator==(const Cancellation&, const Cancellation&) = default;
};

struct Plan {
  std::string id;
  std::string component;
  std::string version;  // need not be built yet
  Instant created{};
  std::string at;  // as it was said
  std::vector<Site> sites;
  std::vector<Window> windows;  // none: at any time
  std::vector<Freeze> freezes;
  MissedPolicy missed = MissedPolicy::skip;
  seconds late_limit = std::chrono::minutes(10);
  seconds staging_estimate = std::chrono::minutes(30);   // until a host knows better
  seconds publishing_freeze = std::chrono::minutes(10);  // before the first site goes live
  seconds go_live_limit = std::chrono::minutes(15);      // from the first step to the last
  std::optional<Cancellation> cancelled;

  [[nodiscard]] const Site* site(std::string_view name) const;
  friend bool operator==(const Plan&, const Plan&) = default;
};

// All that can be told without a clock and without zones: names, bounds, what stands twice.
base::Result<void> check(const Plan& plan);

}  // namespace segue::plan
