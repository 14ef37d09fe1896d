// SPDX-License-Identifier: Apache-2.0
// Answers are those of HAProxy 2.6.12.
#include "traffic/haproxy_answers.h"

#include <gtest/gtest.h>

namespace segue::traffic {
namespace {

using base::ErrorCode;

constexpr std::string_view kServers =
    "1\n"
    "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight "
    "srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state "
    "srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl "
    "srv_check_port srv_check_addr srv_agent_addr srv_agent_port\n"
    "6 chat 1 s1 127.0.0.1 2 0 100 100 97 1 0 2 0 0 0 0 - 19001 - 0 0 - - 0\n"
    "6 chat 4 d2 127.0.0.1 0 1 1 1 0 1 0 0 2 0 0 0 - 19005 - 0 0 - - 0\n\n";

TEST(HaproxyAnswers, the_process_is_known_by_pid_and_start) {
  const auto process = parse_process(
      "Name: HAProxy\nVersion: 2.6.12-1+deb12u4\nPid: 12237\nUptime: 0d\nStart_time_sec: "
      "1795296855\n\n");
  ASSERT_TRUE(process) << process.error().to_string();
  EXPECT_EQ(process->major, 2U);
  EXPECT_EQ(process->minor, 6U);
  EXPECT_EQ(process->pid, 12'237U);
  EXPECT_EQ(process->start_s, 1'795'296'855U);
  EXPECT_EQ(parse_process("Version: 3.1-dev5\nPid: 1\n")->minor, 1U);
  EXPECT_FALSE(parse_process("Version: 2.6\n"));
  EXPECT_FALSE(parse_process(""));
}

TEST(HaproxyAnswers, servers_are_read_by_the_names_of_columns) {
  const auto servers = parse_servers(kServers);
  ASSERT_TRUE(servers) << servers.error().to_string();
  ASSERT_EQ(servers->size(), 2U);
  EXPECT_EQ(servers->front().name, "s1");
  EXPECT_EQ(servers->front().weight, 100U);
  EXPECT_EQ(servers->front().port, 19'001);
  EXPECT_TRUE(servers->front().is_running);
  EXPECT_FALSE(servers->back().is_running);
  EXPECT_EQ(servers->back().admin_state & kForcedMaintenance, kForcedMaintenance);
}

TEST(HaproxyAnswers, what_is_no_table_is_refused) {
  EXPECT_FALSE(parse_servers(""));
  EXPECT_FALSE(parse_servers("2\n# srv_name\n"));
  EXPECT_FALSE(parse_servers("1\n# srv_name srv_addr\na b\n"));
  std::string damaged(kServers);
  damaged.replace(damaged.find(" 100 100"), 8, " 100 257");
  EXPECT_FALSE(parse_servers(damaged));
  EXPECT_FALSE(parse_figures("Can't find backend.\n"));
  EXPECT_FALSE(parse_figures("# pxname,svname,scur,stot,bck\nchat,s1,x,1,0,\n"));
  EXPECT_FALSE(parse_map("nonsense\n"));
  EXPECT_FALSE(parse_map_version("Unknown map identifier.\n"));
}

TEST(HaproxyAnswers, figures_are_those_of_servers_and_their_backend) {
  const auto figures = parse_figures(
      "# pxname,svname,scur,stot,bck,mode,algo,\n"
      "chat,FRONTEND,9,9,,tcp,,\n"
      "chat,s1,3,1000,0,tcp,,\n"
      "chat,b1,0,7,1,tcp,,\n"
      "chat,BACKEND,3,1000,0,tcp,roundrobin,\n\n");
  ASSERT_TRUE(figures) << figures.error().to_string();
  EXPECT_EQ(figures->servers.size(), 2U);
  EXPECT_EQ(figures->servers.at("s1").sessions, 1'000U);
  EXPECT_EQ(figures->servers.at("s1").current_sessions, 3U);
  EXPECT_TRUE(figures->servers.at("b1").is_backup);
  EXPECT_EQ(figures->algorithm, "roundrobin");
  EXPECT_EQ(figures->mode, "tcp");
}

TEST(HaproxyAnswers, maps_are_keys_and_values) {
  EXPECT_EQ(parse_map("0x7f0db00466d0 x hc\n0x7f0db00467f0 y two words\n\n"),
            (ProxyMap{{"x", "hc"}, {"y", "two words"}}));
  EXPECT_EQ(parse_map("\n"), ProxyMap{});
  EXPECT_EQ(parse_map_version("New version created: 12\n\n"), 12U);
}

TEST(HaproxyAnswers, refusals_say_what_to_do) {
  const auto code = [](std::string_view answer) {
    const auto checked = check_done("set server a/b weight 1", answer);
    return checked ? ErrorCode::internal : checked.error().code();
  };
  EXPECT_EQ(code("Permission denied\n\n"), ErrorCode::permission_denied);
  EXPECT_EQ(code("No such backend.\n\n"), ErrorCode::not_found);
  EXPECT_EQ(code("No such server.\n\n"), ErrorCode::not_found);
  EXPECT_EQ(code("Backend is using a static LB algorithm and only accepts weights '0%' and "
                 "'100%'.\n\n"),
            ErrorCode::failed_precondition);
  EXPECT_EQ(code("something nobody has foreseen\n"), ErrorCode::failed_precondition);
  EXPECT_TRUE(check_done("x", "\n"));
  EXPECT_TRUE(check_done("x", "Server deleted.\n", {"Server deleted"}));
  EXPECT_NE(check_done("x", "Permission denied\n").error().message().find("level admin"),
            std::string::npos);
}

TEST(HaproxyAnswers, words_cannot_become_other_commands) {
  EXPECT_TRUE(check_proxy_word("key", "a-b_c.d/e:f@g=h"));
  for (const char* word : {"", "a b", "a;b", "a\nb", "a\\b", "#1", "a\tb"}) {
    EXPECT_FALSE(check_proxy_word("key", word)) << word;
  }
}

}  // namespace
}  // namespace segue::traffic
