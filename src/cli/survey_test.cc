// SPDX-License-Identifier: Apache-2.0
#include "cli/survey.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <unistd.h>

namespace segue::cli {
namespace {

using testing::HasSubstr;

const SurveyRow* row(const std::vector<SurveyRow>& rows, std::string_view part) {
  for (const auto& entry : rows) {
    if (entry.what.find(part) != std::string::npos) return &entry;
  }
  return nullptr;
}

TEST(Survey, sockets_are_found_by_inode_with_their_state) {
  std::map<std::uint64_t, SocketState> sockets;
  read_inet_table(
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
      "inode\n"
      "   0: 0100007F:1A0A 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 "
      "101 1 0\n"
      "   1: 0100007F:1A0A 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 "
      "102 1 0\n"
      "   2: 0100007F:1A0A 0100007F:9998 06 00000000:00000000 03:00000000 00000000     0        0 "
      "0 3 0\n",
      false, sockets);
  read_unix_table(
      "Num       RefCount Protocol Flags    Type St Inode Path\n"
      "0000000000000000: 00000002 00000000 00010000 0005 01 201 /run/x\n"
      "0000000000000000: 00000003 00000000 00000000 0001 03 202\n"
      "0000000000000000: 00000003 00000000 00000000 0002 01 203\n",
      sockets);
  EXPECT_EQ(sockets.size(), 5U) << "a socket without a process has no inode";
  EXPECT_EQ(sockets.at(101), SocketState::listening);
  EXPECT_EQ(sockets.at(102), SocketState::connected);
  EXPECT_EQ(sockets.at(201), SocketState::listening);
  EXPECT_EQ(sockets.at(202), SocketState::connected);
  EXPECT_EQ(sockets.at(203), SocketState::datagram);
}

TEST(Survey, nonsense_in_proc_is_skipped) {
  std::map<std::uint64_t, SocketState> sockets;
  read_inet_table("x\n\n a b c d e f g h i j\n", false, sockets);
  read_unix_table("one two\n", sockets);
  EXPECT_TRUE(sockets.empty());
  EXPECT_EQ(count_shared_maps("nonsense\n7f-80 rw-s 0 0:1 5 /data\n7f-80 rw-s 0 0:1 5 /memfd:a\n"
                              "7f-80 r--s 0 0:1 5 /data\n7f-80 rw-p 0 0:1 5 /data\n"),
            1U);
}

ProcessFacts facts() {
  ProcessFacts facts;
  facts.sockets = {{1, SocketState::listening},
                   {2, SocketState::connected},
                   {3, SocketState::connected},
                   {4, SocketState::connected}};
  facts.descriptors = {{0, "/dev/null", false},
                       {5, "socket:[1]", false},
                       {6, "socket:[2]", false},
                       {7, "socket:[3]", false},
                       {8, "socket:[4]", false},
                       {9, "anon_inode:[eventpoll]", false},
                       {10, "anon_inode:[io_uring]", false},
                       {11, "/var/lock", true},
                       {12, "/var/log/x", false}};
  facts.threads = 4;
  facts.children = 2;
  return facts;
}

TEST(Survey, what_is_registered_moves_and_the_rest_is_counted_with_a_reason_and_a_remedy) {
  Registered registered;
  registered.is_known = true;
  registered.connections["clients"] = {6, 7};
  registered.listeners["main"] = 5;
  registered.own = {9};
  const auto rows = judge(facts(), registered);
  ASSERT_NE(row(rows, "class clients"), nullptr);
  EXPECT_EQ(row(rows, "class clients")->count, 2U);
  EXPECT_EQ(row(rows, "connections that are not registered")->count, 1U);
  EXPECT_EQ(row(rows, "listening sockets that"), nullptr);
  EXPECT_EQ(row(rows, "epoll"), nullptr) << "the library's own";
  EXPECT_EQ(row(rows, "io_uring")->fate, Fate::lost);
  EXPECT_EQ(row(rows, "files with locks")->count, 1U);
  EXPECT_EQ(row(rows, "files and devices")->fate, Fate::remade);
  EXPECT_EQ(row(rows, "child processes")->count, 2U);
  for (const auto& entry : rows) {
    EXPECT_FALSE(entry.why.empty()) << entry.what;
    EXPECT_EQ(entry.remedy.empty(), entry.fate != Fate::lost) << entry.what;
  }
  EXPECT_EQ(
      survey_summary(rows),
      "2 connections move; 1 is in a library that does not hand over; 4 of another kind would "
      "be lost");
}

TEST(Survey, without_libsegue_everything_is_lost_that_is_not_made_anew) {
  const auto rows = judge(facts(), {});
  EXPECT_EQ(row(rows, "connections that are not registered")->count, 3U);
  EXPECT_EQ(row(rows, "listening sockets that are not registered")->count, 1U);
  EXPECT_THAT(row(rows, "listening")->remedy, HasSubstr("LISTEN_FDS"));
}

TEST(Survey, of_this_process_finds_what_it_opens) {
  const int epoll = ::epoll_create1(0);
  const auto before = read_process(::getpid());
  ASSERT_TRUE(before) << before.error().to_string();
  const auto rows = judge(*before, {});
  ASSERT_NE(row(rows, "epoll"), nullptr);
  ::close(epoll);
  EXPECT_FALSE(read_process(1 << 30));
}

}  // namespace
}  // namespace segue::cli
