// SPDX-License-Identifier: Apache-2.0
#include "dns_message.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace dns {
namespace {

using namespace std::string_literals;

const Zone kZone = {{"a.test", {{kTypeA, "\x7f\0\0\x01"s}, {kTypeTxt, "hello"}}},
                    {"many.test", std::vector<Record>(9, {kTypeTxt, std::string(100, 'x')})}};

std::string ask(const std::string& query, const Zone& zone = kZone) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(query.data());
  const auto response = answer({bytes, query.size()}, zone);
  return {response.begin(), response.end()};
}

std::string question(const std::string& labels, char type) {
  return labels + "\0\0"s + type + "\0\1"s;
}

const std::string kHeader = "ID\x01\0\0\1\0\0\0\0\0\0"s;
const std::string kName = "\1A\4tEsT"s;

TEST(DnsAnswer, gives_the_records_of_the_type_whatever_the_case) {
  EXPECT_EQ(ask(kHeader + question(kName, 1)), "ID\x85\0\0\1\0\1\0\0\0\0"s + question(kName, 1) +
                                                   "\xC0\x0C\0\1\0\1\0\0\0\1\0\4\x7f\0\0\1"s);
  EXPECT_EQ(ask(kHeader + question(kName, 16)), "ID\x85\0\0\1\0\1\0\0\0\0"s + question(kName, 16) +
                                                    "\xC0\x0C\0\x10\0\1\0\0\0\1\0\6\5hello"s);
  EXPECT_EQ(ask(kHeader + question(kName, 28)), "ID\x85\0\0\1\0\0\0\0\0\0"s + question(kName, 28));
}

TEST(DnsAnswer, tells_of_truncation_when_not_all_fits) {
  const std::string response = ask(kHeader + question("\4many\4test", 16));
  EXPECT_LE(response.size(), kMaxMessageBytes);
  EXPECT_EQ(response[2], '\x87');
  EXPECT_EQ(response[7], 4);
}

TEST(DnsAnswer, gives_the_code_of_what_is_wrong) {
  const auto code = [](const std::string& query) { return ask(query)[3]; };
  EXPECT_EQ(code(kHeader + question("\1b\4test", 1)), 3);
  EXPECT_EQ(code(kHeader + kName + "\0\0\1\0\3"s), 5);                 // another class
  EXPECT_EQ(code("ID\x10\0\0\1\0\0\0\0\0\0"s), 4);                     // another operation
  EXPECT_EQ(code("ID\0\0\0\2\0\0\0\0\0\0"s + question(kName, 1)), 1);  // two questions
  EXPECT_EQ(code(kHeader), 1);                                         // no question
  EXPECT_EQ(code(kHeader + "\5a"), 1);                                 // cut
  EXPECT_EQ(code(kHeader + "\xC0\x0C\0\1\0\1"s), 1);                   // points to itself
  std::string long_name;
  for (int i = 0; i < 100; ++i) long_name += "\3aaa";
  EXPECT_EQ(code(kHeader + question(long_name, 1)), 1);
}

TEST(DnsAnswer, ignores_what_is_no_query) {
  EXPECT_EQ(ask(""), "");
  EXPECT_EQ(ask(kHeader.substr(0, 11)), "");
  EXPECT_EQ(ask("ID\x81\0\0\1\0\0\0\0\0\0"s + question(kName, 1)), "");
}

}  // namespace
}  // namespace dns
