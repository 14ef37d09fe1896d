// SPDX-License-Identifier: Apache-2.0
#include "traffic/haproxy_decider.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <sstream>

#include "traffic/haproxy_weights.h"

namespace segue::traffic {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

ProxyServer server(const std::string& name, std::uint32_t weight) {
  ProxyServer one;
  one.name = name;
  one.address = "127.0.0.1";
  one.port = 80;
  one.weight = one.configured_weight = weight;
  one.is_running = true;
  return one;
}

ProxySeen seen(std::vector<ProxyServer> servers) {
  ProxySeen result;
  result.process.major = 2;
  result.process.minor = 6;
  result.servers = std::move(servers);
  return result;
}

std::vector<std::string> words(const ProxyDecision& decision) {
  std::vector<std::string> texts;
  for (const auto& order : decision.orders) {
    const auto* command = std::get_if<ProxyCommand>(&order);
    texts.push_back(command == nullptr ? "map " + std::get<ReplaceMap>(order).file : command->text);
  }
  return texts;
}

TEST(HaproxyDecider, gives_the_canary_its_share_and_then_is_content) {
  const ProxyWanted wanted{"chat", 500'000, {{.name = "c", .is_canary = true}}, {}};
  ProxySeen now = seen({server("s", 100), server("c", 0)});
  EXPECT_THAT(words(decide(wanted, now)),
              ElementsAre("set server chat/s weight 256", "set server chat/c weight 256"));
  now.servers[0].weight = now.servers[1].weight = 256;
  EXPECT_THAT(decide(wanted, now).orders, IsEmpty());
  EXPECT_DOUBLE_EQ(decide(wanted, now).share, 0.5);
}

TEST(HaproxyDecider, puts_back_what_a_reload_has_lost) {
  const ProxyWanted wanted{"chat", 0, {{.name = "c", .is_canary = true}}, {{"/m", {{"a", "b"}}}}};
  ProxySeen now = seen({server("s", 100), server("c", 100)});  // as it is configured
  EXPECT_THAT(words(decide(wanted, now)), ElementsAre("set server chat/c weight 0", "map /m"));
}

TEST(HaproxyDecider, awaits_canaries_that_are_down_without_a_share_for_the_others) {
  ProxyWanted wanted{
      "chat", 500'000, {{.name = "c", .is_canary = true}, {.name = "d", .is_canary = true}}, {}};
  wanted.awaits_canaries = true;
  ProxySeen now = seen({server("s", 100), server("t", 100), server("c", 0), server("d", 0)});
  now.servers[3].is_running = false;
  EXPECT_DOUBLE_EQ(decide(wanted, now).share, 0.5) << "once both are up";
  now.servers[2].is_running = false;
  wanted.share_ppm = kWholePpm;
  const auto decision = decide(wanted, now);
  EXPECT_THAT(decision.orders, IsEmpty()) << "stable ones serve on";
  EXPECT_THAT(decision.problems, ElementsAre(HasSubstr("cannot be had")));
}

TEST(HaproxyDecider, lowers_before_it_raises) {
  const ProxyWanted wanted{"chat", 0, {{.name = "c", .is_canary = true}}, {}};
  ProxySeen now = seen({server("s", 100), server("c", 0)});
  now.servers[0].weight = 1;
  now.servers[1].weight = 256;
  EXPECT_THAT(words(decide(wanted, now)),
              ElementsAre("set server chat/c weight 0", "set server chat/s weight 100"));
}

TEST(HaproxyDecider, adds_a_server_that_gets_nothing_before_it_is_weighed) {
  const ProxyWanted wanted{
      "chat",
      100'000,
      {{.name = "c", .is_canary = true, .address = "10.0.0.7", .port = 81, .is_checked = true}},
      {}};
  EXPECT_THAT(words(decide(wanted, seen({server("s", 100)}))),
              ElementsAre("add server chat/c 10.0.0.7:81 weight 0 check", "enable health chat/c",
                          "enable server chat/c"));
  ProxySeen old = seen({server("s", 100)});
  old.process.minor = 3;
  old.process.version = "2.3.1";
  const auto decision = decide(wanted, old);
  EXPECT_THAT(decision.orders, IsEmpty());
  EXPECT_THAT(decision.problems, Contains(HasSubstr("2.4 or later")));
}

TEST(HaproxyDecider, a_server_goes_when_nobody_needs_it_any_more) {
  const ProxyWanted wanted{
      "chat", 0, {{.name = "c", .is_canary = true, .duty = ServerDuty::leave}}, {}};
  ProxySeen now = seen({server("s", 100), server("c", 0)});
  now.servers[1].current_sessions = 2;
  auto decision = decide(wanted, now);
  EXPECT_THAT(words(decision), ElementsAre("set server chat/c state drain"));
  EXPECT_THAT(decision.problems, Contains(HasSubstr("2 sessions")));
  now.servers[1].current_sessions = 0;
  now.servers[1].admin_state = kForcedDrain;
  EXPECT_THAT(words(decide(wanted, now)),
              ElementsAre("set server chat/c state maint", "del server chat/c"));
  now.servers.pop_back();
  EXPECT_THAT(decide(wanted, now).orders, IsEmpty());
}

TEST(HaproxyDecider, drains_and_takes_back) {
  ProxyWanted wanted{"chat", 0, {{.name = "c", .duty = ServerDuty::drain}}, {}};
  ProxySeen now = seen({server("s", 100), server("c", 100)});
  EXPECT_THAT(words(decide(wanted, now)), ElementsAre("set server chat/c state drain"));
  now.servers[1].admin_state = kForcedDrain;
  EXPECT_THAT(decide(wanted, now).orders, IsEmpty());
  wanted.servers[0].duty = ServerDuty::serve;
  EXPECT_THAT(words(decide(wanted, now)), ElementsAre("set server chat/c state ready"));
}

TEST(HaproxyDecider, says_what_cannot_be_had) {
  const ProxyWanted wanted{"chat", 100'000, {{.name = "c", .is_canary = true}}, {}};
  EXPECT_THAT(decide(wanted, seen({server("s", 100)})).problems,
              Contains(HasSubstr("no server c")));
  ProxySeen now = seen({server("s", 100), server("c", 0)});
  now.servers[1].is_running = false;
  EXPECT_THAT(decide(wanted, now).problems, Contains(HasSubstr("10% cannot be had")));
}

TEST(HaproxyDecider, refuses_words_that_would_be_other_commands) {
  EXPECT_FALSE(check_wanted({"chat;shutdown", 0, {}, {}}));
  EXPECT_FALSE(check_wanted({"chat", 0, {{.name = "a b"}}, {}}));
  EXPECT_FALSE(check_wanted({"chat", 0, {{.name = "a"}, {.name = "a"}}, {}}));
  EXPECT_FALSE(check_wanted({"chat", 0, {}, {{"/m", {{"key\nwith", "line"}}}}}));
  EXPECT_TRUE(check_wanted({"chat", 0, {{.name = "a"}}, {{"/m", {{"k", "v"}}}}}));
}

// Does what HAProxy does with such commands.
class Model {
 public:
  explicit Model(ProxySeen start) : now_(std::move(start)) {}
  [[nodiscard]] const ProxySeen& seen() const { return now_; }

  void carry_out(const ProxyOrder& order) {
    if (const auto* map = std::get_if<ReplaceMap>(&order)) {
      now_.maps[map->file] = map->entries;
      return;
    }
    std::istringstream line(std::get<ProxyCommand>(order).text);
    std::vector<std::string> said{std::istream_iterator<std::string>(line), {}};
    const std::string name = said.at(2).substr(said.at(2).find('/') + 1);
    if (said[0] == "add") {
      ProxyServer one = server(name, 0);
      one.admin_state = kForcedMaintenance;
      const std::string& address = said.at(3);
      one.address = address.substr(0, address.rfind(':'));
      one.port = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
      now_.servers.push_back(one);
      return;
    }
    ProxyServer* one = find(name);
    ASSERT_NE(one, nullptr) << line.str();
    if (said[0] == "del") {
      ASSERT_NE(one->admin_state & kForcedMaintenance, 0U);
      ASSERT_EQ(one->current_sessions, 0U);
      std::erase_if(now_.servers, [&](const ProxyServer& other) { return other.name == name; });
    } else if (said[0] == "enable") {
      if (said[1] == "server") one->admin_state &= ~kForcedMaintenance;
    } else if (said.at(3) == "weight") {
      one->weight = static_cast<std::uint32_t>(std::stoul(said.at(4)));
      ASSERT_LE(one->weight, kMaxProxyWeight);
    } else if (said.at(3) == "state") {
      one->admin_state = said.at(4) == "ready"   ? 0
                         : said.at(4) == "drain" ? kForcedDrain
                                                 : kForcedMaintenance;
    } else if (said.at(3) == "addr") {
      one->address = said.at(4);
      one->port = static_cast<std::uint16_t>(std::stoi(said.at(6)));
    } else {
      FAIL() << line.str();
    }
  }

 private:
  ProxyServer* find(const std::string& name) {
    for (auto& one : now_.servers) {
      if (one.name == name) return &one;
    }
    return nullptr;
  }
  ProxySeen now_;
};

TEST(HaproxyDecider, from_whatever_it_finds_it_comes_to_rest) {
  for (std::uint32_t seed = 0; seed < 300; ++seed) {
    std::mt19937 generator(seed);
    const auto number = [&](std::uint32_t below) {
      return static_cast<std::uint32_t>(generator() % below);
    };
    ProxyWanted wanted{"chat", number(kWholePpm + 1), {}, {}};
    ProxySeen start = seen({});
    for (std::uint32_t i = 0, count = 1 + number(6); i < count; ++i) {
      ProxyServer one = server(fmt::format("n{}", i), number(257));
      one.weight = number(257);
      one.admin_state = number(3) == 0 ? kForcedDrain : number(4) == 0 ? kForcedMaintenance : 0;
      one.is_running = number(6) != 0;
      one.current_sessions = number(2);
      start.servers.push_back(one);
    }
    for (std::uint32_t i = 0, count = number(8); i < count; ++i) {
      if (number(2) == 0) continue;
      wanted.servers.push_back({.name = fmt::format("n{}", i),
                                .is_canary = number(2) == 0,
                                .duty = static_cast<ServerDuty>(number(4)),
                                .address = number(2) == 0 ? "127.0.0.1" : "",
                                .port = 80});
    }
    if (number(2) == 0) wanted.maps["/m"] = {{"k", fmt::to_string(number(2))}};
    if (number(2) == 0) start.maps["/m"] = {{"k", fmt::to_string(number(2))}};
    ASSERT_TRUE(check_wanted(wanted));
    Model model(start);
    int rounds = 0;
    for (auto decision = decide(wanted, model.seen()); !decision.orders.empty();
         decision = decide(wanted, model.seen())) {
      ASSERT_LT(++rounds, 5) << seed << ": " << testing::PrintToString(words(decision));
      for (const auto& order : decision.orders) model.carry_out(order);
      ASSERT_FALSE(HasFatalFailure()) << seed;
    }
  }
}

}  // namespace
}  // namespace segue::traffic
