// SPDX-License-Identifier: Apache-2.0
#include "server/log_desk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "server/test_server.h"
#include "store/test_scheduler.h"

namespace segue::server {
namespace {

using base::ErrorCode;
using base::Result;
using testing::HasSubstr;

class LogDeskTest : public testing::Test {
 protected:
  struct Sent {
    std::string host;
    std::uint64_t number = 0;
    std::string document;
  };
  void ask(const std::string& host) {
    desk_.ask(host, {.component = "kv", .lines = 5},
              [this](Result<fleet::LogsRead> read) { answers_.push_back(std::move(read)); });
  }

  store::TestScheduler scheduler_;
  std::vector<Sent> sent_;
  std::vector<Result<fleet::LogsRead>> answers_;
  Result<void> sending_;
  LogDesk desk_{
      scheduler_,
      [this](const std::string& host, std::uint64_t number, std::string document) -> Result<void> {
        sent_.push_back({host, number, std::move(document)});
        return sending_;
      }};
};

TEST_F(LogDeskTest, gives_each_answer_to_who_asked_for_it) {
  ask("a");
  ask("b");
  ASSERT_EQ(sent_.size(), 2U);
  EXPECT_EQ(fleet::read_logs_wanted(sent_[0].document)->component, "kv");
  const std::string document = fleet::write_logs_read({.lines = {{3, "one"}}, .at = "3:4"});
  desk_.take("a", sent_[1].number, document);
  EXPECT_TRUE(answers_.empty()) << "another host cannot answer for b";
  desk_.take("b", sent_[1].number, document);
  desk_.take("b", sent_[1].number, document);
  ASSERT_EQ(answers_.size(), 1U);
  ASSERT_TRUE(answers_[0]);
  EXPECT_EQ(answers_[0]->lines, (std::vector<fleet::LogLine>{{3, "one"}}));
}

TEST_F(LogDeskTest, says_what_a_host_cannot_read_and_what_is_no_answer) {
  ask("a");
  desk_.take("a", sent_[0].number, fleet::write_logs_read({.lines = {}, .trouble = "no disk"}));
  ask("a");
  desk_.take("a", sent_[1].number, "{}");
  ASSERT_EQ(answers_.size(), 2U);
  EXPECT_EQ(answers_[0].error().code(), ErrorCode::failed_precondition);
  EXPECT_THAT(answers_[0].error().message(), HasSubstr("no disk"));
  EXPECT_EQ(answers_[1].error().code(), ErrorCode::data_loss);
}

TEST_F(LogDeskTest, waits_for_so_long_and_for_so_many) {
  for (std::size_t i = 0; i < LogDesk::kMaxWaiting; ++i) ask("a");
  EXPECT_TRUE(answers_.empty());
  ask("a");
  ASSERT_EQ(answers_.size(), 1U);
  EXPECT_EQ(answers_[0].error().code(), ErrorCode::resource_exhausted);
  scheduler_.run_for(LogDesk::kLimit + std::chrono::seconds(1));
  ASSERT_EQ(answers_.size(), LogDesk::kMaxWaiting + 1);
  EXPECT_EQ(answers_[1].error().code(), ErrorCode::deadline_exceeded);
  ask("a");
  EXPECT_EQ(answers_.size(), LogDesk::kMaxWaiting + 1) << "there is room again";
}

TEST_F(LogDeskTest, says_at_once_that_nobody_is_there) {
  sending_ = base::fail(ErrorCode::unavailable, "no agent of host 'a' is attached");
  ask("a");
  ASSERT_EQ(answers_.size(), 1U);
  EXPECT_EQ(answers_[0].error().code(), ErrorCode::unavailable);
}

TEST(ApiLogs, are_for_who_may_deploy_the_component) {
  TestServer server;
  server.join("berlin-1");
  const std::string viewer = server.set_person("vera", {Right::view});
  const std::string web = server.set_person("ci-web", {Right::deploy}, {"web"});
  const std::string path = "/v1/hosts/berlin-1/logs?component=hub";
  EXPECT_EQ(server.ask("GET", path, "", viewer).status, 403U);
  EXPECT_EQ(server.ask("GET", path, "", web).status, 403U);
  EXPECT_EQ(server.ask("GET", "/v1/hosts/oslo-1/logs?component=hub").status, 404U);
  for (const char* wrong : {"component=..", "component=hub&slot=third", "component=hub&lines=x",
                            "component=hub&lines=1001", ""}) {
    EXPECT_EQ(server.ask("GET", std::string("/v1/hosts/berlin-1/logs?") + wrong).status, 400U)
        << wrong;
  }
  EXPECT_EQ(server.ask("GET", path).status, 503U) << "nothing is sent to agents here";
}

}  // namespace
}  // namespace segue::server
