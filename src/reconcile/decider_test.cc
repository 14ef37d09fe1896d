// SPDX-License-Identifier: Apache-2.0
#include "reconcile/decider.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

namespace segue::reconcile {
namespace {

using fleet::kNoRevision;
using fleet::OrderResult;
using fleet::Slot;
using std::chrono::seconds;
using testing::HasSubstr;

const InstanceKey kStable{"chat", Slot::stable};
const InstanceKey kCanary{"chat", Slot::canary};

Memory kept(const Memory& memory) {
  const auto read = read_memory(write_memory(memory));
  EXPECT_TRUE(read) << read.error().to_string();
  EXPECT_EQ(read.value_or(Memory{}), memory);
  return read.value_or(Memory{});
}

// An agent's shell: keeps what it is told to keep, and holds what is to be carried out.
class Agent {
 public:
  Agent() { resume(); }

  void kill_and_resume() {
    decider_ = Decider(disk_);
    resume();
  }
  void give(const Event& event) { take(decider_.handle(event, now_)); }
  void pass(base::Duration time) {
    now_ += time;
    give(TimePassed{});
  }

  void want(const InstanceKey& key, fleet::Assignment assignment) {
    desired_.instances[key] = std::move(assignment);
    send();
  }
  void send() {
    ++desired_.generation;
    give(DesiredArrived{desired_});
  }
  void see(const InstanceKey& key, fleet::Revision revision,
           std::optional<std::uint64_t> connections = 0) {
    Seen seen{.key = key, .revision = revision, .connections = connections};
    seen.staged = staged_;
    give(seen);
  }
  void end(OrderResult result, const std::string& text = "") {
    const auto act = only<Act>();
    ASSERT_TRUE(act);
    commands_.clear();
    give(ActionEnded{act->key, act->intent.order, result, text, std::nullopt});
  }

  template <class T>
  std::optional<T> only() const {
    std::optional<T> found;
    for (const auto& command : commands_) {
      const auto* one = std::get_if<T>(&command);
      if (one == nullptr) continue;
      EXPECT_FALSE(found) << "twice";
      found = *one;
    }
    return found;
  }
  fleet::Observation reports(const InstanceKey& key) const { return decider_.observation(key); }

  Decider decider_;
  Desired desired_;
  Memory disk_;
  std::vector<Command> commands_;  // not carried out so far
  std::set<fleet::Revision> staged_;
  base::MonotonicTime now_{std::chrono::hours(1)};

 private:
  void resume() {
    commands_.clear();
    take(decider_.resume(now_));
  }
  void take(Decision decision) {
    if (decision.keep) disk_ = kept(decider_.memory());
    EXPECT_EQ(disk_, decider_.memory()) << "it changed, and did not say so";
    std::move(decision.commands.begin(), decision.commands.end(), std::back_inserter(commands_));
  }
};

TEST(Decider, stages_then_starts_then_hands_off_then_back) {
  Agent agent;
  agent.want(kStable, {.revision = 1, .order = "a"});
  EXPECT_FALSE(agent.only<Act>());
  agent.see(kStable, kNoRevision);
  ASSERT_TRUE(agent.only<Stage>());
  agent.give(StageEnded{kStable, 1});
  EXPECT_EQ(agent.only<Act>()->intent.kind, ActionKind::start);
  EXPECT_EQ(agent.disk_.instances[kStable].intent->order, "a");
  agent.end(OrderResult::done);
  EXPECT_EQ(agent.only<CheckHealth>()->revision, 1U);
  agent.commands_.clear();
  agent.see(kStable, 1);
  EXPECT_FALSE(agent.only<CheckHealth>());
  EXPECT_EQ(agent.reports(kStable).revision, 1U);
  EXPECT_EQ(agent.reports(kStable).result, OrderResult::done);

  agent.staged_ = {1, 2};
  agent.see(kStable, 1);
  agent.want(kStable, {.revision = 2, .order = "b"});
  EXPECT_EQ(agent.only<Act>()->intent.kind, ActionKind::hand_off);
  agent.end(OrderResult::done);
  agent.want(kStable, {.revision = 1, .order = "c"});
  EXPECT_EQ(agent.only<Act>()->intent.kind, ActionKind::hand_back);
}

TEST(Decider, an_order_is_carried_out_once_whatever_comes_again) {
  Agent agent;
  agent.staged_ = {1, 2};
  agent.see(kStable, 1);
  agent.want(kStable, {.revision = 2, .order = "a"});
  agent.end(OrderResult::undone, "the new one died");
  agent.commands_.clear();
  agent.send();
  agent.see(kStable, 1);
  agent.pass(std::chrono::hours(1));
  agent.kill_and_resume();
  agent.see(kStable, 1);
  EXPECT_FALSE(agent.only<Act>());
  EXPECT_EQ(agent.reports(kStable).result, OrderResult::undone);
  EXPECT_EQ(agent.reports(kStable).text, "the new one died");
  agent.want(kStable, {.revision = 2, .order = "b"});
  EXPECT_TRUE(agent.only<Act>());
  agent.end(OrderResult::done);
  // Not even when a restored server says it again under a new epoch.
  agent.desired_.epoch = 2;
  agent.want(kStable, {.revision = 2, .order = "a"});
  EXPECT_FALSE(agent.only<Act>());
  EXPECT_EQ(agent.reports(kStable).order, "a");
  EXPECT_EQ(agent.reports(kStable).result, OrderResult::undone);
}

TEST(Decider, what_was_under_way_at_a_kill_is_looked_at_and_never_repeated) {
  const struct {
    OrderResult history;
    fleet::Revision serves;
    OrderResult result;
  } kCases[] = {{OrderResult::done, 2, OrderResult::done},
                {OrderResult::undone, 1, OrderResult::undone},
                {OrderResult::refused, 1, OrderResult::refused},
                {OrderResult::failed, 0, OrderResult::failed},
                {OrderResult::none, 1, OrderResult::refused},
                {OrderResult::none, 2, OrderResult::done},
                {OrderResult::none, 0, OrderResult::failed}};
  for (const auto& one : kCases) {
    Agent agent;
    agent.staged_ = {1, 2};
    agent.see(kStable, 1);
    agent.want(kStable, {.revision = 2, .order = "a"});
    ASSERT_TRUE(agent.only<Act>());
    agent.kill_and_resume();
    ASSERT_TRUE(agent.only<LookUp>());
    EXPECT_EQ(agent.reports(kStable).result, OrderResult::under_way);
    agent.give(LookedUp{kStable, "a", OrderResult::under_way, "", std::nullopt, 1});
    agent.commands_.clear();
    agent.pass(seconds(5));
    ASSERT_TRUE(agent.only<LookUp>());
    agent.give(LookedUp{kStable, "a", one.history, "?", std::nullopt, one.serves});
    agent.see(kStable, one.serves);
    EXPECT_EQ(agent.reports(kStable).result, one.result);
    EXPECT_FALSE(agent.only<Act>());
    // What served before serves again if nothing does.
    EXPECT_EQ(agent.only<Restore>().has_value(), one.serves == kNoRevision);
  }
}

TEST(Decider, an_outcome_that_could_not_be_seen_is_looked_up) {
  Agent agent;
  agent.staged_ = {1, 2};
  agent.see(kStable, 1);
  agent.want(kStable, {.revision = 2, .order = "a"});
  agent.end(OrderResult::unknown);
  ASSERT_TRUE(agent.only<LookUp>());
  EXPECT_EQ(agent.reports(kStable).result, OrderResult::under_way);
  agent.give(LookedUp{kStable, "a", OrderResult::unknown, "its keeper says nothing", {}, 1});
  EXPECT_EQ(agent.reports(kStable).text, "how it went is not known: its keeper says nothing");
  agent.commands_.clear();
  agent.pass(seconds(5));
  ASSERT_TRUE(agent.only<LookUp>());
  agent.give(LookedUp{kStable, "a", OrderResult::done, "", std::nullopt, 2});
  EXPECT_EQ(agent.reports(kStable).revision, 2U);
  EXPECT_EQ(agent.reports(kStable).text, "");
}

// Serves revision 1 by order "a", as the second instance of its keeper.
void serve_second(Agent& agent) {
  agent.want(kStable, {.revision = 1, .order = "a"});
  agent.see(kStable, 1);
  agent.give(Seen{.key = kStable,
                  .revision = 1,
                  .health = fleet::Health::good,
                  .connections = 3,
                  .generation = 2});
  agent.commands_.clear();
}

TEST(Decider, renews_what_serves_by_a_handoff_to_itself_and_once) {
  Agent agent;
  serve_second(agent);
  agent.want(kStable, {.revision = 1, .order = "b", .renew = true});
  const auto act = agent.only<Act>();
  ASSERT_TRUE(act);
  EXPECT_EQ(act->intent, (Intent{"b", ActionKind::hand_off, 1, 1, false, 2}));
  EXPECT_FALSE(agent.only<Stage>());
  agent.end(OrderResult::done);
  EXPECT_EQ(agent.reports(kStable).result, OrderResult::done);
  EXPECT_EQ(agent.reports(kStable).health, fleet::Health::unknown) << "of another instance";
  EXPECT_EQ(agent.only<CheckHealth>()->revision, 1U);
  agent.commands_.clear();
  agent.send();
  agent.see(kStable, 1);
  EXPECT_FALSE(agent.only<Act>());
  agent.want(kStable, {.revision = 1, .order = "c"});
  EXPECT_FALSE(agent.only<Act>()) << "it serves";
  EXPECT_EQ(agent.reports(kStable).order, "c");
}

TEST(Decider, a_renewal_that_was_not_begun_at_a_kill_is_refused_although_its_revision_serves) {
  Agent agent;
  serve_second(agent);
  agent.want(kStable, {.revision = 1, .order = "b", .renew = true});
  agent.kill_and_resume();
  ASSERT_TRUE(agent.only<LookUp>());
  EXPECT_EQ(agent.only<LookUp>()->intent.generation, 2U);
  agent.give(LookedUp{.key = kStable, .order = "b", .result = OrderResult::none, .revision = 1});
  EXPECT_EQ(agent.reports(kStable).result, OrderResult::refused);
}

TEST(Decider, what_is_to_be_renewed_and_does_not_run_is_started) {
  Agent agent;
  agent.staged_ = {1};
  agent.want(kStable, {.revision = 1, .order = "a", .renew = true});
  agent.see(kStable, kNoRevision);
  EXPECT_EQ(agent.only<Act>()->intent.kind, ActionKind::start);
}

TEST(Decider, what_is_old_or_contradicts_is_refused_and_said) {
  Agent agent;
  agent.staged_ = {1, 2};
  agent.see(kStable, 1);
  Desired old = agent.desired_;
  old.generation = 1;
  old.instances[kStable] = {.revision = 2, .order = "old"};
  agent.want(kStable, {.revision = 1, .order = "a"});
  agent.want(kStable, {.revision = 1, .order = "b"});
  agent.commands_.clear();
  agent.give(DesiredArrived{old});
  EXPECT_THAT(agent.only<RefuseDesired>()->text, HasSubstr("older"));
  agent.commands_.clear();
  old.generation = agent.desired_.generation;
  agent.give(DesiredArrived{old});
  EXPECT_THAT(agent.only<RefuseDesired>()->text, HasSubstr("another one before"));
  EXPECT_FALSE(agent.only<Act>());
  agent.commands_.clear();
  agent.give(DesiredArrived{agent.desired_});
  EXPECT_FALSE(agent.only<RefuseDesired>());
  agent.desired_.fleet = "mine";
  agent.send();
  Desired foreign = agent.desired_;
  foreign.fleet = "another";
  foreign.epoch = 9;
  agent.give(DesiredArrived{foreign});
  EXPECT_THAT(agent.only<RefuseDesired>()->text, HasSubstr("of fleet another"));
}

TEST(Decider, observes_only_when_told_so_and_stops_in_an_emergency) {
  Agent agent;
  agent.see(kStable, 1);
  agent.desired_.observe_only = true;
  agent.want(kStable, {.revision = 2, .stage = 3, .order = "a"});
  agent.see(kStable, kNoRevision);
  EXPECT_FALSE(agent.only<Act>());
  EXPECT_FALSE(agent.only<Stage>());
  EXPECT_FALSE(agent.only<Restore>());
  agent.desired_.observe_only = false;
  agent.desired_.emergency_stop = true;
  agent.send();
  EXPECT_FALSE(agent.only<Stage>());
  EXPECT_TRUE(agent.only<Restore>());  // what runs goes on
  agent.see(kStable, 1);
  agent.desired_.emergency_stop = false;
  agent.send();
  EXPECT_TRUE(agent.only<Stage>());
}

TEST(Decider, a_share_is_set_with_its_order_and_again_after_a_restart_of_the_slot) {
  Agent agent;
  agent.staged_ = {1};
  agent.see(kCanary, kNoRevision);
  agent.want(kCanary, {.revision = 1, .order = "a"});
  agent.end(OrderResult::done);
  agent.commands_.clear();
  agent.want(kCanary, {.revision = 1, .order = "b", .share_ppm = 10'000});
  ASSERT_EQ(agent.only<SetShare>()->share_ppm, 10'000U);
  EXPECT_NE(agent.reports(kCanary).order, "b");
  agent.give(ShareEnded{kCanary, 10'000, false, "no keeper"});
  agent.commands_.clear();
  agent.pass(seconds(2));
  ASSERT_TRUE(agent.only<SetShare>());
  agent.give(ShareEnded{kCanary, 10'000, true, ""});
  EXPECT_EQ(agent.reports(kCanary).order, "b");
  EXPECT_EQ(agent.reports(kCanary).result, OrderResult::done);
  EXPECT_FALSE(agent.only<Act>());

  agent.commands_.clear();
  agent.see(kCanary, kNoRevision);
  ASSERT_TRUE(agent.only<Restore>());
  agent.see(kCanary, 1);
  EXPECT_EQ(agent.only<SetShare>()->share_ppm, 10'000U);
}

TEST(Decider, a_share_that_cannot_be_set_is_refused_and_tried_on) {
  Agent agent;
  agent.staged_ = {1};
  agent.see(kCanary, 1);
  agent.want(kCanary, {.revision = 1, .order = "a", .share_ppm = 10'000});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(agent.reports(kCanary).result, OrderResult::none);
    ASSERT_TRUE(agent.only<SetShare>()) << i;
    agent.commands_.clear();
    agent.give(ShareEnded{kCanary, 10'000, false, "no keeper"});
    agent.pass(seconds(60));
  }
  EXPECT_EQ(agent.reports(kCanary).result, OrderResult::refused);
  EXPECT_THAT(agent.reports(kCanary).text, HasSubstr("no keeper"));
  ASSERT_TRUE(agent.only<SetShare>());
  agent.give(ShareEnded{kCanary, 10'000, false, "no keeper"});

  // Whoever takes it back does not wait for what failed before.
  agent.commands_.clear();
  agent.want(kCanary, {.revision = 1, .order = "b", .share_ppm = 0});
  EXPECT_EQ(agent.only<SetShare>()->share_ppm, 0U);
  EXPECT_NE(agent.reports(kCanary).result, OrderResult::done);
  agent.give(ShareEnded{kCanary, 0, true, ""});
  EXPECT_EQ(agent.reports(kCanary).result, OrderResult::done);
}

TEST(Decider, a_share_is_set_again_when_the_stable_slot_comes_back) {
  Agent agent;
  agent.staged_ = {1};
  agent.see(kStable, 1);
  agent.see(kCanary, 1);
  agent.want(kCanary, {.revision = 1, .order = "a", .share_ppm = 10'000});
  agent.give(ShareEnded{kCanary, 10'000, true, ""});
  agent.commands_.clear();
  agent.see(kCanary, 1);
  EXPECT_FALSE(agent.only<SetShare>());
  agent.see(kStable, kNoRevision);
  ASSERT_TRUE(agent.only<Restore>());
  agent.see(kStable, 1);
  agent.see(kCanary, 1);
  EXPECT_EQ(agent.only<SetShare>()->share_ppm, 10'000U);
}

TEST(Decider, a_canary_slot_with_connections_is_not_ended_while_stable_serves) {
  for (const auto& connections :
       {std::optional<std::uint64_t>(3), std::optional<std::uint64_t>()}) {
    Agent agent;
    agent.see(kStable, 1);
    agent.see(kCanary, 2, connections);
    agent.want(kCanary, {.revision = kNoRevision, .order = "end"});
    EXPECT_FALSE(agent.only<Act>());
    EXPECT_EQ(agent.reports(kCanary).result, OrderResult::refused);
    agent.see(kCanary, 2, 0);
    agent.want(kCanary, {.revision = kNoRevision, .order = "end again"});
    EXPECT_EQ(agent.only<Act>()->intent.kind, ActionKind::stop);
    EXPECT_TRUE(agent.only<Act>()->intent.only_idle);  // somebody may connect in between
  }
}

TEST(Decider, staging_that_fails_is_tried_again_then_the_order_is_refused) {
  Agent agent;
  agent.see(kStable, 1);
  agent.want(kStable, {.revision = 2, .order = "a"});
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(agent.only<Stage>());
    agent.commands_.clear();
    agent.give(StageEnded{kStable, 2, false, "no line"});
    agent.pass(seconds(30));
  }
  EXPECT_EQ(agent.reports(kStable).result, OrderResult::refused);
  EXPECT_THAT(agent.reports(kStable).text, HasSubstr("no line"));
}

TEST(Decider, acts_from_its_own_disk_and_waits_for_who_is_busy) {
  Agent agent;
  agent.staged_ = {1, 2};
  agent.want(kStable, {.revision = 2, .order = "a"});
  agent.kill_and_resume();
  Seen busy{.key = kStable, .revision = 1, .staged = {2}};
  busy.activity = fleet::Activity::probation;  // somebody at the host has upgraded it by hand
  agent.give(busy);
  EXPECT_FALSE(agent.only<Act>());
  agent.see(kStable, 1);
  EXPECT_TRUE(agent.only<Act>());
}

TEST(Decider, an_order_waits_for_what_is_being_restored) {
  Agent agent;
  agent.see(kCanary, 1);
  agent.see(kCanary, kNoRevision);
  ASSERT_TRUE(agent.only<Restore>());
  agent.want(kCanary, {.revision = kNoRevision, .order = "end"});
  EXPECT_NE(agent.reports(kCanary).order, "end");
  agent.see(kCanary, 1);
  EXPECT_EQ(agent.only<Act>()->intent.kind, ActionKind::stop);
}

TEST(Decider, reports_what_says_something_new) {
  Agent agent;
  agent.see(kStable, 1, 10);
  EXPECT_TRUE(agent.only<Report>());
  agent.commands_.clear();
  agent.see(kStable, 1, 11);
  EXPECT_FALSE(agent.only<Report>());
  agent.see(kStable, 1, 0);
  EXPECT_TRUE(agent.only<Report>());
}

// ---- Proxies

fleet::ProxyShare proxy_share(std::uint32_t share_ppm) {
  return {.socket = "/run/haproxy/admin.sock",
          .backend = "chat",
          .canaries = {{"h1", "h1.canary", "h1", "a", share_ppm}}};
}

TEST(Decider, a_proxys_share_is_kept_up_and_what_it_does_is_reported) {
  Agent agent;
  agent.desired_.shares["chat"] = proxy_share(100'000);
  agent.send();
  EXPECT_EQ(agent.only<KeepShare>()->share, proxy_share(100'000));
  agent.commands_.clear();
  agent.send();
  EXPECT_FALSE(agent.only<KeepShare>()) << "once";
  agent.give(ShareKept{"chat", {.result = OrderResult::done, .canary = 1}});
  EXPECT_TRUE(agent.only<Report>());
  EXPECT_EQ(agent.decider_.shares().at("chat").canary, 1U);
  // After a kill it goes on from its disk.
  agent.kill_and_resume();
  EXPECT_EQ(agent.only<KeepShare>()->share, proxy_share(100'000));
  EXPECT_TRUE(agent.decider_.shares().empty());
  agent.commands_.clear();
  agent.desired_.shares.clear();
  agent.send();
  EXPECT_TRUE(agent.only<KeepShare>()->share.canaries.empty()) << "no more";
  agent.commands_.clear();
  agent.give(ShareKept{"chat", {.result = OrderResult::done}});
  EXPECT_TRUE(agent.commands_.empty()) << "it was under way";
}

TEST(Decider, an_emergency_stop_leaves_a_proxy_at_what_it_does) {
  Agent agent;
  agent.desired_.shares["chat"] = proxy_share(100'000);
  agent.send();
  agent.commands_.clear();
  agent.desired_.emergency_stop = true;
  agent.desired_.shares["chat"] = proxy_share(500'000);
  agent.send();
  EXPECT_FALSE(agent.only<KeepShare>());
  agent.desired_.emergency_stop = false;
  agent.send();
  EXPECT_EQ(agent.only<KeepShare>()->share, proxy_share(500'000));
}

TEST(Decider, who_only_observes_says_nothing_to_a_proxy) {
  Agent agent;
  agent.desired_.observe_only = true;
  agent.desired_.shares["chat"] = proxy_share(100'000);
  agent.send();
  EXPECT_FALSE(agent.only<KeepShare>());
}

Memory golden_memory() {
  Memory memory;
  memory.desired = {.fleet = "f1", .epoch = 2, .generation = 7, .emergency_stop = true};
  memory.desired.instances[kStable] = {.revision = 4, .stage = 5, .order = "r16.2.1"};
  memory.desired.instances[kCanary] = {
      .revision = 5, .order = "r17.0.2", .share_ppm = 10'000, .share_salt = 77};
  InstanceMemory& instance = memory.instances[kStable];
  instance.intent = {"r16.2.1", ActionKind::hand_off, 3, 4, false};
  instance.outcomes = {{"r15.0.1", OrderResult::undone, "it died", std::nullopt},
                       {"r15.0.2", OrderResult::done, "", fleet::HandoffFigures{100, 1, 900}}};
  instance.serves = 3;
  instance.previous = 2;
  return memory;
}

TEST(Documents, are_written_and_read_as_recorded) {
  std::ifstream file(SEGUE_ROLLOUT_GOLDEN_FILE);
  std::map<std::string, std::string> golden;
  for (std::string line; std::getline(file, line);) {
    const std::size_t space = line.find(' ');
    golden[line.substr(0, space)] = line.substr(space + 1) + "\n";
  }
  ASSERT_EQ(write_memory(golden_memory()), golden["memory"]);
  EXPECT_EQ(read_memory(golden["memory"]).value(), golden_memory());
}

TEST(Documents, damage_is_data_loss) {
  Memory memory;
  memory.desired.instances[kStable] = {.revision = 2, .order = "a"};
  memory.instances[kStable].intent = {"a", ActionKind::hand_off, 1, 2, false};
  const std::string whole = write_memory(memory);
  for (std::size_t i = 0; i < whole.size(); i += 3) {
    const auto cut = read_memory(std::string_view(whole).substr(0, i));
    ASSERT_FALSE(cut);
    EXPECT_EQ(cut.error().code(), base::ErrorCode::data_loss) << i;
  }
  std::string newer = whole;
  newer.replace(newer.find("memory\":1"), 9, "memory\":2");
  EXPECT_EQ(read_memory(newer).error().code(), base::ErrorCode::failed_precondition);
  std::string longer = whole;
  longer.insert(1, "\"more\":1,");
  EXPECT_EQ(read_memory(longer).error().code(), base::ErrorCode::data_loss);
}

}  // namespace
}  // namespace segue::reconcile
