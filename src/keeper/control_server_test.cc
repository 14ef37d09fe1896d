// SPDX-License-Identifier: Apache-2.0
#include "keeper/control_server.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>
#include <vector>

#include "os/clock.h"
#include "os/temp_directory.h"

namespace segue::keeper {
namespace {

class ControlServerTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(server_.listen(path_)); }

  os::UniqueFd connect() {
    return *os::connect_unix(path_, os::SocketType::seqpacket, os::Blocking::no);
  }
  os::UniqueFd ask(const std::string& message) {
    os::UniqueFd client = connect();
    EXPECT_TRUE(os::send_message(client, message));
    turn();
    return client;
  }
  void turn(int times = 4) {
    for (int i = 0; i < times; ++i) EXPECT_TRUE(loop_.run_once(std::chrono::milliseconds(5)));
  }

  struct Asked {
    RequestId id;
    base::Result<control::Request> request;
  };
  os::SystemClock clock_;
  os::TempDirectory directory_;
  std::string path_ = directory_.path("c.sock");
  os::EpollLoop loop_ = *os::EpollLoop::create(clock_);
  std::vector<Asked> asked_;
  ControlServer server_{loop_, [this](RequestId id, base::Result<control::Request> request) {
                          asked_.push_back({id, std::move(request)});
                        }};
};

using Weight = ControlServer::Weight;

TEST_F(ControlServerTest, hands_over_a_request_and_sends_its_replies_in_order) {
  const os::UniqueFd client = ask(control::encode({"status", {}, {}}).value());
  ASSERT_EQ(asked_.size(), 1U);
  EXPECT_EQ(asked_[0].request->command, "status");
  server_.send(asked_[0].id, "one", Weight::needed);
  server_.finish(asked_[0].id, "two");
  EXPECT_EQ(os::receive_message(client, 100)->bytes, "one");
  EXPECT_EQ(os::receive_message(client, 100)->bytes, "two");
  EXPECT_EQ(os::receive_message(client, 100)->kind, os::Received::Kind::closed);
  EXPECT_FALSE(server_.has_clients());
}

TEST_F(ControlServerTest, sends_descriptors_with_the_last_reply) {
  const os::UniqueFd client = ask(control::encode({"sockets", {}, {}}).value());
  ASSERT_EQ(asked_.size(), 1U);
  const int fd = client.get();
  server_.finish_with(asked_[0].id, "here", std::span(&fd, 1));
  const auto received = os::receive_message(client, 100);
  EXPECT_EQ(received->bytes, "here");
  EXPECT_EQ(received->fds.size(), 1U);
  EXPECT_EQ(os::receive_message(client, 100)->kind, os::Received::Kind::closed);
  EXPECT_FALSE(server_.has_clients());
}

TEST_F(ControlServerTest, reports_what_is_no_request) {
  const os::UniqueFd client = ask("nonsense");
  ASSERT_EQ(asked_.size(), 1U);
  EXPECT_FALSE(asked_[0].request);
}

TEST_F(ControlServerTest, closes_on_a_second_request) {
  const os::UniqueFd client = ask(control::encode({"status", {}, {}}).value());
  ASSERT_TRUE(os::send_message(client, "again"));
  turn();
  EXPECT_EQ(asked_.size(), 1U);
  EXPECT_FALSE(server_.has(asked_[0].id));
}

TEST_F(ControlServerTest, forgets_who_goes_away_and_answers_into_the_void) {
  {
    const os::UniqueFd client = ask(control::encode({"status", {}, {}}).value());
  }
  turn();
  EXPECT_FALSE(server_.has_clients());
  server_.send(asked_[0].id, "x", Weight::needed);
  server_.finish(asked_[0].id, "y");
}

TEST_F(ControlServerTest, drops_progress_before_it_drops_answers_for_a_slow_reader) {
  const os::UniqueFd client = ask(control::encode({"upgrade", {}, {}}).value());
  const RequestId id = asked_.at(0).id;
  const std::string large(60'000, 'x');
  for (int i = 0; i < 100; ++i) server_.send(id, large, Weight::droppable);
  ASSERT_TRUE(server_.has(id));
  server_.finish(id, "the end");
  std::string last;
  for (int i = 0; i < 200 && server_.has(id); ++i) {
    turn(1);
    while (true) {
      const auto received = os::receive_message(client, 100'000);
      if (received->kind != os::Received::Kind::message) break;
      last = received->bytes;
    }
  }
  EXPECT_EQ(last, "the end");
}

TEST_F(ControlServerTest, cuts_off_who_never_reads) {
  const os::UniqueFd client = ask(control::encode({"events", {}, {}}).value());
  const std::string large(60'000, 'x');
  for (std::size_t i = 0; i < ControlServer::kMaxQueued + 100; ++i) {
    server_.send(asked_.at(0).id, large, Weight::needed);
  }
  EXPECT_FALSE(server_.has(asked_[0].id));
}

TEST_F(ControlServerTest, bounds_the_number_of_clients) {
  std::vector<os::UniqueFd> clients;
  for (std::size_t i = 0; i <= ControlServer::kMaxClients; ++i) clients.push_back(connect());
  turn(80);
  EXPECT_EQ(os::receive_message(clients.back(), 10)->kind, os::Received::Kind::closed);
  EXPECT_EQ(os::receive_message(clients.front(), 10)->kind, os::Received::Kind::would_block);
}

TEST_F(ControlServerTest, adopts_a_client_whose_request_is_known) {
  auto pair = os::socket_pair(os::SocketType::seqpacket, os::Blocking::no);
  const auto id = server_.adopt(std::move(pair->second));
  ASSERT_TRUE(id);
  server_.finish(*id, "ready");
  EXPECT_EQ(os::receive_message(pair->first, 10)->bytes, "ready");
}

}  // namespace
}  // namespace segue::keeper
