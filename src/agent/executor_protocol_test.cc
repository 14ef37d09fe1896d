// SPDX-License-Identifier: Apache-2.0
#include "agent/executor_protocol.h"

#include <gtest/gtest.h>

#include <string>
#include <variant>

namespace segue::agent {
namespace {

using base::ErrorCode;
using reconcile::InstanceKey;

const InstanceKey kKey{"chat", fleet::Slot::canary};

fleet::ComponentSpec chat() {
  fleet::ComponentSpec spec;
  spec.service = "talk";
  spec.name = "chat";
  spec.release = {.library = "/srv/library", .component = "chat", .version = "1.2"};
  spec.command = {"bin/chat", "--port", "7000"};
  return spec;
}

fleet::ProxyShare proxy_share() {
  return {.socket = "/run/haproxy/admin.sock",
          .backend = "chat",
          .map = "/etc/haproxy/users.map",
          .routed = {"alice"},
          .map_value = "canary",
          .canaries = {{"h1", "h1.canary", "h1", "chat-1.0.1", 100'000}}};
}

template <class T>
T order_again(const T& order) {
  const auto read = read_order(write_order(order));
  EXPECT_TRUE(read) << (read ? "" : read.error().to_string());
  return std::get<T>(*read);
}

template <class T>
T answer_again(const T& answer) {
  const auto read = read_answer(write_answer(answer));
  EXPECT_TRUE(read) << (read ? "" : read.error().to_string());
  return std::get<T>(std::get<reconcile::Event>(*read));
}

TEST(ExecutorProtocol, EveryOrderArrivesAsItWas) {
  const auto known = order_again(Know{"chat", 7, chat()});
  EXPECT_EQ(known.component, "chat");
  EXPECT_EQ(known.revision, 7U);
  EXPECT_EQ(known.spec, chat());
  EXPECT_EQ(order_again(Watch{kKey}).key, kKey);
  EXPECT_EQ(order_again(reconcile::Stage{kKey, 8}).revision, 8U);
  EXPECT_EQ(order_again(reconcile::Restore{kKey, 9}).revision, 9U);
  EXPECT_EQ(order_again(reconcile::CheckHealth{kKey, 10}).revision, 10U);
  const reconcile::Intent intent{"r1/3", reconcile::ActionKind::hand_back, 8, 7, true};
  EXPECT_EQ(order_again(reconcile::Act{kKey, intent}).intent, intent);
  EXPECT_EQ(order_again(reconcile::LookUp{kKey, intent}).intent, intent);
  const auto share = order_again(reconcile::SetShare{kKey, 100'000, 42, 7});
  EXPECT_EQ(share.share_ppm, 100'000U);
  EXPECT_EQ(share.share_salt, 42U);
  EXPECT_EQ(share.revision, 7U);
  const auto logs = order_again(ReadLogs{kKey, 17, "3:5", 100});
  EXPECT_EQ(logs.key, kKey);
  EXPECT_EQ(logs.request, 17U);
  EXPECT_EQ(logs.from, "3:5");
  EXPECT_EQ(logs.lines, 100U);
  EXPECT_EQ(order_again(reconcile::KeepShare{"chat", proxy_share()}).share, proxy_share());
  EXPECT_TRUE(order_again(reconcile::KeepShare{"chat", {}}).share.canaries.empty());
  const base::Error why(ErrorCode::permission_denied, "the token was used");
  const auto up = order_again(GiveUp{why.with("cannot join")});
  EXPECT_EQ(up.why.code(), ErrorCode::permission_denied);
  EXPECT_EQ(up.why.message(), "cannot join: the token was used");
}

TEST(ExecutorProtocol, ALongSpecificationArrivesWhole) {
  auto spec = chat();
  for (int i = 0; i < 200; ++i) {
    spec.environment.push_back("NAME" + std::to_string(i) + "=\xC3\xA4\xC3\xB6" +
                               std::string(100, 'x'));
  }
  EXPECT_EQ(order_again(Know{"chat", 1, spec}).spec, spec);
}

TEST(ExecutorProtocol, EveryAnswerArrivesAsItWas) {
  const reconcile::Seen seen{.key = kKey,
                             .revision = 3,
                             .staged = {2, 3},
                             .activity = fleet::Activity::probation,
                             .health = fleet::Health::bad,
                             .health_text = "refused",
                             .health_since_ms = 1'234'567,
                             .connections = 12,
                             .accepted = 13,
                             .crashes = 1};
  const auto again = answer_again(seen);
  EXPECT_EQ(again.key, kKey);
  EXPECT_EQ(again.staged, seen.staged);
  EXPECT_EQ(again.activity, seen.activity);
  EXPECT_EQ(again.health, seen.health);
  EXPECT_EQ(again.health_text, seen.health_text);
  EXPECT_EQ(again.health_since_ms, seen.health_since_ms);
  EXPECT_EQ(again.connections, seen.connections);
  EXPECT_EQ(again.accepted, seen.accepted);
  EXPECT_EQ(again.crashes, seen.crashes);
  EXPECT_FALSE(answer_again(reconcile::Seen{.key = kKey}).connections);
  EXPECT_EQ(answer_again(reconcile::StageEnded{kKey, 4, false, "no space"}).text, "no space");
  const auto ended = answer_again(reconcile::ActionEnded{
      kKey, "r1/3", fleet::OrderResult::undone, "took it back", fleet::HandoffFigures{5, 0, 120}});
  EXPECT_EQ(ended.result, fleet::OrderResult::undone);
  EXPECT_EQ(ended.handoff->blackout_us, 120U);
  EXPECT_EQ(
      answer_again(reconcile::LookedUp{kKey, "r1/3", fleet::OrderResult::none, "", {}, 6}).revision,
      6U);
  EXPECT_EQ(answer_again(reconcile::ShareEnded{kKey, 5, false, "no listener"}).share_ppm, 5U);
  const fleet::SeenShare share{.result = fleet::OrderResult::done,
                               .text = "weighs 10",
                               .canaries = {{"h1", "chat-1.0.1", 3}},
                               .stable = 9,
                               .canary = 1,
                               .stable_open = 4,
                               .canary_open = 3,
                               .restarts = 2};
  EXPECT_EQ(answer_again(reconcile::ShareKept{"chat", share}).seen, share);
}

TEST(ExecutorProtocol, LogsArriveWholeHoweverLong) {
  const std::string document(300'000, 'x');
  const auto read = read_answer(write_answer(LogsRead{17, document}));
  ASSERT_TRUE(read) << read.error().to_string();
  EXPECT_EQ(std::get<LogsRead>(*read).request, 17U);
  EXPECT_EQ(std::get<LogsRead>(*read).document, document);
}

TEST(ExecutorProtocol, LongTextsAreCut) {
  const auto ended =
      answer_again(reconcile::StageEnded{kKey, 4, false, std::string(9'000, '\xFF')});
  EXPECT_FALSE(ended.text.empty());
}

TEST(ExecutorProtocol, WhatIsNoInstanceNeverBecomesAPath) {
  for (const char* name : {"", "..", "../chat", "a/b", "chat\n"}) {
    const auto read = read_order(write_order(Watch{{name, fleet::Slot::stable}}));
    ASSERT_FALSE(read) << name;
    EXPECT_EQ(read.error().code(), ErrorCode::data_loss);
    EXPECT_FALSE(read_order(write_order(ReadLogs{{name, fleet::Slot::stable}, 1, "", 1})));
  }
  auto other = chat();
  other.name = "gate";
  EXPECT_FALSE(read_order(write_order(Know{"chat", 1, other})));
}

TEST(ExecutorProtocol, WhatIsNoWordIsNeverSaidToAProxy) {
  auto share = proxy_share();
  share.canaries.front().server = "h1\nshutdown frontend web";
  const auto read = read_order(write_order(reconcile::KeepShare{"chat", share}));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code(), ErrorCode::data_loss);
  EXPECT_FALSE(read_order(write_order(reconcile::KeepShare{"../chat", proxy_share()})));
  share = proxy_share();
  share.canaries.resize(fleet::ProxyShare::kMaxCanaries + 1, share.canaries.front());
  EXPECT_FALSE(read_order(write_order(reconcile::KeepShare{"chat", share})));
}

TEST(ExecutorProtocol, NothingElseIsAnOrder) {
  for (const char* message :
       {"", "{}", "[]", R"({"kind":"run","key":{"component":"a","slot":"stable"}})",
        R"({"kind":"seen","key":{"component":"a","slot":"stable"}})",
        R"({"kind":"watch","key":{"component":"a","slot":"third"}})",
        R"({"kind":"watch","key":{"component":"a","slot":"stable"},"command":"/bin/sh"})"}) {
    EXPECT_FALSE(read_order(message)) << message;
  }
}

}  // namespace
}  // namespace segue::agent
