// SPDX-License-Identifier: Apache-2.0
// Which member of a site leads it: fetches over the line for all. Pure; every member decides for
// itself from what it heard, and nobody votes. While they differ, two may fetch the same bytes over
// the line; what hosts get is the same.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/time.h"

namespace segue::relay {

// What a member says of itself when it is asked.
struct Claim {
  bool leads = false;
  bool is_busy = false;  // fetches over the line
  bool is_able = true;   // can keep what it fetches
  friend bool operator==(const Claim&, const Claim&) = default;
};

class Election {
 public:
  static constexpr base::Duration kAskInterval = std::chrono::seconds(1);
  // Three that were missed.
  static constexpr base::Duration kDeadAfter = std::chrono::milliseconds(3'500);
  static constexpr base::Duration kDistrust = std::chrono::minutes(2);

  // `members` in the order that all of them share; `self` is one of them.
  Election(std::size_t self, std::size_t members, base::MonotonicTime now)
      : self_(self), began_(now), members_(members) {}

  void answered(std::size_t member, Claim claim, base::MonotonicTime now);
  // It cannot be reached at all: a connection was refused. Death is known at once then, unlike with
  // silence; but who never answered may be about to begin, as we are, and is asked once more.
  void refused(std::size_t member);
  // It sent something that it may not send: for a while it does not lead, as far as we see.
  void distrust(std::size_t member, base::MonotonicTime now);
  void set_busy(bool is_busy) { is_busy_ = is_busy; }
  // Who is not able leads only if nobody is.
  void set_able(bool is_able) { is_able_ = is_able; }

  // Nothing: too early to tell, for no more than kDeadAfter after the start.
  [[nodiscard]] std::optional<std::size_t> leader(base::MonotonicTime now) const;
  [[nodiscard]] bool is_alive(std::size_t member, base::MonotonicTime now) const;
  [[nodiscard]] bool is_trusted(std::size_t member, base::MonotonicTime now) const;
  [[nodiscard]] std::optional<base::MonotonicTime> last_seen(std::size_t member) const {
    return members_[member].seen;
  }

 private:
  struct Member {
    std::optional<base::MonotonicTime> seen;
    bool has_refused = false;
    bool is_known = false;  // has answered, or refused twice, since the start
    std::optional<base::MonotonicTime> distrusted_until;
    Claim claim;
  };

  std::size_t self_;
  base::MonotonicTime began_;
  bool is_busy_ = false;
  bool is_able_ = true;
  std::vector<Member> members_;
};

}  // namespace segue::relay
