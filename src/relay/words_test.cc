// SPDX-License-Identifier: Apache-2.0
// What others say to a relay: URLs, members, header fields, states, and what it makes of hosts.
#include <gtest/gtest.h>

#include "relay/fields.h"
#include "relay/hosts.h"
#include "relay/source_url.h"
#include "relay/state.h"

namespace segue::relay {
namespace {

using std::chrono::seconds;

TEST(SourceUrl, is_read_with_and_without_port_and_path) {
  EXPECT_EQ(*parse_source_url("http://origin:8080/lib/x/"),
            (SourceUrl{.host = "origin", .port = 8080, .path = "/lib/x"}));
  EXPECT_EQ(*parse_source_url("http://10.0.0.1"), (SourceUrl{.host = "10.0.0.1", .port = 80}));
  const auto v6 = *parse_source_url("http://[::1]:7411");
  EXPECT_EQ(v6.host, "::1");
  EXPECT_EQ(v6.authority(), "[::1]:7411");
}

TEST(SourceUrl, is_refused_when_it_is_something_else) {
  for (const char* wrong : {"", "origin", "https://origin", "http://", "http://:80", "http://a:0",
                            "http://a:99999", "http://a:b", "http://u@h", "http://a/x?y",
                            "http://a b", "http://[::1", "http://a\r\nX: y"}) {
    EXPECT_FALSE(parse_source_url(wrong)) << wrong;
  }
}

TEST(Members, stand_in_the_order_of_their_names) {
  const auto members = parse_members({"h2=http://b:1", "h1=http://a:1"});
  ASSERT_TRUE(members);
  EXPECT_EQ(members->front().name, "h1");
  EXPECT_FALSE(parse_members({"h1=http://a:1", "h1=http://b:1"}));
  EXPECT_FALSE(parse_members({"h1"}));
  EXPECT_FALSE(parse_members({"h 1=http://a:1"}));
  EXPECT_FALSE(parse_members(std::vector<std::string>(kMaxMembers + 1, "h1=http://a:1")));
}

TEST(ContentRange, is_read_strictly) {
  const auto range = parse_content_range("bytes 5-9/10");
  ASSERT_TRUE(range);
  EXPECT_EQ(range->first_byte, 5U);
  EXPECT_EQ(range->total_bytes, 10U);
  EXPECT_EQ(parse_content_range("bytes */7")->total_bytes, 7U);
  EXPECT_FALSE(parse_content_range("bytes 0-4/*")->total_bytes);
  for (const char* wrong : {"", "bytes", "bytes 5-4/10", "bytes 5-10/10", "bytes -5/10",
                            "bytes 5/10", "items 0-1/2", "bytes 0-1/-2", "bytes 0-1"}) {
    EXPECT_FALSE(parse_content_range(wrong)) << wrong;
  }
}

RequestHeader request_with(std::initializer_list<std::pair<const char*, std::string>> fields) {
  RequestHeader request;
  for (const auto& [name, value] : fields) request.set(name, value);
  return request;
}

TEST(Asker, says_who_it_is_and_what_it_needs) {
  const Asker asker = asker_of(request_with({{kGoLiveField, "1790000000"},
                                             {kHostField, "h7"},
                                             {kTaskField, "chat 1.4.2"},
                                             {kLeftField, "4096"},
                                             {kRelayField, "berlin/h2"},
                                             {kOnlyKeptField, "1"},
                                             {"Cache-Control", "no-cache"}}));
  EXPECT_EQ(asker.go_live, 1'790'000'000);
  EXPECT_EQ(asker.host, "h7");
  EXPECT_EQ(asker.task, "chat 1.4.2");
  EXPECT_EQ(asker.left_bytes, 4096U);
  EXPECT_EQ(asker.relay_site, "berlin");
  EXPECT_EQ(asker.relay_name, "h2");
  EXPECT_TRUE(asker.wants_only_kept);
  EXPECT_TRUE(asker.wants_fresh);
}

TEST(Asker, says_nothing_with_what_is_wrong) {
  const Asker asker = asker_of(request_with({{kGoLiveField, "99999999999999"},
                                             {kHostField, "a host"},
                                             {kTaskField, std::string(kMaxTaskBytes + 1, 'x')},
                                             {kLeftField, "-1"},
                                             {kRelayField, "berlin"},
                                             {kOnlyKeptField, "yes"}}));
  EXPECT_EQ(asker.go_live, std::nullopt);
  EXPECT_EQ(asker.host, "");
  EXPECT_EQ(asker.task, "");
  EXPECT_EQ(asker.left_bytes, std::nullopt);
  EXPECT_EQ(asker.relay_site, "");
  EXPECT_FALSE(asker.wants_only_kept);
}

RelayState some_state() {
  RelayState state{.site = "berlin", .name = "h1", .leader = "h1", .leads = true, .is_busy = true};
  state.cache_bytes = 5;
  state.cache_max_bytes = 10;
  state.line = {.limit_bytes_per_second = 125'000,
                .bytes_per_second = 12.5,
                .bytes_today = 7,
                .bytes_total = 9};
  state.members = {
      {.name = "h1", .url = "http://a:1", .is_alive = true, .seen_s_ago = 0.5, .line = state.line},
      {.name = "h2", .url = "http://b:1", .is_trusted = false}};
  state.transfers = {{.object = std::string(64, 'a'),
                      .bytes = 3,
                      .total_bytes = 4,
                      .go_live = 1'790'000'000,
                      .source = "origin",
                      .waiters = 2}};
  state.hosts = {{.host = "x",
                  .task = "chat 2",
                  .relay = "h1",
                  .left_bytes = 8,
                  .bytes_per_second = 2,
                  .bytes = 1,
                  .eta_s = 4}};
  state.site_hosts = state.hosts;
  return state;
}

TEST(RelayState, comes_back_as_it_was_written) {
  const auto read = read_state(write_state(some_state()));
  ASSERT_TRUE(read) << read.error().to_string();
  EXPECT_EQ(*read, some_state());
}

TEST(RelayState, of_a_liar_is_refused_or_harmless) {
  EXPECT_FALSE(read_state(""));
  EXPECT_FALSE(read_state("[]"));
  EXPECT_FALSE(read_state(std::string(kMaxStateBytes + 1, ' ')));
  std::string many = R"({"transfers":[)";
  for (int i = 0; i < 2'000; ++i) many += "{},";
  EXPECT_FALSE(read_state(many + "{}]}"));
  const auto odd = read_state(R"({"site":7,"leads":"yes","line":[],"members":{},
      "transfers":[1,{"bytes":-1,"go_live":99999999999999}],"hosts":null})");
  ASSERT_TRUE(odd) << odd.error().to_string();
  EXPECT_FALSE(odd->leads);
  ASSERT_EQ(odd->transfers.size(), 1U);
  EXPECT_EQ(odd->transfers[0].go_live, std::nullopt);
}

// A relay passes on what members say of their hosts: that may not make its own state too long.
TEST(RelayState, of_hosts_is_never_longer_than_others_read) {
  RelayState liar = some_state();
  liar.hosts = {{.host = std::string(1'000, '\x7f'), .task = "chat 2"},
                {.host = "a b", .task = "chat 2"},
                {.host = "c", .task = std::string(1'000, 'd'), .relay = std::string(1'000, 'e')},
                {.host = "f", .task = std::string(kMaxTaskBytes, '\x7f')},
                {.host = std::string(kMaxHostBytes, 'g'), .task = std::string(kMaxTaskBytes, '"')}};
  const auto read = read_state(write_state(liar));
  ASSERT_TRUE(read) << read.error().to_string();
  ASSERT_EQ(read->hosts.size(), 3U);
  EXPECT_EQ(read->hosts[0].task + read->hosts[0].relay + read->hosts[1].task, "");
  RelayState full = some_state();
  full.hosts.assign(kMaxHosts, read->hosts[2]);
  full.site_hosts = full.hosts;
  full.transfers.assign(kMaxTransfers, full.transfers[0]);
  full.members.assign(kMaxMembers, full.members[0]);
  EXPECT_TRUE(read_state(write_state(full)));
}

TEST(Hosts, know_how_far_each_is_and_when_it_will_be_done) {
  Hosts hosts;
  base::MonotonicTime now{};
  Asker asker;
  asker.host = "h1";
  asker.task = "chat 2";
  asker.left_bytes = 1'000;
  const auto key = hosts.asked(asker, now);
  EXPECT_EQ(hosts.states("r")[0].eta_s, std::nullopt);
  for (int second = 0; second < 4; ++second) {
    hosts.got(key, 100, now);
    hosts.tick(now += seconds(1));
  }
  const HostState state = hosts.states("r").at(0);
  EXPECT_EQ(state.left_bytes, 600U);
  EXPECT_EQ(state.bytes, 400U);
  EXPECT_EQ(state.eta_s, 6U);
  hosts.tick(now + Hosts::kForget + seconds(1));
  EXPECT_TRUE(hosts.states("r").empty());
}

TEST(Hosts, are_no_more_than_so_many_and_have_names) {
  Hosts hosts;
  Asker asker;
  hosts.asked(asker, {});
  EXPECT_TRUE(hosts.states("r").empty());
  for (std::size_t i = 0; i < kMaxHosts + 10; ++i) {
    asker.host = "h" + std::to_string(i);
    hosts.asked(asker, {});
  }
  EXPECT_EQ(hosts.states("r").size(), kMaxHosts);
}

}  // namespace
}  // namespace segue::relay
