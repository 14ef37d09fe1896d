// SPDX-License-Identifier: Apache-2.0
// The recorded documents of protocol/rollout.golden: what was written once is read for ever.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <string>

#include "rollout/engine.h"
#include "rollout/planning.h"

namespace segue::rollout {
namespace {

using fleet::Selection;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

std::map<std::string, std::string> recorded() {
  std::ifstream file(SEGUE_ROLLOUT_GOLDEN_FILE);
  std::map<std::string, std::string> golden;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    const std::size_t space = line.find(' ');
    golden[line.substr(0, space)] = line.substr(space + 1) + "\n";
  }
  return golden;
}

fleet::Strategy golden_strategy() {
  fleet::Strategy strategy = fleet::careful(fleet::StrategyKind::canary);
  strategy.canary.salt = 77;
  strategy.canary.on = fleet::percent(50);
  fleet::StepLimits limits;
  limits.max_failures = fleet::hosts(2);
  limits.approvals = 2;
  limits.gates = {"latency", "errors"};
  strategy.waves = {{.selection = Selection::site, .word = "berlin", .limits = limits},
                    {.selection = Selection::count, .amount = 5, .repeated = true, .name = "five"}};
  strategy.late_gates = {"errors"};
  strategy.meanwhile = fleet::MeanwhilePolicy::supersede;
  return strategy;
}

Rollout golden_head() {
  Rollout head;
  head.id = "r17";
  head.component = "chat";
  head.author = "ada";
  head.title = "chat 1.4";
  head.created_ms = 1'795'000'000'000;
  head.base = 4;
  head.target = 5;
  head.checks_health = true;
  head.strategy = golden_strategy();
  head.steps = {{"canary 1%", StepKind::canary, 10'000, {}}, {"rest", StepKind::wave, 10'000, {}}};
  head.phase = Phase::running;
  head.step = 1;
  head.step_phase = StepPhase::judging;
  head.since_ms = 1'795'000'100'000;
  head.elapsed_ms = 61'000;
  head.share_ppm = 10'000;
  head.approved_by = {"bob", "ada"};
  head.gates = {{"latency", {Verdict::wait, "not enough data: 112 of 400"}}};
  head.text = "why \"so\"";
  return head;
}

InstanceRecord golden_record() {
  return {.host = "h1.example.org",
          .slot = fleet::Slot::canary,
          .step = 1,
          .to = 5,
          .back = 4,
          .assignment = {.revision = 5, .order = "r17.1.2", .share_ppm = 10'000, .share_salt = 77},
          .orders = 2,
          .refusals = 1,
          .settled = Settled::refused,
          .drained = true,
          .text = "no room"};
}

TEST(RolloutDocuments, are_written_and_read_as_recorded) {
  auto golden = recorded();
  ASSERT_EQ(fleet::write_strategy(golden_strategy()), golden["strategy"]);
  ASSERT_EQ(write_rollout(golden_head()), golden["head"]);
  ASSERT_EQ(write_record(golden_record()), golden["record"]);
  EXPECT_EQ(fleet::read_strategy(golden["strategy"]).value(), golden_strategy());
  EXPECT_EQ(read_rollout(golden["head"]).value(), golden_head());
  EXPECT_EQ(read_record(golden["record"]).value(), golden_record());
}

TEST(RolloutDocuments, cut_off_anywhere_or_changed_are_data_loss) {
  const std::string whole = write_rollout(golden_head());
  for (std::size_t i = 0; i + 2 < whole.size(); i += 7) {
    const auto cut = read_rollout(std::string_view(whole).substr(0, i));
    ASSERT_FALSE(cut);
    EXPECT_EQ(cut.error().code(), base::ErrorCode::data_loss);
  }
  const std::pair<std::string, std::string> changes[] = {
      {"\"step\":1", "\"step\":2"},
      {"\"phase\":\"running\"", "\"phase\":\"walking\""},
      {"\"phase\":\"running\"", "\"phase\":\"undoing\""},
      {"\"share_ppm\":10000", "\"share_ppm\":1000001"},
      {"\"author\":\"ada\"", "\"author\":\"\""},
      {"\"paused\":false", "\"paused\":0"},
      {"\"paused\":false", "\"paused\":false,\"more\":1"},
      {"\"paused\":false,", ""}};
  for (const auto& [from, to] : changes) {
    std::string changed = whole;
    const auto at = changed.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    changed.replace(at, from.size(), to);
    const auto read = read_rollout(changed);
    ASSERT_FALSE(read) << to;
    EXPECT_EQ(read.error().code(), base::ErrorCode::data_loss) << to;
  }
}

TEST(RolloutDocuments, of_a_newer_format_say_that_the_program_is_too_old) {
  std::string newer = write_record(golden_record());
  const std::string from = "\"segue_rollout_instance\":1";
  newer.replace(newer.find(from), from.size(), "\"segue_rollout_instance\":2");
  EXPECT_EQ(read_record(newer).error().code(), base::ErrorCode::failed_precondition);
}

TEST(RolloutDocuments, a_head_with_the_most_steps_and_a_record_with_the_longest_text_fit) {
  Rollout head = golden_head();
  head.steps.resize(Rollout::kMaxSteps, head.steps[0]);
  for (auto& step : head.steps) step.name = std::string(100, 's');
  EXPECT_LE(write_rollout(head).size(), kMaxRolloutBytes);
  InstanceRecord record = golden_record();
  record.text = std::string(Rollout::kMaxTextBytes, '"');
  record.host = std::string(253, 'h');
  EXPECT_LE(write_record(record).size(), kMaxRecordBytes);
}

std::string refusal(const fleet::Strategy& strategy) {
  const auto checked = fleet::check(strategy);
  return checked ? "accepted" : checked.error().message();
}

TEST(Strategy, what_cannot_work_is_refused_with_its_place_and_a_way_out) {
  for (int kind = 0; kind < 4; ++kind) {
    EXPECT_EQ(refusal(fleet::careful(static_cast<fleet::StrategyKind>(kind))), "accepted");
  }
  fleet::Strategy strategy;
  strategy.limits.max_unavailable = fleet::hosts(0);
  EXPECT_THAT(refusal(strategy), HasSubstr("limits.max_unavailable: with 0"));
  strategy = {};
  strategy.waves = {{.selection = Selection::rest}, {.selection = Selection::count, .amount = 1}};
  EXPECT_THAT(refusal(strategy), HasSubstr("waves[0]: takes all hosts"));
  strategy.waves = {{.selection = Selection::percent, .amount = 101}};
  EXPECT_THAT(refusal(strategy), HasSubstr("waves[0]: 101% is more"));
  strategy.waves = {{.selection = Selection::label, .word = "rack"}};
  EXPECT_THAT(refusal(strategy), HasSubstr("KEY=VALUE"));
  strategy.waves = {{.selection = Selection::site, .word = "x", .repeated = true}};
  EXPECT_THAT(refusal(strategy), HasSubstr("can be repeated"));
  strategy = fleet::careful(fleet::StrategyKind::canary);
  strategy.canary.steps[2].share_ppm = 50'000;
  EXPECT_THAT(refusal(strategy), HasSubstr("canary.steps[2].share: 5% comes after 10%"));
  strategy.canary.steps.clear();
  EXPECT_THAT(refusal(strategy), HasSubstr("canary.steps: between 1 and 50"));
  strategy = {};
  strategy.limits.gates = {"a", "a"};
  EXPECT_THAT(refusal(strategy), HasSubstr("named twice"));
  strategy = {};
  strategy.late_watch = seconds(-1);
  EXPECT_THAT(refusal(strategy), HasSubstr("late_watch"));
}

TEST(Planning, takes_hosts_by_count_site_label_and_percent_and_forgets_nobody) {
  const auto step_names = [](const std::vector<fleet::Wave>& waves) {
    NewRollout request{.id = "r1", .component = "chat", .author = "ada", .target = 2};
    request.strategy.waves = waves;
    std::vector<HostFacts> hosts;
    for (int i = 0; i < 20; ++i) {
      hosts.push_back({.host = fmt::format("h{:02}", i),
                       .site = i < 10 ? "berlin" : "tokyo",
                       .labels = {{"rack", fmt::format("{}", i % 3)}},
                       .to = 2,
                       .back = 1});
    }
    auto engine = Engine::propose(request, {});
    EXPECT_TRUE(engine->begin(1, hosts, {}));
    EXPECT_EQ(engine->records().size(), 20U);
    std::string names;
    for (std::uint32_t i = 0; i < engine->head().steps.size(); ++i) {
      names +=
          fmt::format("{}:{} ", engine->head().steps[i].name, engine->instances(i, 0, 100).size());
    }
    return names;
  };
  EXPECT_EQ(step_names({}), "1 host:1 10%:2 rest:17 ");
  EXPECT_EQ(step_names({{.selection = Selection::count, .amount = 8, .repeated = true}}),
            "8 hosts:8 8 hosts:8 8 hosts:4 ");
  EXPECT_EQ(step_names({{.selection = Selection::site, .word = "tokyo"}}),
            "site tokyo:10 rest:10 ");
  EXPECT_EQ(step_names({{.selection = Selection::each_site}}), "site berlin:10 site tokyo:10 ");
  EXPECT_EQ(step_names({{.selection = Selection::label, .word = "rack=1", .name = "one"}}),
            "one:7 rest:13 ");
  EXPECT_EQ(step_names({{.selection = Selection::percent, .amount = 25},
                        {.selection = Selection::each_label, .word = "rack"}}),
            "25%:5 rack=0:5 rack=1:5 rack=2:5 ");
  EXPECT_EQ(step_names({{.selection = Selection::site, .word = "nowhere"}}), "rest:20 ");
}

TEST(Planning, says_which_waves_name_what_no_host_has) {
  const std::vector<HostFacts> hosts = {
      {.host = "a", .site = "berlin", .labels = {{"rack", "1"}}, .to = 2},
      {.host = "b", .site = "tokyo", .to = 2}};
  fleet::Strategy strategy;
  strategy.waves = {{.selection = Selection::count, .amount = 8},
                    {.selection = Selection::site, .word = "berlin"},
                    {.selection = Selection::site, .word = "Berlin"},
                    {.selection = Selection::label, .word = "rack=1"},
                    {.selection = Selection::label, .word = "rack=2"},
                    {.selection = Selection::each_label, .word = "rack"},
                    {.selection = Selection::each_label, .word = "row"},
                    {.selection = Selection::each_site},
                    {.selection = Selection::rest}};
  EXPECT_THAT(waves_left_out(strategy, hosts),
              ElementsAre("no host of the component is of site 'Berlin': that wave is left out",
                          "no host of the component has the label 'rack=2': that wave is left out",
                          "no host of the component has the label 'row': that wave is left out"));
  strategy.kind = fleet::StrategyKind::all_at_once;  // has no waves
  EXPECT_TRUE(waves_left_out(strategy, hosts).empty());
}

TEST(Planning, refuses_what_comes_to_nothing_or_to_too_much) {
  NewRollout request{.id = "r1", .component = "chat", .author = "ada", .target = 2};
  EXPECT_THAT(Engine::propose(request, {})->begin(1, {}, {}).error().message(),
              HasSubstr("no host belongs"));
  request.strategy.waves = {{.selection = Selection::count, .amount = 1, .repeated = true}};
  std::vector<HostFacts> hosts;
  for (int i = 0; i < 1'001; ++i) hosts.push_back({.host = fmt::format("h{}", i), .to = 2});
  EXPECT_THAT(Engine::propose(request, {})->begin(1, hosts, {}).error().message(),
              HasSubstr("1001 steps on 1001 hosts"));
  request.id = "R 1";
  EXPECT_FALSE(Engine::propose(request, {}));
}

}  // namespace
}  // namespace segue::rollout
