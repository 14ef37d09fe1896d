// SPDX-License-Identifier: Apache-2.0
// Decides everything about one rollout, and does nothing itself: given an event and the time it
// says what to store. The only thing it orders is the assignment of an instance. An event costs
// O(log instances), the beginning of a step O(its instances), a new engine O(all instances).
//
//   auto engine = Engine::propose(request, now);      // or Engine(stored head, stored records)
//   store(engine.begin(good, hosts, now));            // or store(engine.resume(hosts, now))
//   store(engine.handle(Observed{…}, now));  …        // by engine.next_wakeup(): TimePassed
//
// One thread at a time. After a batch that was not stored for sure: throw it away, load it anew.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "rollout/events.h"
#include "rollout/progress.h"
#include "rollout/rollout.h"

namespace segue::rollout {

class Engine {
 public:
  // While time counts, it is written down at least so often: a killed server loses no more.
  static constexpr base::Duration kElapsedKept = std::chrono::seconds(30);
  static constexpr base::Duration kMaxRetry = std::chrono::minutes(10);

  // invalid_argument: says which field. The head is not stored so far: begin() does that, or
  // announce() where it has to wait behind another.
  static base::Result<Engine> propose(const NewRollout& request, Now now);
  Engine(Rollout head, std::vector<InstanceRecord> records);

  // The head of a rollout that waits, to be stored.
  Changes announce();
  // In `preparing`, or `waiting` once the other has ended: plans the steps and begins. Again after
  // a kill, with the hosts as they are by then. invalid_argument: no host, or too many steps; a
  // rollout that waited has then failed, and that is among its changes, otherwise nothing is.
  // `good`: the component's revision that was good last, for people; undoing goes to `back` of each
  // host.
  base::Result<Changes> begin(fleet::Revision good, const std::vector<HostFacts>& hosts, Now now);
  // Of a loaded one in any other phase, before the first event: `hosts` are all of the component.
  Changes resume(const std::vector<HostFacts>& hosts, Now now);

  // Fails only for what a person asks: failed_precondition, permission_denied, and why.
  base::Result<Changes> handle(const Event& event, Now now);

  // Of one that is done or undone: a canary slot still serves connections, or its end was ordered.
  // Observed goes on to be handled then; the slot ends when the last connection has gone.
  [[nodiscard]] bool has_lingering_canaries() const;
  // It is left to a newer rollout, which is told what the hosts have from here on.
  Changes let_go(Now now);
  // Of one that is over, before it is undone: what others have brought since goes back as well.
  Changes take_along(const std::vector<HostFacts>& hosts, Now now);

  // When TimePassed is due; nothing is lost if it comes late. nullopt: never.
  [[nodiscard]] std::optional<base::MonotonicTime> next_wakeup() const;
  [[nodiscard]] std::vector<GateWanted> gates_wanted() const;

  [[nodiscard]] const Rollout& head() const { return head_; }
  [[nodiscard]] const std::vector<InstanceRecord>& records() const { return records_; }
  // For people, with so many instances at most; costs O(all instances).
  [[nodiscard]] Progress progress(Now now, std::size_t instances = 0) const;
  // `count` instances of a step from `first` on, by host.
  [[nodiscard]] std::vector<InstanceProgress> instances(std::uint32_t step, std::size_t first,
                                                        std::size_t count) const;

 private:
  using Index = std::uint32_t;

  // What an instance counts as; exactly one.
  enum class Standing {
    skipped,      // drained or left
    silent,       // nothing of this rollout is under way there
    silent_open,  // an order is
    untouched,
    untouched_bad,  // is not well on what it had before
    ordered,
    retrying,
    checking,  // moved; its health is not known so far
    good,
    bad,  // moved, and not well
    failed,
    failed_bad,  // and does not serve
    renewed,     // on what it had before, and well: it waits for its wave
  };
  static constexpr std::size_t kStandings = 13;

  struct Live {
    bool heard = false;
    bool silent = false;
    fleet::Health health = fleet::Health::unknown;
    fleet::OrderResult result = fleet::OrderResult::none;  // of the current order
    fleet::Revision revision = fleet::kNoRevision;
    fleet::Activity activity = fleet::Activity::idle;
    std::uint64_t connections = 0;
    std::optional<fleet::HandoffFigures> handoff;  // of the current order
    bool may_be_sent_to = false;
    std::string text;  // of the current order, or of its health
    Standing standing = Standing::untouched;
    std::uint64_t since_ms = 0;  // of standing; for people
    std::optional<base::MonotonicTime> ordered_at;
    bool retry_due = false;
    bool end_refused = false;
    std::optional<base::MonotonicTime> timer;
    bool queued = false;
    bool urgent = false;
    bool dirty = false;
    bool assigns = false;
  };
  struct Counts {
    std::size_t of[kStandings] = {};
    [[nodiscard]] std::size_t operator[](Standing standing) const {
      return of[static_cast<std::size_t>(standing)];
    }
  };
  explicit Engine(Rollout head) : Engine(std::move(head), {}) {}

  // ---- engine.cc: instances, counts, batches
  void add_instance(InstanceRecord record);
  void index_everything();
  [[nodiscard]] static bool is_unavailable(Standing standing);
  [[nodiscard]] std::optional<Index> find(const std::string& host, fleet::Slot slot) const;
  [[nodiscard]] Standing standing_of(Index index) const;
  void review(Index index);  // after any change of a record or of what is known live
  void count(Index index, bool in);
  void review_violations();
  void set_timer_for(Index index);
  [[nodiscard]] bool is_violated(std::uint32_t step) const;
  [[nodiscard]] std::size_t failures_in(std::uint32_t step) const;
  [[nodiscard]] std::size_t unavailable_in(std::uint32_t step) const;
  [[nodiscard]] std::size_t max_unavailable_in(std::uint32_t step) const;
  [[nodiscard]] std::size_t size_of(std::uint32_t step) const { return by_step_[step].size(); }
  void set_timer(Index index, std::optional<base::MonotonicTime> at);
  void touch(Index index, bool assigns);
  void touch_head() { head_dirty_ = true; }
  void flush();  // what changed so far comes before what changes from now on
  Changes take_changes();
  void notice(Severity severity, const std::string& by, const std::string& host, std::string text);
  void begin_event(Now now);
  void pass_time();

  // ---- engine_events.cc
  base::Result<void> on(const Observed& event);
  base::Result<void> on(const HostSilent& event);
  base::Result<void> on(const HostDrained& event);
  base::Result<void> on(const HostJoined& event);
  base::Result<void> on(const HostLeft& event);
  base::Result<void> on(const Judged& event);
  base::Result<void> on(const PredecessorEnded& event);
  base::Result<void> on(const TimePassed& event);
  void outcome(Index index, fleet::OrderResult result, const std::string& text);
  void refused(Index index, const std::string& text);
  void fail_instance(Index index, const std::string& text);
  void expire(Index index);
  void end_if_idle(Index index);
  void mark_facts(const std::vector<HostFacts>& hosts);
  void set_host_flag(const std::string& host, bool InstanceRecord::* flag, bool value);
  void take_along(const HostFacts& facts, fleet::Slot slot, const fleet::Assignment& assignment);
  [[nodiscard]] std::uint32_t last_wave() const;

  // ---- engine_operator.cc
  base::Result<void> on(const Pause& event);
  base::Result<void> on(const Resume& event);
  base::Result<void> on(const Promote& event);
  base::Result<void> on(const Undo& event);
  base::Result<void> on(const Approve& event);
  base::Result<void> on(const EmergencyStop& event);
  base::Result<void> on(const Supersede& event);
  [[nodiscard]] base::Result<void> check_by(const std::string& by) const;
  [[nodiscard]] std::uint32_t approvals_needed() const;

  // ---- engine_steps.cc: the way forward and back
  void advance();
  bool advance_once();  // false: it waits for something
  bool advance_step();
  bool finish_step();
  bool advance_undo();
  void end_idle_canaries();
  [[nodiscard]] bool lingers(Index index) const;
  [[nodiscard]] bool is_as_assigned(Index index) const;
  void react();  // to what has gone wrong
  void react_to_block(Index index);
  void begin_undo(const std::string& by, const std::string& why);
  void pause_for(const std::string& why);
  void enter(Phase phase, std::uint32_t step, StepPhase step_phase);
  void enter_step_phase(StepPhase step_phase);
  void finish(Phase phase, std::string text);
  void order_leftovers();
  [[nodiscard]] bool is_back() const { return head_.phase == Phase::undoing; }
  [[nodiscard]] bool in_reach(const InstanceRecord& record) const;
  [[nodiscard]] fleet::Revision goal_revision(const InstanceRecord& record) const;
  [[nodiscard]] std::uint32_t goal_share(const InstanceRecord& record) const;
  [[nodiscard]] bool needs_order(Index index) const;
  [[nodiscard]] static bool awaits_wave(const InstanceRecord& record);
  [[nodiscard]] bool wants_renewal(Index index) const;
  [[nodiscard]] bool begins_renewals() const;
  [[nodiscard]] bool renewals_are_done() const;
  void begin_renewals();
  void begin_sharing();
  void queue_step(std::uint32_t step);
  void queue(Index index);
  void clear_queue();
  void work_queue();
  [[nodiscard]] bool may_move(Index index) const;
  void order(Index index, fleet::Revision revision, std::uint32_t share_ppm, bool renew = false);
  void stage_step(std::uint32_t step);
  void order_shares();
  [[nodiscard]] bool shares_are_set() const;
  [[nodiscard]] bool splits_connections() const;
  [[nodiscard]] bool counts_time() const;
  [[nodiscard]] base::Duration time_to_pass() const;  // in the present step phase
  [[nodiscard]] bool step_has_moved() const;
  [[nodiscard]] bool gates_are_good() const;
  [[nodiscard]] const std::vector<std::string>& wanted_gates() const;

  // ---- explanation.cc
  [[nodiscard]] std::string waits_for(Now now) const;
  [[nodiscard]] std::string moving_text(Now now) const;
  [[nodiscard]] std::string left_behind_text(std::size_t count) const;
  [[nodiscard]] std::string what_comes_next() const;
  [[nodiscard]] std::optional<std::uint64_t> remaining_ms() const;
  [[nodiscard]] InstanceProgress instance_progress(Index index) const;
  [[nodiscard]] std::string standing_text(Index index) const;
  [[nodiscard]] bool is_noteworthy(Index index) const;
  [[nodiscard]] TrafficProgress traffic() const;
  [[nodiscard]] std::vector<Index> nearest_instances(std::size_t count) const;
  [[nodiscard]] StepProgress step_progress(std::uint32_t step) const;
  [[nodiscard]] StepProgress what_became_of(std::uint32_t step, StepProgress progress) const;

  Rollout head_;
  std::vector<InstanceRecord> records_;
  std::vector<Live> live_;
  std::vector<Counts> counts_;  // by step
  std::vector<std::vector<Index>> by_step_;
  std::vector<Index> canaries_;
  std::vector<Index> renewals_;
  Counts renewing_;  // of them
  std::unordered_map<std::string, std::vector<Index>> hosts_;
  std::set<std::uint32_t> violated_;                 // steps with more failures than they may have
  std::map<std::uint32_t, std::deque<Index>> todo_;  // by step: as soon as the limits allow
  std::set<std::pair<base::MonotonicTime, Index>> timers_;
  Counts all_;
  std::optional<base::MonotonicTime> counted_until_;
  std::uint64_t kept_elapsed_ms_ = 0;
  base::Duration move_time_{};  // of those that moved, for the estimate
  std::size_t moves_timed_ = 0;

  // While an event is handled.
  Now now_;
  bool head_dirty_ = false;
  std::vector<Index> dirty_;
  Changes changes_;
};

}  // namespace segue::rollout
