// SPDX-License-Identifier: Apache-2.0
#include "fleet/host.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace segue::fleet {
namespace {

using base::ErrorCode;

ObservedHost observed() {
  ObservedHost host{.generation = 9, .trouble = "no room on /srv"};
  Observation& seen = host.instances[{"chat", Slot::canary}];
  seen = {.revision = 3,
          .staged = 4,
          .order = "r1-2",
          .result = OrderResult::under_way,
          .text = "rehearsal",
          .activity = Activity::handing_off,
          .health = Health::good,
          .health_text = "200",
          .health_since_ms = 1'700'000'000'000,
          .handoff = HandoffFigures{1'000, 0, 700},
          .connections = 17,
          .accepted = 20,
          .crashes = 1};
  host.instances[{"chat", Slot::stable}] = {};
  host.shares["chat"] = {.result = OrderResult::done,
                         .text = "as wanted",
                         .canaries = {{"berlin-1", "r1-2", 12}, {"berlin-2", "r1-3", 0}},
                         .stable = 900,
                         .canary = 100,
                         .stable_open = 90,
                         .canary_open = 12,
                         .restarts = 1};
  return host;
}

DesiredHost desired() {
  DesiredHost host{.fleet = "f1", .epoch = 2, .generation = 12, .stopped = true};
  host.instances[{"chat", Slot::stable}] = {.revision = 3, .order = "r1-1", .renew = true};
  host.instances[{"chat", Slot::canary}] = {
      .revision = 4, .stage = 5, .order = "r1-2", .share_ppm = 100'000, .share_salt = 77};
  host.shares["chat"] = {.socket = "127.0.0.1:9999",
                         .backend = "chat",
                         .map = "/etc/haproxy/users.map",
                         .routed = {"alice", "bob"},
                         .map_value = "canary",
                         .canaries = {{"berlin-1", "c1", "s1", "r1-2", 100'000}}};
  host.specs[{"chat", 3}] = R"({"segue_component":1})";
  host.specs[{"chat", 4}] = R"({"segue_component":1,"x":"\"\n"})";
  return host;
}

TEST(HostDocuments, what_is_written_is_read_as_it_was) {
  const Hello hello{"berlin", {"disk=ssd", "rack=4"}, "1.2", "boot", "incarnation", "f1", true};
  EXPECT_EQ(read_hello(write_hello(hello)).value(), hello);
  EXPECT_EQ(read_observed(write_observed(observed())).value(), observed());
  EXPECT_EQ(read_desired(write_desired(desired())).value(), desired());
}

// Recorded once; versions to come read them.
TEST(HostDocuments, are_written_as_they_always_were) {
  EXPECT_EQ(write_desired({.fleet = "f1", .generation = 3}),
            R"({"epoch":1,"fleet":"f1","generation":3,"instances":[],"segue_desired":1,)"
            R"("specs":[],"stopped":false})");
  ObservedHost host{.generation = 3};
  host.instances[{"chat", Slot::stable}] = {
      .revision = 1, .order = "r1-1", .result = OrderResult::done};
  EXPECT_EQ(write_observed(host),
            R"({"generation":3,"instances":[{"accepted":0,"activity":"idle","component":"chat",)"
            R"("connections":0,"crashes":0,"health":"unknown","health_since_ms":0,)"
            R"("health_text":"","order":"r1-1","result":"done","revision":1,"slot":"stable",)"
            R"("staged":0,"text":""}],"segue_observed":1,"trouble":""})");
}

TEST(HostDocuments, what_a_newer_version_adds_is_passed_over) {
  const auto host = read_observed(
      R"({"segue_observed":2,"generation":3,"moon":"full","instances":[)"
      R"({"component":"chat","slot":"stable","revision":7,"activity":"dancing","mood":1}]})");
  ASSERT_TRUE(host) << host.error().to_string();
  const Observation& seen = host->instances.at({"chat", Slot::stable});
  EXPECT_EQ(seen.revision, 7U);
  EXPECT_EQ(seen.activity, Activity::idle);
  EXPECT_EQ(seen.result, OrderResult::unknown);
}

TEST(HostDocuments, damage_is_an_error) {
  for (const char* text :
       {"", "{}", "[]", R"({"segue_observed":0})", R"({"segue_observed":"1"})",
        R"({"segue_observed":1,"instances":{}})", R"({"segue_observed":1,"instances":[7]})",
        R"({"segue_observed":1,"instances":[{"component":"a","slot":"middle"}]})",
        R"({"segue_observed":1,"instances":[{"component":"","slot":"stable"}]})",
        R"({"segue_observed":1,"instances":[{"component":"a","slot":"stable"},)"
        R"({"component":"a","slot":"stable"}]})",
        R"({"segue_observed":1,"instances":[{"component":"a","slot":"stable","revision":-1}]})"}) {
    const auto host = read_observed(text);
    ASSERT_FALSE(host) << text;
    EXPECT_EQ(host.error().code(), ErrorCode::data_loss) << text;
  }
  EXPECT_FALSE(read_desired(R"({"segue_desired":1,"fleet":"f","epoch":0,"generation":1})"));
  EXPECT_FALSE(
      read_desired(R"({"segue_desired":1,"fleet":"f","epoch":1,"generation":1,"instances":[)"
                   R"({"component":"a","slot":"canary","share_ppm":1000001}]})"));
  EXPECT_FALSE(read_hello(R"({"segue_hello":1,"labels":[1]})"));
  EXPECT_FALSE(read_hello(std::string(kMaxHostDocumentBytes + 1, ' ')));
}

}  // namespace
}  // namespace segue::fleet
