// SPDX-License-Identifier: Apache-2.0
#include "relay/fetch_decider.h"

#include <algorithm>

namespace segue::relay {

bool FetchDecider::is_bad(const Source& source) const {
  return source.kind == Source::Kind::origin ? is_origin_bad_
                                             : bad_members_.contains(source.member);
}

void FetchDecider::blame(const Source& source) {
  blamed_ = source;
  if (source.kind == Source::Kind::origin) {
    is_origin_bad_ = true;
  } else {
    bad_members_.insert(source.member);
  }
}

FetchCommand FetchDecider::from(Source source) {
  source_ = source;
  return FetchFrom{source};
}

FetchCommand FetchDecider::next(const SiteView& view, std::uint64_t held_bytes) {
  blamed_.reset();
  if (held_bytes == 0) {
    is_mixed_ = has_bytes_ = false;
    giver_.reset();
  }
  if (is_absent_) return GiveUp{true};
  if (wrong_count_ >= kMaxWrong) return GiveUp{false};
  if (!view.is_settled) return Wait{kUnsettled};
  // Who sends a little that is wrong, and breaks off, is never found out: it is not asked again.
  if (wrong_count_ >= kWrongOfMembers)
    return is_origin_bad_ ? FetchCommand(GiveUp{false}) : from({});
  if (!view.leads) {
    was_leading_ = false;
    const Source leader{Source::Kind::leader, view.leader};
    if (source_ != leader) nothing_count_ = 0;
    if (!is_bad(leader)) return from(leader);
  } else if (!was_leading_) {
    was_leading_ = true;
    asked_members_ = false;
  }
  if (!asked_members_ && !view.others.empty()) return AskMembers{};
  if (is_origin_bad_) return GiveUp{false};
  return from({Source::Kind::origin, 0});
}

FetchCommand FetchDecider::on_kept(const std::vector<Kept>& kept, std::uint64_t held_bytes) {
  asked_members_ = true;
  const Kept* best = nullptr;
  for (const Kept& one : kept) {
    if (bad_members_.contains(one.member) || one.bytes <= held_bytes) continue;
    if (best == nullptr || one.bytes > best->bytes) best = &one;
  }
  if (best != nullptr) return from({Source::Kind::kept_by_member, best->member});
  if (is_origin_bad_) return GiveUp{false};
  return from({Source::Kind::origin, 0});
}

base::Duration FetchDecider::pause(std::uint64_t got_bytes, base::MonotonicTime now) {
  if (got_bytes > 0) failing_since_.reset();
  if (!failing_since_) failing_since_ = now;
  return std::clamp<base::Duration>((now - *failing_since_) / 4, kFirstWait, kMaxWait);
}

FetchCommand FetchDecider::on_ended(FetchEnd end, std::uint64_t got_bytes,
                                    base::MonotonicTime now) {
  blamed_.reset();
  const Source source = source_.value_or(Source{});
  if (got_bytes > 0) {
    if (has_bytes_) is_mixed_ = true;
    has_bytes_ = true;
    giver_ = source;
  }
  switch (end) {
    case FetchEnd::whole:
      failing_since_.reset();
      return Check{};
    case FetchEnd::broken:
      // A member that keeps only a part of it ends there: the rest is behind the line.
      if (source.kind == Source::Kind::kept_by_member) return Wait{base::Duration(0)};
      // Its disk may be full, while there is room here.
      nothing_count_ = got_bytes > 0 ? 0 : nothing_count_ + 1;
      if (source.kind == Source::Kind::leader && nothing_count_ >= kMaxNothing) {
        bad_members_.insert(source.member);
        return Wait{base::Duration(0)};
      }
      return Wait{pause(got_bytes, now)};
    case FetchEnd::no_range:
      if (source.kind == Source::Kind::kept_by_member) return Wait{base::Duration(0)};
      // An ordinary server may know no ranges.
      if (source.kind != Source::Kind::origin && ++no_range_count_ > 1) blame(source);
      return StartAnew{};
    case FetchEnd::absent:
      if (source.kind == Source::Kind::origin) {
        is_absent_ = true;
        return GiveUp{true};
      }
      if (source.kind == Source::Kind::leader) bad_members_.insert(source.member);
      return Wait{base::Duration(0)};
    case FetchEnd::wrong:
      ++wrong_count_;
      blame(source);
      return StartAnew{};
    case FetchEnd::not_leader:
      // An origin that says so is a relay, too: of a region, by the same name as this site.
      if (source.kind == Source::Kind::origin) return Wait{pause(got_bytes, now)};
      if (++not_leader_count_ >= kMaxNotLeader) bad_members_.insert(source.member);
      return Wait{kFirstWait};
    case FetchEnd::withheld:
      blame(source);
      return Wait{base::Duration(0)};
  }
  return GiveUp{false};
}

// Who leads never waits for another relay: of any relays that ask each other in turn, the one that
// was asked last would have to lead, so that none of them waits for itself.
bool FetchDecider::is_over(const SiteView& view, std::uint64_t got_bytes) const {
  if (!source_ || !view.is_settled) return false;
  const Source leader{Source::Kind::leader, view.leader};
  switch (source_->kind) {
    case Source::Kind::origin:
      return !view.leads && !is_bad(leader) && wrong_count_ < kWrongOfMembers;
    case Source::Kind::leader:
      if (view.leads || std::ranges::find(view.others, source_->member) == view.others.end()) {
        return true;
      }
      return view.leader != source_->member && got_bytes == 0;
    case Source::Kind::kept_by_member:
      return false;
  }
  return false;
}

FetchCommand FetchDecider::on_checked(bool is_right) {
  blamed_.reset();
  if (is_right) return Done{};
  ++wrong_count_;
  // What several connections brought is nobody's fault, or anybody's: an honest relay passes on
  // bytes before it can know them to be right, but never the last of an object that is wrong.
  // Who gave no byte, and only said that there are no more, did so rightly if it is the origin; a
  // member may have cut short what another gave.
  const std::optional<Source>& culprit = giver_ ? giver_ : source_;
  const bool is_cut_short = culprit != source_ && source_ && source_->kind != Source::Kind::origin;
  if (!is_mixed_ && culprit && !is_cut_short) blame(*culprit);
  return StartAnew{};
}

}  // namespace segue::relay
