// SPDX-License-Identifier: Apache-2.0
#include "server/gate_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "prometheus/answer.h"

namespace segue::server {
namespace {

using fleet::Gate;
using fleet::GateKind;
using rollout::Verdict;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

constexpr GateTimes kTimes{.gate_limit = std::chrono::hours(24), .late_watch = minutes(10)};
constexpr milliseconds kBegin = std::chrono::hours(24 * 365 * 56);

Gate gate_of(GateKind kind) {
  Gate gate = fleet::usual_gate(kind);
  gate.name = "errors";
  gate.prometheus = "http://127.0.0.1:9090";
  gate.query = "max(memory{version=\"{{version}}\"})";
  gate.limit = 10;
  gate.canary = {"a{{version}}", "b{{version}}", "e{{version}}"};
  gate.baseline = {"c{{baseline_version}}", "d{{baseline_version}}", "f{{baseline_version}}"};
  return gate;
}

base::Result<prometheus::Answer> value(const std::string& text) {
  return prometheus::parse_answer(
      R"({"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,")" +
      text + R"("]}]}})");
}

// Of so many hosts, each with these numbers.
base::Result<prometheus::Answer> hosts(int count, int number) {
  std::string text;
  for (int host = 0; host < count; ++host) {
    text += fmt::format(R"({}{{"metric":{{"host":"{}"}},"value":[1,"{}"]}})", host == 0 ? "" : ",",
                        host, number);
  }
  return prometheus::parse_answer(
      R"({"status":"success","data":{"resultType":"vector","result":[)" + text + "]}}");
}

class Watching {
 public:
  explicit Watching(Gate gate) : watch(std::move(gate), kTimes, 3, now) {}

  void see(const GateLook& look) {
    now += watch.gate().every;
    watch.take(look, now);
  }
  void see(const std::string& text) { see(look_at(watch.gate(), MetricAnswers{value(text)})); }
  void settle() { watch.enter(GateStage::settled, now); }
  [[nodiscard]] Verdict verdict() const { return watch.judge(now).verdict; }
  [[nodiscard]] std::string text() const { return watch.judge(now).text; }

  milliseconds now = kBegin;
  GateWatch watch;
};

TEST(GateWatch, every_gate_that_may_be_written_has_rules_that_can_be_judged) {
  for (const auto kind : {GateKind::handoff, GateKind::health, GateKind::query, GateKind::compare,
                          GateKind::latency}) {
    Gate gate = gate_of(kind);
    gate.blackout_us = 1;
    for (const std::uint32_t share_ppm : {0U, 1'000'000U}) {
      gate.tolerance_ppm = share_ppm;
      gate.margin_ppm = share_ppm;
      gate.pass = share_ppm == 0 ? fleet::GatePass::unrefuted : fleet::GatePass::shown;
      ASSERT_TRUE(fleet::check(gate));
      for (const auto& rule : rules_of(gate, kTimes)) {
        const auto checked = analysis::check(rule);
        EXPECT_TRUE(checked) << checked.error().message();
      }
    }
  }
  EXPECT_THAT(rules_of(gate_of(GateKind::handoff), kTimes), SizeIs(1));
}

TEST(GateWatch, what_was_not_seen_never_passes) {
  for (const auto kind : {GateKind::handoff, GateKind::health, GateKind::query, GateKind::compare,
                          GateKind::latency}) {
    Watching gate(gate_of(kind));
    gate.settle();
    gate.now += std::chrono::hours(23);
    EXPECT_EQ(gate.verdict(), Verdict::wait);
    EXPECT_THAT(gate.text(), HasSubstr("nothing was observed"));
  }
  Watching query(gate_of(GateKind::query));
  query.settle();
  for (int i = 0; i < 10; ++i) query.see("NaN");
  EXPECT_EQ(query.verdict(), Verdict::wait);
  EXPECT_THAT(query.text(), HasSubstr("no data"));
  const base::Error refused(base::ErrorCode::unavailable, "connection refused");
  query.see(look_at(query.watch.gate(), MetricAnswers{base::fail(refused)}));
  EXPECT_EQ(query.verdict(), Verdict::wait);
  EXPECT_THAT(query.text(), HasSubstr("last time: connection refused"));
}

TEST(GateWatch, a_value_is_good_after_some_in_a_row_that_were_seen_since_all_have_moved) {
  Watching gate(gate_of(GateKind::query));
  for (int i = 0; i < 5; ++i) gate.see("1");
  EXPECT_EQ(gate.verdict(), Verdict::wait) << "not all have moved";
  EXPECT_THAT(gate.text(), HasSubstr("counts once all have moved"));
  gate.settle();
  EXPECT_EQ(gate.verdict(), Verdict::wait) << "what was before says nothing";
  gate.see("1");
  gate.see("2");
  EXPECT_EQ(gate.verdict(), Verdict::wait);
  gate.see("3");
  EXPECT_EQ(gate.verdict(), Verdict::good) << gate.text();
  gate.now += std::chrono::hours(1);
  EXPECT_EQ(gate.verdict(), Verdict::wait) << "the source was silent since";
}

TEST(GateWatch, a_bad_value_is_bad_while_others_still_move_and_stays_bad) {
  Watching gate(gate_of(GateKind::query));
  for (int i = 0; i < 3; ++i) gate.see("11");
  EXPECT_EQ(gate.verdict(), Verdict::bad);
  EXPECT_THAT(gate.text(), HasSubstr("errors was above 10"));
  gate.settle();
  for (int i = 0; i < 5; ++i) gate.see("1");
  EXPECT_EQ(gate.verdict(), Verdict::bad);
}

TEST(GateWatch, a_lost_connection_or_a_long_blackout_is_bad_at_once) {
  Gate definition = gate_of(GateKind::handoff);
  definition.blackout_us = 10'000;
  const auto verdict_of = [&](const MovedFigures& moved) {
    Watching gate(definition);
    gate.settle();
    gate.see(look_at(definition, moved));
    return gate.verdict();
  };
  EXPECT_EQ(verdict_of({.handoffs = 3, .lost = 0, .worst_blackout_us = 10'000}), Verdict::good);
  EXPECT_EQ(verdict_of({.handoffs = 3, .lost = 1}), Verdict::bad);
  EXPECT_EQ(verdict_of({.handoffs = 3, .worst_blackout_us = 10'001}), Verdict::bad);
  EXPECT_EQ(verdict_of({.handoffs = 0}), Verdict::wait) << "nothing has moved";
}

TEST(GateWatch, where_nothing_ran_before_no_handoff_can_be_bad_and_it_says_so) {
  Watching gate(gate_of(GateKind::handoff));
  gate.settle();
  gate.see(look_at(gate.watch.gate(), MovedFigures{.started = 2}));
  EXPECT_EQ(gate.verdict(), Verdict::good);
  EXPECT_THAT(gate.text(), HasSubstr("no handoff was needed: on 2 instances nothing ran before"));
  gate.see(look_at(gate.watch.gate(), MovedFigures{.handoffs = 1, .started = 1}));
  EXPECT_THAT(gate.text(), Not(HasSubstr("no handoff was needed")));
}

TEST(GateWatch, who_tells_nothing_of_a_handoff_is_named_and_waited_for_until_it_is_overdue) {
  Watching gate(gate_of(GateKind::handoff));
  gate.settle();
  const MovedFigures moved{.handoffs = 1, .started = 1, .untold = 1, .first_untold = "berlin-2"};
  gate.see(look_at(gate.watch.gate(), moved));
  EXPECT_EQ(gate.verdict(), Verdict::wait);
  EXPECT_THAT(gate.text(), HasSubstr("of 3 instances that have moved 1 told nothing of a handoff, "
                                     "first berlin-2"));
  EXPECT_THAT(gate.text(), Not(HasSubstr("somebody has to decide")));
  gate.now += kTimes.gate_limit;
  gate.see(look_at(gate.watch.gate(), moved));
  EXPECT_EQ(gate.verdict(), Verdict::wait);
  EXPECT_THAT(gate.text(), HasSubstr("somebody has to decide"));
  const MovedFigures lost{.handoffs = 1, .untold = 1, .lost = 1};
  gate.see(look_at(gate.watch.gate(), lost));
  EXPECT_EQ(gate.verdict(), Verdict::bad) << "what is bad already waits for nobody";
}

TEST(GateWatch, health_counts_when_that_of_all_is_known) {
  Watching gate(gate_of(GateKind::health));
  gate.settle();
  for (int i = 0; i < 5; ++i)
    gate.see(look_at(gate.watch.gate(), MovedFigures{.healthy = 3, .unknown = 1}));
  EXPECT_EQ(gate.verdict(), Verdict::wait);
  EXPECT_THAT(gate.text(), HasSubstr("of 4 moved instances the health of 1 is not known"));
  for (int i = 0; i < 3; ++i) gate.see(look_at(gate.watch.gate(), MovedFigures{.healthy = 4}));
  EXPECT_EQ(gate.verdict(), Verdict::good);
  for (int i = 0; i < 3; ++i)
    gate.see(look_at(gate.watch.gate(), MovedFigures{.healthy = 3, .unhealthy = 1}));
  EXPECT_EQ(gate.verdict(), Verdict::bad);
}

// Of 20 hosts each with 100 requests in each look.
void compare(Watching& gate, int canary_failures, int baseline_failures, int looks) {
  for (int i = 0; i < looks; ++i) {
    gate.see(
        look_at(gate.watch.gate(), MetricAnswers{hosts(20, 100), hosts(20, canary_failures),
                                                 hosts(20, 100), hosts(20, baseline_failures)}));
  }
}

TEST(GateWatch, a_canary_is_compared_with_the_baseline_by_hosts_and_looks) {
  Watching same(gate_of(GateKind::compare));
  compare(same, 1, 1, 1);
  EXPECT_EQ(same.verdict(), Verdict::wait);
  EXPECT_THAT(same.text(), HasSubstr("not enough data"));
  same.settle();
  compare(same, 1, 1, 200);
  EXPECT_EQ(same.verdict(), Verdict::good) << same.text();

  Watching worse(gate_of(GateKind::compare));
  compare(worse, 10, 1, 20);
  EXPECT_EQ(worse.verdict(), Verdict::bad) << worse.text();

  Watching half(gate_of(GateKind::compare));
  const base::Error late(base::ErrorCode::deadline_exceeded, "too slow");
  half.see(look_at(half.watch.gate(),
                   MetricAnswers{hosts(20, 100), hosts(20, 0), hosts(20, 100), base::fail(late)}));
  EXPECT_THAT(half.text(), HasSubstr("nothing was observed so far; last time: too slow"));
}

// Of so many hosts, each with 100 requests: so many above 100 ms and 250 ms, up to 500 ms.
base::Result<prometheus::Answer> histograms(int count, int above_100_ms, int above_250_ms) {
  std::string text;
  for (int host = 0; host < count; ++host) {
    for (const auto& [bound, requests] : {std::pair{"0.1", 100 - above_100_ms},
                                          {"0.25", 100 - above_250_ms},
                                          {"0.5", 100},
                                          {"+Inf", 100}}) {
      text += fmt::format(R"({}{{"metric":{{"host":"{}","le":"{}"}},"value":[1,"{}"]}})",
                          text.empty() ? "" : ",", host, bound, requests);
    }
  }
  return prometheus::parse_answer(
      R"({"status":"success","data":{"resultType":"vector","result":[)" + text + "]}}");
}

TEST(GateWatch, latencies_are_compared_as_well_as_the_buckets_of_their_histograms_allow) {
  Gate definition = gate_of(GateKind::latency);
  definition.quantile_ppm = 900'000;
  definition.margin_ppm = 1'500'000;
  const auto look = [&](int canary_above_100, int canary_above_250) {
    return look_at(definition, MetricAnswers{histograms(20, canary_above_100, canary_above_250),
                                             histograms(20, 5, 1)});
  };
  Watching same(definition);
  same.settle();
  for (int i = 0; i < 200; ++i) same.see(look(5, 1));
  EXPECT_EQ(same.verdict(), Verdict::good) << same.text();
  EXPECT_THAT(same.text(), HasSubstr("errors p90 0 us to 100 ms in the canary against 0 us to 100 "
                                     "ms in the baseline"));
  EXPECT_THAT(same.text(), HasSubstr("with buckets that end at 100 ms and 250 ms, 'worse' begins "
                                     "at 250 ms (150.0% slower; tolerance 5.0%)"));

  Watching slower(definition);
  for (int i = 0; i < 20; ++i) slower.see(look(40, 30));
  EXPECT_EQ(slower.verdict(), Verdict::bad) << slower.text();
  EXPECT_THAT(slower.text(), HasSubstr("250 ms to 500 ms in the canary against"));

  // Slower by what no bucket can tell from what is allowed.
  Watching blurred(definition);
  blurred.settle();
  for (int i = 0; i < 20; ++i) blurred.see(look(40, 5));
  EXPECT_NE(blurred.verdict(), Verdict::bad) << blurred.text();

  Watching half(definition);
  half.see(look_at(definition, MetricAnswers{histograms(1, 0, 0), hosts(1, 1)}));
  EXPECT_THAT(half.text(), HasSubstr("last time: a sample has no label 'le'"));
}

TEST(GateWatch, goes_on_after_the_last_step_with_data_of_its_own) {
  Watching gate(gate_of(GateKind::query));
  gate.settle();
  for (int i = 0; i < 5; ++i) gate.see("1");
  EXPECT_EQ(gate.verdict(), Verdict::good);
  gate.watch.enter(GateStage::late, gate.now);
  EXPECT_EQ(gate.verdict(), Verdict::wait);
  const milliseconds begun = gate.now;
  while (gate.now < begun + kTimes.late_watch) gate.see("1");
  EXPECT_EQ(gate.verdict(), Verdict::good) << gate.text();
  for (int i = 0; i < 3; ++i) gate.see("11");
  EXPECT_EQ(gate.verdict(), Verdict::bad);
}

TEST(GateWatch, is_the_same_after_a_restart_of_the_server) {
  Watching gate(gate_of(GateKind::compare));
  gate.settle();
  compare(gate, 1, 1, 7);
  EXPECT_LE(gate.watch.write().size(), GateWatch::kMaxBytes);
  GateWatch next(gate_of(GateKind::compare), kTimes, 3, gate.now);
  ASSERT_TRUE(next.resume(gate.watch.write()));
  EXPECT_EQ(next.write(), gate.watch.write());
  EXPECT_EQ(next.last_look(), gate.watch.last_look());
  EXPECT_EQ(next.judge(gate.now), gate.watch.judge(gate.now));

  GateWatch other_step(gate_of(GateKind::compare), kTimes, 4, gate.now);
  EXPECT_FALSE(other_step.resume(gate.watch.write()));
  Gate stricter = gate_of(GateKind::compare);
  stricter.alpha_ppm = 1;
  GateWatch other_numbers(stricter, kTimes, 3, gate.now);
  EXPECT_FALSE(other_numbers.resume(gate.watch.write()));
  for (const char* damaged : {"", "{}", "[1]", R"({"segue_gate":1})"}) {
    EXPECT_FALSE(next.resume(damaged)) << damaged;
  }
  EXPECT_EQ(next.judge(gate.now), gate.watch.judge(gate.now)) << "a refusal changes nothing";
}

TEST(GateWatch, a_clock_that_is_set_back_takes_nothing_back) {
  Watching gate(gate_of(GateKind::query));
  gate.settle();
  for (int i = 0; i < 3; ++i) gate.see("1");
  gate.now -= std::chrono::hours(1);
  gate.see("1");
  EXPECT_EQ(gate.verdict(), Verdict::good) << gate.text();
}

TEST(GateWatch, asks_for_the_versions_that_are_rolled_out) {
  const fleet::GateVersions versions{"2", "1"};
  EXPECT_THAT(queries_of(gate_of(GateKind::query), versions),
              ElementsAre("max(memory{version=\"2\"})"));
  EXPECT_THAT(queries_of(gate_of(GateKind::compare), versions),
              ElementsAre("a2", "b2", "c1", "d1"));
  EXPECT_THAT(queries_of(gate_of(GateKind::handoff), versions), IsEmpty());
}

}  // namespace
}  // namespace segue::server
