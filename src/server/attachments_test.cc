// SPDX-License-Identifier: Apache-2.0
#include "server/attachments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/test_scheduler.h"

namespace segue::server {
namespace {

using base::ErrorCode;
using std::chrono::seconds;
using testing::ElementsAre;

class AttachmentsTest : public testing::Test {
 protected:
  base::Result<Attachments::Way> hello(rpc::SessionId session, const std::string& incarnation) {
    return attachments_.hello("a", {session, 0}, {.incarnation = incarnation});
  }

  store::TestScheduler scheduler_;
  std::vector<std::string> said_;
  std::vector<std::string> copied_;
  Attachments attachments_{scheduler_,
                           [this](const std::string& host, bool silent) {
                             said_.push_back(host + (silent ? " silent" : " heard"));
                           },
                           [this](const std::string& host) { copied_.push_back(host); }};
};

TEST_F(AttachmentsTest, who_is_expected_has_a_lease_to_come_back) {
  attachments_.expect("a");
  EXPECT_FALSE(attachments_.is_silent("a"));
  scheduler_.run_for(Attachments::kLease - seconds(1));
  EXPECT_TRUE(said_.empty());
  scheduler_.run_for(seconds(2));
  EXPECT_THAT(said_, ElementsAre("a silent"));
  EXPECT_TRUE(attachments_.is_silent("a"));
  EXPECT_TRUE(attachments_.is_silent("nobody"));
}

TEST_F(AttachmentsTest, a_heartbeat_renews_the_lease) {
  ASSERT_TRUE(hello(1, "i1"));
  for (int i = 0; i < 20; ++i) {
    scheduler_.run_for(Attachments::kHeartbeat);
    attachments_.heard("a", {1, 0}, 7);
  }
  EXPECT_TRUE(said_.empty());
  EXPECT_EQ(attachments_.find("a")->generation, 7U);
  attachments_.detached("a", {1, 0});
  EXPECT_FALSE(attachments_.is_silent("a")) << "the lease goes on";
  scheduler_.run_for(Attachments::kLease + seconds(1));
  EXPECT_THAT(said_, ElementsAre("a silent"));
  ASSERT_TRUE(hello(2, "i1"));
  EXPECT_THAT(said_, ElementsAre("a silent", "a heard"));
  scheduler_.run_for(Attachments::kLease + seconds(1));
  EXPECT_THAT(said_, ElementsAre("a silent", "a heard", "a silent"));
}

TEST_F(AttachmentsTest, a_new_session_takes_the_place_of_the_old_one) {
  EXPECT_EQ(hello(1, "i1")->session, 0U);
  EXPECT_EQ(hello(1, "i1")->session, 0U);
  EXPECT_EQ(hello(2, "i1")->session, 1U);
  attachments_.heard("a", {1, 0}, 9);
  EXPECT_EQ(attachments_.find("a")->generation, 0U) << "of the session before";
  attachments_.detached("a", {1, 0});
  EXPECT_EQ(attachments_.find("a")->way.session, 2U);
}

TEST_F(AttachmentsTest, an_agent_that_starts_anew_is_no_copy_and_one_that_comes_back_is) {
  ASSERT_TRUE(hello(1, "i1"));
  attachments_.detached("a", {1, 0});
  ASSERT_TRUE(hello(2, "i2"));
  const auto copy = hello(3, "i1");
  ASSERT_FALSE(copy);
  EXPECT_EQ(copy.error().code(), ErrorCode::failed_precondition);
  attachments_.detached("a", {2, 0});
  EXPECT_TRUE(hello(4, "i3"));
}

TEST_F(AttachmentsTest, a_copy_is_refused_while_the_first_one_goes_on_and_told_of_once) {
  ASSERT_TRUE(hello(1, "i1"));
  for (int i = 0; i < 3; ++i) {
    ASSERT_FALSE(hello(2, "i2"));
    attachments_.detached("a", {2, 0});
    scheduler_.run_for(Attachments::kHeartbeat);
    attachments_.heard("a", {1, 0}, std::nullopt);
  }
  EXPECT_EQ(attachments_.find("a")->way.session, 1U);
  EXPECT_EQ(attachments_.find("a")->hello.incarnation, "i1");
  EXPECT_THAT(copied_, ElementsAre("a"));
  ASSERT_FALSE(hello(2, "i3"));
  attachments_.heard("a", {1, 0}, std::nullopt);
  EXPECT_THAT(copied_, ElementsAre("a", "a"));
}

TEST_F(AttachmentsTest, an_agent_whose_host_lost_power_is_let_in_when_the_old_line_is_silent) {
  ASSERT_TRUE(hello(1, "i1"));
  EXPECT_FALSE(hello(2, "i2"));
  scheduler_.run_for(Attachments::kLease + seconds(1));
  EXPECT_EQ(hello(3, "i2")->session, 1U);
  attachments_.heard("a", {3, 0}, std::nullopt);
  EXPECT_THAT(copied_, testing::IsEmpty());
}

TEST_F(AttachmentsTest, who_is_forgotten_says_nothing_more) {
  attachments_.expect("a");
  attachments_.forget("a");
  attachments_.heard("a", {1, 0}, 1);
  attachments_.observed("a", {});
  scheduler_.run_for(Attachments::kLease * 2);
  EXPECT_TRUE(said_.empty());
  EXPECT_EQ(attachments_.find("a"), nullptr);
}

}  // namespace
}  // namespace segue::server
