// SPDX-License-Identifier: Apache-2.0
// Every (phase, event) of the decider against a table, and long random walks against invariants.
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <sstream>

#include "keeper/component_rig.h"

namespace segue::keeper {
namespace {

// ---- The table: a row per event, a column per phase the event finds; a cell is the phase after
// it. `hb` is the way back out of a probation, before its new instance has said hello.
//
//   id idle       st starting    bo backoff    sv serving     pr preparing   at attempting
//   ab aborting   rt retrying    pb probation  cm committing  rc recovering  sp stopping   sd
//   stopped
constexpr const char* kTable = R"(
                                      id st bo sv pr at ab rt pb cm rc hb sp sd
run                                   st st bo sv pr at ab rt pb cm rc pr sp sd
upgrade                               id st bo pr pr at ab rt pb cm rc pr sp sd
upgrade, queued                       id st bo pr pr at ab rt pb cm rc pr sp sd
rehearse                              id st bo pr pr at ab rt pb cm rc pr sp sd
undo                                  id st bo sv ab ab ab sv pr cm rc pr sp sd
stop                                  sd sp sd sp sp sp sp sp sp sp sp sp sp sd
successor: cannot be started          id sd bo bo sv ab ab rt rc rc rc cm sd sd
successor: hello                      id st bo sv at at ab rt pb cm rc at sp sd
successor: hello of another service   id st bo sv ab at ab rt pb cm rc ab sp sd
successor: activated                  id st bo sv pr pb pb rt pb cm rc pr sp sd
successor: failed                     id st bo sv pr ab ab rt pb cm rc pr sp sd
successor: rehearsed                  id st bo sv pr at ab rt pb cm rc pr sp sd
successor: committed                  id st bo sv pr at ab rt sv sv rc pr sp sd
successor: votes for itself           id st bo sv pr at ab rt pb cm rc pr sp sd
successor: votes against itself       id st bo sv pr at ab rt pr cm rc pr sp sd
successor: closes its channel         id st bo sv pr at ab rt pb cm rc pr sp sd
successor: dies                       id sd bo bo sv ab ab rt rc rc rc cm sd sd
predecessor: round                    id st bo sv pr at ab rt pb cm rc pr sp sd
predecessor: frozen                   id st bo sv pr at ab rt pb cm rc pr sp sd
predecessor: resumed, late            id st bo sv pr at ab rt pb cm rc pr sp sd
predecessor: reclaimed                id st bo sv pr sv sv sv sv sv sv pr sp sd
predecessor: failed                   id st bo sv pr ab ab rt pb cm rc pr sp sd
predecessor: rehearsed                id st bo sv pr at ab rt pb cm rc pr sp sd
predecessor: committed                id st bo sv pr at ab rt sv sv rc pr sp sd
predecessor: closes its channel       id st bo sv pr at ab rt pb cm rc pr sp sd
predecessor: dies                     id st bo bo bo rc bo bo cm sv bo rc sd sd
progress                              id st bo sv pr at ab rt pb cm rc pr sp sd
pong                                  id st bo sv pr at ab rt pb cm rc pr sp sd
health good                           id st bo sv pr at ab rt pb cm rc pr sp sd
health bad, twice                     id st bo sv pr at ab rt pr cm rc pr sp sd
a stranger speaks                     id st bo sv pr at ab rt pb cm rc pr sp sd
words of another attempt              id st bo sv pr at ab rt pb cm rc pr sp sd
the next deadline passes              id st st sv pr at ab pr pb cm rc pr sp sd
an hour passes                        id sp sp sv sv sv sv sv cm cm sp cm sp sd
a fault                               id sp bo sv ab ab ab rt pr pr rc ab sp sd
)";

constexpr std::array<const char*, kPhaseCount> kCodes = {"id", "st", "bo", "sv", "pr", "at", "ab",
                                                         "rt", "pb", "cm", "rc", "sp", "sd"};

struct Column {
  const char* code;
  std::function<void(Rig&)> enter;
};
const std::array kColumns = {
    Column{"id", [](Rig&) {}},
    Column{"st", [](Rig& rig) { rig.to_starting(); }},
    Column{"bo", [](Rig& rig) { rig.to_backoff(); }},
    Column{"sv", [](Rig& rig) { rig.to_serving(); }},
    Column{"pr", [](Rig& rig) { rig.to_preparing(); }},
    Column{"at", [](Rig& rig) { rig.to_attempting(); }},
    Column{"ab", [](Rig& rig) { rig.to_aborting(); }},
    Column{"rt", [](Rig& rig) { rig.to_retrying(); }},
    Column{"pb", [](Rig& rig) { rig.to_probation(); }},
    Column{"cm", [](Rig& rig) { rig.to_committing(); }},
    Column{"rc", [](Rig& rig) { rig.to_recovering(); }},
    Column{"hb", [](Rig& rig) { rig.to_hand_back(); }},
    Column{"sp", [](Rig& rig) { rig.to_stopping(); }},
    Column{"sd", [](Rig& rig) { rig.to_stopped(); }},
};

// Where there is no attempt, the newest instance stands for the successor.
Generation successor_of(const Rig& rig) {
  if (rig.component.attempt()) return rig.attempt().successor;
  return rig.component.instances().empty() ? 0 : rig.newest();
}
Generation predecessor_of(const Rig& rig) {
  return rig.component.attempt() ? rig.attempt().predecessor : rig.owner();
}
AttemptId attempt_of(const Rig& rig) {
  return rig.component.attempt() ? rig.attempt().id : 0;
}

struct Row {
  const char* name;
  std::function<void(Rig&)> happen;
};
const std::vector<Row> kRows = {
    {"run", [](Rig& rig) { rig.send(RunRequested{Rig::kSecond, Rig::launch("/v1")}); }},
    {"upgrade", [](Rig& rig) { rig.upgrade({}, Rig::kSecond); }},
    {"upgrade, queued",
     [](Rig& rig) {
       control::AttemptOptions options;
       options.queue = true;
       rig.upgrade(options, Rig::kSecond);
     }},
    {"rehearse", [](Rig& rig) { rig.upgrade({}, Rig::kSecond, Kind::rehearse); }},
    {"undo", [](Rig& rig) { rig.send(UndoRequested{Rig::kSecond, {}}); }},
    {"stop", [](Rig& rig) { rig.send(StopRequested{Rig::kSecond}); }},
    {"successor: cannot be started",
     [](Rig& rig) { rig.send(SpawnFailed{successor_of(rig), "no such file"}); }},
    {"successor: hello", [](Rig& rig) { rig.hello(successor_of(rig), "2"); }},
    {"successor: hello of another service",
     [](Rig& rig) { rig.hello(successor_of(rig), "2", "other"); }},
    {"successor: activated", [](Rig& rig) { rig.activate(successor_of(rig)); }},
    {"successor: failed", [](Rig& rig) { rig.say(successor_of(rig), Said::failed, 0, "no"); }},
    {"successor: rehearsed", [](Rig& rig) { rig.say(successor_of(rig), Said::rehearsed); }},
    {"successor: committed", [](Rig& rig) { rig.say(successor_of(rig), Said::committed); }},
    {"successor: votes for itself", [](Rig& rig) { rig.say(successor_of(rig), Said::vote, 1); }},
    {"successor: votes against itself",
     [](Rig& rig) { rig.say(successor_of(rig), Said::vote, 0); }},
    {"successor: closes its channel",
     [](Rig& rig) { rig.send(ChannelClosed{successor_of(rig), ""}); }},
    {"successor: dies", [](Rig& rig) { rig.die(successor_of(rig)); }},
    {"predecessor: round", [](Rig& rig) { rig.say(predecessor_of(rig), Said::round_begun, 1); }},
    {"predecessor: frozen", [](Rig& rig) { rig.say(predecessor_of(rig), Said::frozen); }},
    {"predecessor: resumed, late",
     [](Rig& rig) { rig.say(predecessor_of(rig), Said::resumed, SEGUE_RESUME_LATE); }},
    {"predecessor: reclaimed", [](Rig& rig) { rig.reclaim(predecessor_of(rig)); }},
    {"predecessor: failed", [](Rig& rig) { rig.say(predecessor_of(rig), Said::failed, 0, "no"); }},
    {"predecessor: rehearsed", [](Rig& rig) { rig.say(predecessor_of(rig), Said::rehearsed); }},
    {"predecessor: committed", [](Rig& rig) { rig.say(predecessor_of(rig), Said::committed); }},
    {"predecessor: closes its channel",
     [](Rig& rig) { rig.send(ChannelClosed{predecessor_of(rig), ""}); }},
    {"predecessor: dies", [](Rig& rig) { rig.die(predecessor_of(rig)); }},
    {"progress",
     [](Rig& rig) {
       rig.send(ProgressReceived{predecessor_of(rig), attempt_of(rig), {.phase = 3, .rounds = 2}});
     }},
    {"pong", [](Rig& rig) { rig.send(PongReceived{rig.owner(), 3}); }},
    {"health good", [](Rig& rig) { rig.send(HealthChecked{attempt_of(rig), true, ""}); }},
    {"health bad, twice",
     [](Rig& rig) {
       const AttemptId attempt = attempt_of(rig);
       rig.send(HealthChecked{attempt, false, ""});
       rig.send(HealthChecked{attempt, false, ""});
     }},
    {"a stranger speaks",
     [](Rig& rig) {
       rig.hello(77, "2");
       rig.say(77, Said::activated);
       rig.send(ProgressReceived{77, attempt_of(rig), {}});
       rig.send(ChannelClosed{77, "x"});
       rig.die(77);
     }},
    {"words of another attempt",
     [](Rig& rig) {
       for (int said = 2; said <= kSaidCount; ++said) {
         rig.send(EventReceived{successor_of(rig), 99, static_cast<Said>(said), "", 4});
         rig.send(EventReceived{predecessor_of(rig), 99, static_cast<Said>(said), "", 1});
       }
     }},
    {"the next deadline passes",
     [](Rig& rig) {
       if (rig.component.next_deadline() == MonotonicTime::max()) return;
       rig.now = std::max(rig.now, rig.component.next_deadline());
       rig.send(TimePassed{});
     }},
    {"an hour passes", [](Rig& rig) { rig.advance(std::chrono::hours(1)); }},
    {"a fault", [](Rig& rig) { rig.send(FaultInjected{"x"}); }},
};

std::string actual_table() {
  std::ostringstream table;
  table << std::string(38, ' ');
  for (const auto& column : kColumns) table << column.code << ' ';
  table << '\n';
  for (const auto& row : kRows) {
    table << row.name << std::string(38 - std::string(row.name).size(), ' ');
    for (const auto& column : kColumns) {
      Rig rig;
      column.enter(rig);
      row.happen(rig);
      table << kCodes.at(static_cast<std::size_t>(rig.component.phase())) << ' ';
    }
    table << '\n';
  }
  return table.str();
}

TEST(Matrix, every_phase_takes_every_event_as_the_table_says) {
  // Line by line, so that a difference shows where it is. Ends of lines do not matter.
  std::istringstream wanted(kTable);
  std::istringstream found(actual_table());
  std::string wanted_line;
  std::string found_line;
  std::getline(wanted, wanted_line);  // the one behind the opening
  while (std::getline(found, found_line)) {
    while (found_line.ends_with(' ')) found_line.pop_back();
    ASSERT_TRUE(std::getline(wanted, wanted_line)) << "missing: " << found_line;
    EXPECT_EQ(found_line, wanted_line);
  }
  EXPECT_FALSE(std::getline(wanted, wanted_line)) << "too much: " << wanted_line;
}

TEST(Matrix, has_a_column_for_every_phase) {
  std::set<Phase> phases;
  for (const auto& column : kColumns) {
    Rig rig;
    column.enter(rig);
    phases.insert(rig.component.phase());
  }
  EXPECT_EQ(phases.size(), static_cast<std::size_t>(kPhaseCount));
}

// ---- Random walks

// Plays a component with instances that say and do anything, at any time; the ownership page and
// the deaths stay true, as they do in life.
class Walk {
 public:
  explicit Walk(std::uint32_t seed) : random_(seed), rig_({.max_restarts = 1'000'000}) {
    new_request();  // Rig::kRun
    if (seed % 8 == 0) {
      rig_.to_starting();
    } else {
      rig_.to_serving();
    }
    check();
  }

  [[nodiscard]] const std::set<Phase>& phases() const { return phases_; }

  void run(int steps) {
    for (int i = 0; i < steps && !over(); ++i) {
      one_step();
      phases_.insert(rig_.component.phase());
      check();
      if (testing::Test::HasFailure()) return;
    }
    finish();
  }

 private:
  std::uint32_t below(std::uint32_t bound) { return static_cast<std::uint32_t>(random_() % bound); }
  RequestId new_request() {
    asked_.insert(++last_request_);
    return last_request_;
  }
  bool over() const { return rig_.component.phase() == Phase::stopped; }

  Generation anybody() {
    const auto& instances = rig_.component.instances();
    if (instances.empty()) return 0;
    auto chosen = instances.begin();
    std::advance(chosen, below(static_cast<std::uint32_t>(instances.size())));
    return chosen->first;
  }

  AttemptId some_attempt() {
    if (!rig_.component.attempt() || below(10) == 0) return below(4);
    const bool of_undone = rig_.component.undone() && below(4) == 0;
    return of_undone ? rig_.component.undone()->id : rig_.attempt().id;
  }

  control::AttemptOptions some_options() {
    control::AttemptOptions options;
    options.queue = below(3) == 0;
    options.retries = below(3);
    options.vote = below(4) == 0;
    options.timeout_ms = below(3) == 0 ? 500 : 0;
    options.probation_ms = below(2) == 0 ? 0 : 1'000;
    if (below(4) == 0) options.health_cmd = "check";
    return options;
  }

  void ask() {
    switch (below(8)) {
      case 0:
      case 1:
      case 2:
        return rig_.upgrade(some_options(), new_request());
      case 3:
        return rig_.upgrade(some_options(), new_request(), Kind::rehearse);
      case 4:
      case 5:
        return rig_.send(UndoRequested{new_request(), some_options()});
      case 6:
        return rig_.send(RunRequested{new_request(), Rig::launch("/v1")});
      default:
        if (below(20) == 0) rig_.send(StopRequested{new_request()});
    }
  }

  void speak(Generation who) {
    const auto said = static_cast<Said>(1 + below(kSaidCount));
    const bool takes = said == Said::activated || (said == Said::resumed && below(2) == 0);
    if (takes) rig_.page = {rig_.page.epoch + 1, false, who};
    rig_.send(EventReceived{who, some_attempt(), said, "word", below(6)});
  }

  void one_step() {
    const Generation who = anybody();
    switch (below(12)) {
      case 0:
      case 10:
        return ask();
      case 1:
      case 11:
        if (who != 0) rig_.hello(who, "2", below(20) == 0 ? "other" : "kv");
        return;
      case 2:
      case 3:
      case 4:
        if (who != 0) speak(who);
        return;
      case 5:
        if (who != 0 && below(3) == 0) rig_.die(who, below(2) == 0 ? 9 : 0);
        return;
      case 6:
        if (who != 0) rig_.send(ProgressReceived{who, some_attempt(), {.phase = below(8)}});
        return;
      case 7:
        if (who != 0) rig_.send(PongReceived{who, 1});
        if (who != 0 && below(8) == 0) rig_.send(ChannelClosed{who, ""});
        return;
      case 8:
        return rig_.send(HealthChecked{some_attempt(), below(3) != 0, ""});
      default:
        rig_.now += std::chrono::milliseconds(below(3'000));
        return rig_.send(TimePassed{});
    }
  }

  void check() {
    for (const auto& finish : rig_.all<Finish>()) {
      ASSERT_TRUE(asked_.contains(finish.request)) << "an answer to nobody";
      ASSERT_TRUE(answered_.insert(finish.request).second) << "request answered twice";
    }
    for (const auto& spawn : rig_.all<Spawn>())
      ASSERT_NE(rig_.component.find(spawn.generation), nullptr);
    rig_.clear();
    const Phase phase = rig_.component.phase();
    const bool waits = phase != Phase::idle && phase != Phase::stopped &&
                       !(phase == Phase::serving && rig_.component.instances().empty());
    ASSERT_TRUE(!waits || rig_.component.next_deadline() != MonotonicTime::max())
        << to_string(phase);
    const bool attempting = phase == Phase::preparing || phase == Phase::attempting ||
                            phase == Phase::aborting || phase == Phase::retrying ||
                            phase == Phase::probation || phase == Phase::committing ||
                            phase == Phase::recovering;
    ASSERT_EQ(rig_.component.attempt().has_value(), attempting) << to_string(phase);
    ASSERT_LE(rig_.component.instances().size(), 12U) << "instances pile up";
  }

  // The operator stops it and every process dies: everybody has been answered, once.
  void finish() {
    rig_.send(StopRequested{new_request()});
    for (int i = 0; i < 100 && !rig_.component.instances().empty(); ++i) rig_.die(anybody(), 0);
    check();
    ASSERT_TRUE(over());
    ASSERT_EQ(answered_, asked_) << "somebody waits for ever";
  }

  std::mt19937 random_;
  Rig rig_;
  std::set<Phase> phases_;
  RequestId last_request_ = 0;
  std::set<RequestId> asked_;
  std::set<RequestId> answered_;
};

TEST(Walk, answers_everybody_once_and_always_has_a_deadline_whatever_is_said) {
  std::set<Phase> phases;
  for (std::uint32_t seed = 1; seed <= 1'000; ++seed) {
    SCOPED_TRACE(seed);
    Walk walk(seed);
    walk.run(500);
    phases.insert(walk.phases().begin(), walk.phases().end());
    if (HasFatalFailure() || HasNonfatalFailure()) return;
  }
  phases.insert(Phase::idle);
  EXPECT_EQ(phases.size(), static_cast<std::size_t>(kPhaseCount)) << "a phase was never visited";
}

}  // namespace
}  // namespace segue::keeper
