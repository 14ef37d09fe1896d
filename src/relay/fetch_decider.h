// SPDX-License-Identifier: Apache-2.0
// Where one object is fetched from, and what to do when that goes wrong. Pure: told what happened,
// it says what to do next.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/time.h"

namespace segue::relay {

// Who has it. A member gives what it keeps already; the leader fetches it for us; the origin is
// behind the line.
struct Source {
  enum class Kind : std::uint8_t { kept_by_member, leader, origin };
  Kind kind = Kind::origin;
  std::size_t member = 0;
  friend bool operator==(const Source&, const Source&) = default;
};

// The site, as it is seen now.
struct SiteView {
  bool is_settled = true;           // it is known who leads
  bool leads = true;                // this relay does
  std::size_t leader = 0;           // if it does not
  std::vector<std::size_t> others;  // members that are alive and trusted, without this one
  friend bool operator==(const SiteView&, const SiteView&) = default;
};

struct Kept {
  std::size_t member = 0;
  std::uint64_t bytes = 0;
};

enum class FetchEnd : std::uint8_t {
  whole,       // all bytes are here
  broken,      // no connection, or one that broke, or was too slow
  no_range,    // the server does not go on where we are
  absent,      // 404
  wrong,       // more bytes than it may have, or an answer that is none
  not_leader,  // it says that another leads
  withheld,    // it has more, or does not ask for it, and gives nothing
};

// ---- What to do next
struct AskMembers {};  // how much of it each of `SiteView::others` keeps
struct FetchFrom {
  Source source;
};
struct Wait {
  base::Duration duration{};
};
struct Check {};      // compare the digest
struct StartAnew {};  // throw away what is here, then ask next()
struct GiveUp {
  bool is_absent = false;  // the origin does not have it; otherwise nobody has the right bytes
};
struct Done {};
using FetchCommand = std::variant<AskMembers, FetchFrom, Wait, Check, StartAnew, GiveUp, Done>;

class FetchDecider {
 public:
  static constexpr base::Duration kFirstWait = std::chrono::milliseconds(500);
  static constexpr base::Duration kMaxWait = std::chrono::seconds(10);
  static constexpr int kMaxWrong = 4;        // whole objects with another digest,
  static constexpr int kWrongOfMembers = 2;  // … before only the origin is asked
  static constexpr int kMaxNotLeader = 20;   // then it is not asked again
  // Answers of a leader without a byte, one after another, before it is passed by. A leader that
  // died is known to be dead before that, and another asked.
  static constexpr int kMaxNothing = 5;
  static constexpr base::Duration kUnsettled = std::chrono::milliseconds(100);

  // `held_bytes` are here already, from whom is not known.
  explicit FetchDecider(std::uint64_t held_bytes) : is_mixed_(held_bytes > 0) {}

  FetchCommand next(const SiteView& view, std::uint64_t held_bytes);
  FetchCommand on_kept(const std::vector<Kept>& kept, std::uint64_t held_bytes);
  // Of the source that was named last; `got_bytes` came from it this time.
  FetchCommand on_ended(FetchEnd end, std::uint64_t got_bytes, base::MonotonicTime now);
  FetchCommand on_checked(bool is_right);
  // Whether the source that was named last is to be left, now that the site is as `view` says.
  [[nodiscard]] bool is_over(const SiteView& view, std::uint64_t got_bytes) const;

  // Who sent wrong bytes, alone, when on_checked() or on_ended() last said so; to be told and
  // distrusted. The origin, too.
  [[nodiscard]] const std::optional<Source>& blamed() const { return blamed_; }

 private:
  FetchCommand from(Source source);
  [[nodiscard]] bool is_bad(const Source& source) const;
  void blame(const Source& source);
  base::Duration pause(std::uint64_t got_bytes, base::MonotonicTime now);

  std::optional<Source> source_;  // that bytes are asked of
  std::optional<Source> giver_;   // that the last bytes came from
  bool is_mixed_;                 // bytes are here that came by another connection
  bool has_bytes_ = false;        // … by one
  bool asked_members_ = false;
  bool was_leading_ = false;
  int wrong_count_ = 0;
  int no_range_count_ = 0;
  int not_leader_count_ = 0;
  int nothing_count_ = 0;
  std::set<std::size_t> bad_members_;
  bool is_origin_bad_ = false;
  bool is_absent_ = false;
  std::optional<base::MonotonicTime> failing_since_;
  std::optional<Source> blamed_;
};

}  // namespace segue::relay
