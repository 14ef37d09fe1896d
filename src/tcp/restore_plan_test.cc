// SPDX-License-Identifier: Apache-2.0
#include "tcp/restore_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>

#include "tcp/test_image.h"

namespace segue::tcp {
namespace {

std::size_t place_of(const std::vector<RestoreStep>& plan, StepKind kind) {
  const auto found = std::find_if(plan.begin(), plan.end(),
                                  [kind](const RestoreStep& step) { return step.kind == kind; });
  EXPECT_NE(found, plan.end()) << to_string(kind);
  return static_cast<std::size_t>(found - plan.begin());
}

bool has(const std::vector<RestoreStep>& plan, StepKind kind) {
  return std::any_of(plan.begin(), plan.end(),
                     [kind](const RestoreStep& step) { return step.kind == kind; });
}

TEST(RestorePlan, keeps_the_order_that_the_kernel_asks_for) {
  const ConnectionImage image = test::full_image();
  const auto plan = plan_restore(image);
  const StepKind order[] = {
      StepKind::enlarge_send_buffer, StepKind::enlarge_receive_buffer,
      StepKind::lock_buffers,        StepKind::bind_local,
      StepKind::set_segment_size,    StepKind::set_receive_sequence,
      StepKind::set_send_sequence,   StepKind::announce_congestion_window,
      StepKind::connect_remote,      StepKind::set_negotiated,
      StepKind::set_timestamp,       StepKind::requeue_unread,
      StepKind::limit_first_timeout, StepKind::requeue_unacknowledged,
      StepKind::set_windows,
  };
  for (std::size_t i = 1; i < std::size(order); ++i) {
    EXPECT_LT(place_of(plan, order[i - 1]), place_of(plan, order[i]))
        << to_string(order[i - 1]) << ", " << to_string(order[i]);
  }
}

TEST(RestorePlan, begins_both_sequences_before_their_queues_and_wraps) {
  const ConnectionImage image = test::full_image();
  const auto plan = plan_restore(image);
  EXPECT_EQ(plan[place_of(plan, StepKind::set_receive_sequence)].sequence, 0x89abcdef - 16U);
  // 0x10 less 10 unsent and 22 unacknowledged bytes.
  EXPECT_EQ(plan[place_of(plan, StepKind::set_send_sequence)].sequence, 0xfffffff0U);
}

TEST(RestorePlan, never_requeues_what_was_not_sent) {
  const ConnectionImage image = test::full_image();
  for (const RestoreStep& step : plan_restore(image)) EXPECT_NE(step.bytes, image.unsent);
}

TEST(RestorePlan, leaves_out_what_the_connection_does_not_have) {
  const ConnectionImage image = test::small_image();
  const auto plan = plan_restore(image);
  for (const StepKind kind :
       {StepKind::set_congestion_algorithm, StepKind::announce_congestion_window,
        StepKind::set_timestamp, StepKind::requeue_unread, StepKind::requeue_unacknowledged,
        StepKind::limit_first_timeout, StepKind::set_option}) {
    EXPECT_FALSE(has(plan, kind)) << to_string(kind);
  }
}

TEST(RestorePlan, clamps_the_window_before_connecting_where_no_scale_was_negotiated) {
  const ConnectionImage unscaled = test::small_image();
  const auto plan = plan_restore(unscaled);
  EXPECT_LT(place_of(plan, StepKind::clamp_window), place_of(plan, StepKind::connect_remote));
  EXPECT_FALSE(has(plan_restore(test::full_image()), StepKind::clamp_window));
}

TEST(RestorePlan, makes_room_for_queues_that_are_larger_than_their_buffers) {
  ConnectionImage image = test::full_image();
  image.unsent.assign(300'000, 'x');
  image.send_buffer_bytes = 100'000;
  const auto plan = plan_restore(image);
  EXPECT_GE(plan[place_of(plan, StepKind::enlarge_send_buffer)].value, 600'000);
}

TEST(RestorePlan, sets_last_what_leaving_repair_resets) {
  const ConnectionImage image = test::full_image();
  const auto leave = plan_leave(image);
  ASSERT_EQ(leave.size(), 1U);
  EXPECT_EQ(leave.front().option->id, kReuseAddress);
  EXPECT_EQ(leave.front().value, 1);
  for (const RestoreStep& step : plan_restore(image)) {
    EXPECT_TRUE(step.option == nullptr || step.option->id != kReuseAddress);
  }
}

}  // namespace
}  // namespace segue::tcp
