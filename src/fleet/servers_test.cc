// SPDX-License-Identifier: Apache-2.0
#include "fleet/servers.h"

#include <gtest/gtest.h>

namespace segue::fleet {
namespace {

TEST(Servers, are_read_as_they_were_written) {
  const std::vector<std::string> servers{"a.example:7443", "[::1]:7443"};
  EXPECT_EQ(read_servers(write_servers(servers)).value(), servers);
}

TEST(Servers, what_a_newer_version_adds_is_passed_over) {
  EXPECT_TRUE(read_servers(R"({"segue_servers": 1, "agents": ["a:1"], "moon": {}})"));
}

TEST(Servers, none_and_too_many_and_no_addresses_are_refused) {
  EXPECT_FALSE(read_servers(""));
  EXPECT_FALSE(read_servers(write_servers({})));
  EXPECT_FALSE(read_servers(write_servers({"host"})));
  EXPECT_FALSE(read_servers(write_servers({"a:1,b:1"})));
  std::string many = R"("a:1")";
  for (std::size_t i = 0; i < kMaxServers; ++i) many += R"(,"a:1")";
  EXPECT_FALSE(read_servers(R"({"segue_servers": 1, "agents": [)" + many + "]}"));
}

}  // namespace
}  // namespace segue::fleet
