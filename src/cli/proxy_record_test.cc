// SPDX-License-Identifier: Apache-2.0
#include "cli/proxy_record.h"

#include <gtest/gtest.h>

namespace segue::cli {
namespace {

ProxyRecord record() {
  ProxyRecord one;
  one.socket = "/run/haproxy/admin.sock";
  one.wanted = {"chat",
                100'000,
                {{"c", true, traffic::ServerDuty::leave, "10.0.0.1", 80, true}},
                {{"/m", {{"bob", "canary"}}}}};
  one.set_at = "2026-01-31 12:00:00Z";
  one.meter.process = traffic::ProxyProcess{2, 6, "2.6.12", 7, 9};
  one.meter.last = {{"c", 12}};
  one.meter.moved.canary = 5;
  return one;
}

TEST(ProxyRecord, comes_back_as_it_was_written) {
  const std::string text = to_json(record());
  const auto read = parse_proxy_record(text);
  ASSERT_TRUE(read) << read.error().to_string();
  EXPECT_EQ(to_json(*read), text);
  EXPECT_EQ(read->wanted.servers, record().wanted.servers);
  EXPECT_EQ(read->wanted.maps, record().wanted.maps);
  ASSERT_TRUE(read->meter.process);
  EXPECT_TRUE(read->meter.process->is_same_as(*record().meter.process));
  EXPECT_EQ(read->meter.moved, record().meter.moved);
}

TEST(ProxyRecord, damage_is_said) {
  const std::string whole = to_json(record());
  for (std::size_t size = 0; size + 2 < whole.size(); ++size) {
    EXPECT_FALSE(parse_proxy_record(whole.substr(0, size))) << size;
  }
  for (const char* text : {"7", "{}", "{\"version\":1}", "[]"}) {
    EXPECT_FALSE(parse_proxy_record(text)) << text;
  }
}

}  // namespace
}  // namespace segue::cli
