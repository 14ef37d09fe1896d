// SPDX-License-Identifier: Apache-2.0
#include "container/meeting.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "handoff/keeper_descriptors.h"
#include "os/temp_directory.h"
#include "os/unix_socket.h"

namespace segue::container {
namespace {

constexpr pid_t kNobody = 2'000'000'000;

class Meetings : public testing::Test {
 protected:
  Meetings() {
    auto channel = os::socket_pair(os::SocketType::seqpacket, os::Blocking::no).value();
    auto lock = os::socket_pair(os::SocketType::seqpacket, os::Blocking::no).value();
    inheritance_ = {std::move(channel.second), std::move(lock.second)};
    keeper_ = std::move(channel.first);
  }
  [[nodiscard]] os::UniqueFd come() const {
    return os::connect_unix(place_.meeting_folder() + "/keeper.sock", os::SocketType::seqpacket,
                            os::Blocking::no)
        .value();
  }
  [[nodiscard]] bool is_marked() const {
    return std::filesystem::exists(place_.meeting_folder() + "/given");
  }

  os::TempDirectory directory_;
  Place place_{.component = "kv", .generation = 2, .folder = directory_.path() + "/kv"};
  Inheritance inheritance_;
  os::UniqueFd keeper_;
};

TEST_F(Meetings, give_everything_to_the_container_and_keep_nothing_of_it) {
  auto meeting = Meeting::open(place_);
  ASSERT_TRUE(meeting) << meeting.error().to_string();
  EXPECT_EQ(meeting->receive(::getpid(), inheritance_).value(), Meeting::Came::nobody);
  os::UniqueFd visitor = come();
  EXPECT_EQ(meeting->receive(::getpid(), inheritance_).value(), Meeting::Came::instance);
  EXPECT_TRUE(is_marked());
  EXPECT_FALSE(inheritance_.channel || inheritance_.lock);
  handoff::Link link(handoff::UniqueFd(visitor.release()));
  handoff::Message message;
  ASSERT_EQ(link.receive(message), handoff::Link::Got::message) << link.error();
  handoff::KeeperDescriptors taken;
  ASSERT_TRUE(handoff::read_keeper_channel(message, taken).ok());
  EXPECT_TRUE(taken.channel.valid() && taken.lock.valid());
  taken.channel.reset();
  EXPECT_EQ(os::receive_message(keeper_, 100).value().kind, os::Received::Kind::closed)
      << "the instance alone held it";
  meeting->close();
  EXPECT_FALSE(std::filesystem::exists(place_.meeting_folder()));
}

TEST_F(Meetings, send_strangers_away_and_wait_on) {
  auto meeting = Meeting::open(place_);
  ASSERT_TRUE(meeting) << meeting.error().to_string();
  const os::UniqueFd visitor = come();
  EXPECT_EQ(meeting->receive(kNobody, inheritance_).value(), Meeting::Came::stranger);
  EXPECT_FALSE(is_marked());
  EXPECT_TRUE(inheritance_.channel && inheritance_.lock);
  EXPECT_EQ(os::receive_message(visitor, 100).value().kind, os::Received::Kind::closed);
}

TEST_F(Meetings, can_be_opened_again_where_an_earlier_one_was_left) {
  {
    ASSERT_TRUE(Meeting::open(place_));
  }
  EXPECT_TRUE(Meeting::open(place_));
}

}  // namespace
}  // namespace segue::container
