// SPDX-License-Identifier: Apache-2.0
// Decides everything that a host's agent does about what its server wants, and does nothing itself.
// Each order is carried out at most once, also when the agent is killed at any instruction: the
// intent is in `memory` before the command is given, and an intent that is found after a kill is
// looked at, never repeated. The agent needs no server: it acts from what it keeps.
//
// After every call: if `Decision::keep` says so, memory() is made durable first; then the commands
// are carried out, in any order. A driver that was told to do something answers with one event, or
// the process ends before; a decider made from the kept memory then goes on with resume().
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/time.h"
#include "reconcile/desired.h"

namespace segue::reconcile {

// ---- Events
struct DesiredArrived {
  Desired desired;
};
// What a driver sees of an instance now; again whenever it has changed, and at the beginning.
struct Seen {
  InstanceKey key;
  fleet::Revision revision = fleet::kNoRevision;  // that serves; of what the drivers started
  std::set<fleet::Revision> staged;
  fleet::Activity activity = fleet::Activity::idle;  // of the driver, whoever asked for it
  fleet::Health health = fleet::Health::unknown;
  std::string health_text;
  std::uint64_t health_since_ms = 0;
  std::optional<std::uint64_t> connections;  // open now; nullopt: nobody counts them
  std::uint64_t accepted = 0;
  std::uint64_t crashes = 0;
  std::uint64_t generation = 0;  // of the instance that serves: a successor has another one
};
struct StageEnded {
  InstanceKey key;
  fleet::Revision revision = fleet::kNoRevision;
  bool good = true;
  std::string text;
};
// The answer to Start, HandOff, HandBack, Stop. `unknown`: it could not be seen; it is looked at.
struct ActionEnded {
  InstanceKey key;
  std::string order;
  fleet::OrderResult result = fleet::OrderResult::done;
  std::string text;
  std::optional<fleet::HandoffFigures> handoff;
};
// The answer to LookUp: what the keeper's, or the engine's, history knows of the order.
struct LookedUp {
  InstanceKey key;
  std::string order;
  // none: it is certain that it was not begun. unknown: history could not be read; later again.
  fleet::OrderResult result = fleet::OrderResult::unknown;
  std::string text;
  std::optional<fleet::HandoffFigures> handoff;
  fleet::Revision revision = fleet::kNoRevision;  // that serves now
};
struct ShareEnded {
  InstanceKey key;
  std::uint32_t share_ppm = 0;
  bool good = true;
  std::string text;
};
// What a proxy does; again whenever it has changed.
struct ShareKept {
  std::string component;
  fleet::SeenShare seen;
};
struct TimePassed {};
using Event = std::variant<DesiredArrived, Seen, StageEnded, ActionEnded, LookedUp, ShareEnded,
                           ShareKept, TimePassed>;

// ---- Commands
struct Stage {  // beside what runs; staging what is staged comes to the same
  InstanceKey key;
  fleet::Revision revision = fleet::kNoRevision;
};
struct Act {
  InstanceKey key;
  Intent intent;  // start, hand_off, hand_back (to what ran before), stop
};
// What should run and does not, as after the host was started: no order, and harmless if it runs.
// Answered by Seen, whether it succeeded or not.
struct Restore {
  InstanceKey key;
  fleet::Revision revision = fleet::kNoRevision;
};
struct LookUp {
  InstanceKey key;
  Intent intent;
};
struct SetShare {  // any number of times
  InstanceKey key;
  std::uint32_t share_ppm = 0;
  std::uint64_t share_salt = 0;
  fleet::Revision revision = fleet::kNoRevision;  // that serves in the slot
};
// From now on, and again whenever the proxy has lost it; without canaries no more. Answered by
// ShareKept, again and again.
struct KeepShare {
  std::string component;
  fleet::ProxyShare share;
};
// Of this revision from now on: what was seen of another says nothing. Once for each that serves.
struct CheckHealth {
  InstanceKey key;
  fleet::Revision revision = fleet::kNoRevision;
};
struct Report {  // observation(key) has changed: send it as soon as there is a line
  InstanceKey key;
};
struct RefuseDesired {  // it is older than what is known: tell the server, keep the present one
  std::uint64_t epoch = 0;
  std::uint64_t generation = 0;
  std::string text;
};
using Command = std::variant<Stage, Act, Restore, LookUp, SetShare, KeepShare, CheckHealth, Report,
                             RefuseDesired>;

struct Decision {
  bool keep = false;  // memory() has changed
  std::vector<Command> commands;
};

class Decider {
 public:
  static constexpr base::Duration kFirstRetry = std::chrono::seconds(1);
  static constexpr base::Duration kMaxRetry = std::chrono::minutes(1);

  explicit Decider(Memory memory = {}) : memory_(std::move(memory)) {}

  // Instead of a first event. Nothing is done to an instance before it was Seen.
  Decision resume(base::MonotonicTime now);
  Decision handle(const Event& event, base::MonotonicTime now);
  // When TimePassed is due; nothing is lost if it comes late.
  [[nodiscard]] std::optional<base::MonotonicTime> next_deadline() const;

  [[nodiscard]] const Memory& memory() const { return memory_; }
  // What the server is told of an instance; complete, so that only the newest one matters.
  [[nodiscard]] fleet::Observation observation(const InstanceKey& key) const;
  // … and of the proxies that it speaks with.
  [[nodiscard]] const fleet::SeenShares& shares() const { return shares_; }
  // All that are wanted or known.
  [[nodiscard]] std::set<InstanceKey> instances() const;

 private:
  struct Retry {
    std::uint32_t failures = 0;
    std::optional<base::MonotonicTime> at;
  };
  struct Live {
    std::optional<Seen> seen;
    bool acting = false;     // an Act or a LookUp is not answered yet
    bool from_disk = false;  // the intent was found, so it is looked at
    fleet::Revision staging = fleet::kNoRevision;
    bool setting_share = false;
    bool restoring = false;
    fleet::Revision checked = fleet::kNoRevision;  // CheckHealth was given for it
    std::string trouble;                           // why staging, a share or a look failed last
    Retry stage_retry;
    Retry look_retry;
    Retry share_retry;
    std::string share_order;  // that the tries are counted for
    Retry restore_retry;
    std::optional<fleet::Observation> reported;
  };

  void on(const DesiredArrived& event);
  void on(const Seen& event);
  void on(const StageEnded& event);
  void on(const ActionEnded& event);
  void on(const LookedUp& event);
  void on(const ShareEnded& event);
  void on(const ShareKept& event);
  void on(const TimePassed& event);

  void review_all();
  void review_shares();
  void review(const InstanceKey& key);
  [[nodiscard]] bool may_act() const;
  [[nodiscard]] const InstanceMemory& remembered(const InstanceKey& key) const;
  void look_at_intent(const InstanceKey& key);
  bool stage(const InstanceKey& key, fleet::Revision revision);  // true: it lies there
  void carry_out(const InstanceKey& key, const fleet::Assignment& wanted);
  void begin(const InstanceKey& key, Intent intent);
  void settle_without_action(const InstanceKey& key, const std::string& order,
                             fleet::OrderResult result, std::string text);
  void settle(const InstanceKey& key, OrderOutcome outcome, fleet::Revision serves);
  void check_anew(const InstanceKey& key, fleet::Revision serves);
  void set_share(const InstanceKey& key, const fleet::Assignment& wanted);
  void restore(const InstanceKey& key);
  [[nodiscard]] bool is_due(const Retry& retry) const;
  void later(Retry& retry) const;
  template <class T>
  void command(T one) {
    decision_.commands.emplace_back(std::move(one));
  }
  void keep() { decision_.keep = true; }

  Memory memory_;
  std::map<InstanceKey, Live> live_;
  fleet::ProxyShares keeps_;  // that KeepShare was given for
  fleet::SeenShares shares_;

  // While an event is handled.
  base::MonotonicTime now_{};
  Decision decision_;
};

}  // namespace segue::reconcile
