// SPDX-License-Identifier: Apache-2.0
// From the offer to the commit: words that come too late or are not true, and what a predecessor
// that is not to serve again leaves alone.
#include <gtest/gtest.h>
#include <poll.h>

#include "handoff/test_process.h"
#include "handoff/test_relay.h"
#include "handoff/test_service.h"

namespace segue::handoff::test {
namespace {

bool is(const FrameHeader& header, FrameType type) {
  return header.type == static_cast<uint16_t>(type);
}

using Probation = HandoffTest;

TEST_F(Probation, bad_vote_after_the_commit_was_sent_is_refused_and_ends_nobody) {
  ServiceOptions patient = options();
  patient.answer_ms = 60'000;
  patient.hang_ms = 60'000;
  Service first(patient);
  ASSERT_EQ(first.start(), SEGUE_OK) << first.error();
  // On its way for as long as the test takes.
  const Relay relay(options().directory, [](Way, FrameHeader& header, std::string&) {
    return !is(header, FrameType::commit);
  });
  ServiceOptions o = options();
  o.directory = relay.directory();
  Service second(o);
  ASSERT_EQ(second.start(), SEGUE_OK) << second.error();
  ASSERT_TRUE(run({&first, &second}, [&] { return relay.has_seen(FrameType::commit); }));
  EXPECT_EQ(segue_vote(second.instance.get(), 0, "too slow"), SEGUE_STATE);
  EXPECT_NE(second.error().find("too late for a bad vote"), std::string::npos) << second.error();
  EXPECT_EQ(segue_vote(second.instance.get(), 1, nullptr), SEGUE_OK);
  EXPECT_TRUE(second.active());
  EXPECT_FALSE(second.ended());
}

TEST_F(Probation, terminate_that_a_vote_calls_is_a_callback_like_all_others) {
  ServiceOptions voting = options();
  voting.vote_required = true;
  voting.hang_ms = 60'000;
  Service first(voting);
  ASSERT_EQ(first.start(), SEGUE_OK) << first.error();
  Service second(voting);
  ASSERT_EQ(second.start(), SEGUE_OK) << second.error();
  ASSERT_TRUE(run({&first, &second}, [&] { return second.active(); }));
  int inside = SEGUE_OK;
  second.on_event = [&](const std::string& event) {
    if (event.starts_with("terminate")) inside = segue_dispatch(second.instance.get());
  };
  EXPECT_EQ(segue_vote(second.instance.get(), 0, "asked for"), SEGUE_OK);
  EXPECT_TRUE(second.ended());
  EXPECT_EQ(inside, SEGUE_STATE);
}

// In a child: who believes it ends the liar, which is the same process here.
TEST_F(Probation, activation_that_the_ownership_page_does_not_know_is_not_believed) {
  EXPECT_TRUE(holds_in_child([this] {
    Service first(options());
    ASSERT_EQ(first.start(), SEGUE_OK) << first.error();
    const Relay relay(options().directory, [](Way, FrameHeader& header, std::string&) {
      if (is(header, FrameType::decline)) {
        header.type = static_cast<uint16_t>(FrameType::activated);
      }
      return true;
    });
    ServiceOptions declining = options();
    declining.directory = relay.directory();
    declining.fail_acquire = true;
    Service second(declining);
    ASSERT_EQ(second.start(), SEGUE_OK) << second.error();
    ASSERT_TRUE(run({&first, &second}, [&] { return first.has("resume"); }));
    EXPECT_NE(first.error().find("says that it is active and is not"), std::string::npos)
        << first.error();
    EXPECT_TRUE(first.active());
    Service third(options());
    hand_over(first, third);
  }));
}

TEST_F(Probation, predecessor_that_is_not_to_serve_again_sets_nothing_going) {
  ServiceOptions o = options();
  o.on_crash = SEGUE_ON_CRASH_RESTART;
  o.vote_required = true;
  Service first(o);
  struct Counts {
    int drains = 0;
    int goes_on = 0;
  } counts;
  segue_operations_ops ops{};
  ops.size = sizeof ops;
  ops.drain = [](void* user) { ++static_cast<Counts*>(user)->drains; };
  ops.go_on = [](void* user) { ++static_cast<Counts*>(user)->goes_on; };
  ASSERT_NE(segue_operations_open(first.instance.get(), "pool", &ops, &counts), nullptr);
  ASSERT_EQ(first.start(), SEGUE_OK) << first.error();
  ServiceProcess second({.options = o});
  ASSERT_TRUE(run({&first}, [&] { return second.has("activate"); })) << first.error();
  second.kill();
  ASSERT_TRUE(run({&first}, [&] { return first.ended(); }));
  EXPECT_TRUE(first.has("terminate 5"));
  EXPECT_FALSE(first.has("resume"));
  EXPECT_EQ(counts.drains, 1);
  EXPECT_EQ(counts.goes_on, 0);
}

TEST_F(Probation, next_version_may_start_as_soon_as_the_service_goes_on) {
  ServiceOptions o = options();
  o.probation_ms = 60'000;
  Service first(o);
  ASSERT_EQ(first.start(), SEGUE_OK) << first.error();
  ServiceProcess second({.options = o});
  ASSERT_TRUE(run({&first}, [&] { return second.has("activate"); })) << first.error();
  Service third(o);
  first.on_event = [&](const std::string& event) {
    if (!event.starts_with("resume")) return;
    EXPECT_EQ(third.start(), SEGUE_OK) << third.error();
    pollfd entry{segue_fd(third.instance.get()), POLLIN, 0};
    EXPECT_EQ(poll(&entry, 1, 10'000), 1);
    EXPECT_EQ(segue_dispatch(third.instance.get()), SEGUE_OK);  // it looks for the predecessor
  };
  second.kill();
  ASSERT_TRUE(run({&first, &third}, [&] { return third.active() || third.ended(); }));
  EXPECT_TRUE(third.active()) << third.error();
}

TEST_F(Probation, replay_over_an_arena_is_refused_at_the_start) {
  ServiceOptions o = options();
  o.on_crash = SEGUE_ON_CRASH_REPLAY;
  Service service(o);
  ASSERT_NE(segue_arena_open(service.instance.get(), "own", 1, 4096), nullptr);
  EXPECT_EQ(service.start(), SEGUE_INVALID);
  EXPECT_NE(service.error().find("arena own: what a successor did"), std::string::npos)
      << service.error();
}

}  // namespace
}  // namespace segue::handoff::test
