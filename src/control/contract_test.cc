// SPDX-License-Identifier: Apache-2.0
#include "control/contract.h"

#include <gtest/gtest.h>

#include <csignal>

#include "control/options.h"

namespace segue::control {
namespace {

TEST(Contract, listening_sockets_are_read_and_written_alike) {
  for (const std::string text :
       {"web=tcp:127.0.0.1:8080", "web=tcp:[::1]:80", "dns=udp:0.0.0.0:53",
        "web=tcp:127.0.0.1:80,group", "web=tcp:[::]:80,group", "a.b=unix:/run/x.sock"}) {
    const auto listen = parse_listen(text);
    ASSERT_TRUE(listen) << listen.error().message();
    EXPECT_EQ(to_string(*listen), text);
  }
}

TEST(Contract, malformed_listening_sockets_are_refused) {
  for (const std::string text :
       {"", "web", "=tcp:127.0.0.1:1", "we:b=tcp:127.0.0.1:1", "web=tcp:example.org:80",
        "web=tcp:127.0.0.1:0", "web=tcp:127.0.0.1:65536", "web=sctp:127.0.0.1:1", "web=unix:x",
        "web=unix:", "web=tcp:", "we b=tcp:127.0.0.1:1", "web=tcp:127.0.0.1:1,groups",
        "web=tcp:,group", "web=udp:127.0.0.1:1,group"}) {
    EXPECT_FALSE(parse_listen(text)) << text;
  }
  EXPECT_FALSE(parse_listen("web=unix:/" + std::string(107, 'x')));
}

TEST(Contract, signals_have_names_and_numbers) {
  EXPECT_EQ(parse_signal("USR2").value_or(0), SIGUSR2);
  EXPECT_EQ(parse_signal("SIGWINCH").value_or(0), SIGWINCH);
  EXPECT_EQ(parse_signal("15").value_or(0), SIGTERM);
  EXPECT_FALSE(parse_signal("SIGSEGUE"));
  EXPECT_FALSE(parse_signal("0"));
  EXPECT_FALSE(parse_signal(""));
}

TEST(Contract, options_survive_the_way_to_the_keeper) {
  ContractOptions options;
  options.upgrade = "signal";
  options.upgrade_signal = "USR2";
  options.new_pid = "/run/nginx.pid";
  options.drain_ms = 0;
  options.reconnect_per_second = 7;
  options.nonblocking = true;
  options.listen = {*parse_listen("web=tcp:[::1]:80"), *parse_listen("api=tcp:[::1]:81,group")};
  Request request{"run", {}, {"/bin/true"}};
  append_options(request, options);
  const auto parsed = parse_options(request);
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(parsed->contract, options);
}

std::string problem_of(const ContractOptions& options) {
  const auto fine = check_contract(options);
  return fine ? "" : fine.error().message();
}

TEST(Contract, what_does_not_fit_together_is_refused_with_the_remedy) {
  ContractOptions options;
  EXPECT_EQ(problem_of(options), "");
  options.listen = {*parse_listen("web=tcp:127.0.0.1:80")};
  EXPECT_EQ(problem_of(options), "") << "the keeper binds it, libsegue asks for it by name";
  options.listen.front().name = "the web";
  EXPECT_NE(problem_of(options).find("no name of a listener of libsegue"), std::string::npos);
  options.listen.front().name = "web";
  options.upgrade = "listeners";
  EXPECT_EQ(problem_of(options), "");
  options.listen.push_back(options.listen.front());
  EXPECT_NE(problem_of(options).find("two sockets 'web'"), std::string::npos);
  options.listen.clear();
  EXPECT_NE(problem_of(options).find("--listen"), std::string::npos);
  options.upgrade = "signal";
  EXPECT_NE(problem_of(options).find("--upgrade-signal"), std::string::npos);
  options.upgrade = "listener";
  EXPECT_NE(problem_of(options).find("none of auto, libsegue"), std::string::npos);
}

}  // namespace
}  // namespace segue::control
