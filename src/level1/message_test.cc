// SPDX-License-Identifier: Apache-2.0
#include "level1/message.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>
#include <string>

namespace segue::level1 {
namespace {

std::string bytes_of(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

std::string hex_of(const std::string& bytes) {
  std::string hex;
  for (const char byte : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return hex;
}

Message make(MessageType type, std::uint16_t fd_count = 0) {
  return Message{.type = type, .fd_count = fd_count, .fields = {}};
}

std::string nested(std::string_view name, std::string_view text) {
  return encode_fields(Message{}.put(1, name).put(2, text).fields);
}

std::string nested(std::string_view name, std::uint64_t version) {
  return encode_fields(Message{}.put(1, name).put(2, version).fields);
}

// By the names of protocol/level1.golden.
std::map<std::string, Message> examples() {
  std::map<std::string, Message> all;
  const std::string form = encode_fields(
      Message{}.put(1, "echo").put(2, std::uint64_t{2}).put(3, std::uint64_t{1}).fields);
  all["hello"] = make(MessageType::hello)
                     .put(1, std::uint64_t{1})
                     .put(2, std::uint64_t{1})
                     .put(3, "echo")
                     .put(4, "two")
                     .put(5, form)
                     .put(6, nested("main", "tcp:127.0.0.1:7000"));
  all["welcome"] = make(MessageType::welcome).put(1, std::uint64_t{1});
  all["store-listener"] =
      make(MessageType::store, 1).put(1, std::uint64_t{1}).put(2, std::uint64_t{0}).put(3, "main");
  all["store-connection"] = make(MessageType::store, 1)
                                .put(1, std::uint64_t{2})
                                .put(2, std::uint64_t{258})
                                .put(3, "")
                                .put(4, "left over");
  all["close-connection"] = make(MessageType::close)
                                .put(1, std::uint64_t{2})
                                .put(2, std::uint64_t{258})
                                .put(4, std::uint64_t{1});
  all["freeze"] = make(MessageType::freeze)
                      .put(1, std::uint64_t{3})
                      .put(2, std::uint64_t{5'000})
                      .put(3, nested("echo", std::uint64_t{1}));
  all["state"] = make(MessageType::state, 1)
                     .put(1, "echo")
                     .put(2, std::uint64_t{1})
                     .put(3, std::uint64_t{4'096})
                     .put(4, std::uint64_t{3});
  all["frozen"] = make(MessageType::frozen).put(1, std::uint64_t{3});
  all["activate"] = make(MessageType::activate).put(1, std::uint64_t{0}).put(2, std::uint64_t{7});
  all["serving"] = make(MessageType::serving);
  all["resume"] = make(MessageType::resume).put(1, std::uint64_t{1});
  all["end"] = make(MessageType::end).put(1, std::uint64_t{1});
  return all;
}

TEST(Golden, messages_are_what_the_protocol_says_they_are) {
  std::ifstream file(SEGUE_LEVEL1_GOLDEN);
  auto expected = examples();
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    std::string name;
    std::string hex;
    words >> name >> hex;
    ASSERT_TRUE(expected.contains(name)) << name;
    EXPECT_EQ(hex_of(encode(expected[name])), hex) << name;
    const auto decoded = decode(bytes_of(hex));
    ASSERT_TRUE(decoded) << name;
    EXPECT_EQ(*decoded, expected[name]) << name;
    expected.erase(name);
  }
  for (const auto& [name, message] : expected) {
    ADD_FAILURE() << "missing: " << name << ' ' << hex_of(encode(message));
  }
}

TEST(Message, that_is_cut_anywhere_is_refused) {
  const std::string whole = encode(examples().at("hello"));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(decode(whole.substr(0, size))) << size;
  }
}

TEST(Message, says_what_is_wrong_with_it) {
  EXPECT_NE(decode("abc").error().message().find("a header has 8"), std::string::npos);
  std::string two_descriptors = encode(make(MessageType::store));
  two_descriptors[2] = 2;
  EXPECT_NE(decode(two_descriptors).error().message().find("STORE claims 2 descriptors"),
            std::string::npos);
  const std::string too_many = encode(
      Message{.type = MessageType::state, .fd_count = 0, .fields = {kMaxFields + 1, Field{1, ""}}});
  EXPECT_NE(decode(too_many).error().message().find("more than 64 fields"), std::string::npos);
  std::string long_field = encode(make(MessageType::end).put(1, "1"));
  long_field[10] = 9;
  EXPECT_NE(decode(long_field).error().message().find("field 1 claims 9 bytes, and 1 are left"),
            std::string::npos);
}

TEST(Message, unknown_types_and_fields_are_kept) {
  const auto message = decode(encode(make(static_cast<MessageType>(77)).put(999, "new")));
  ASSERT_TRUE(message);
  EXPECT_EQ(name_of(message->type), "message 77");
  EXPECT_EQ(message->text(999), "new");
}

TEST(Message, number_is_eight_bytes_and_nothing_else) {
  const Message message = make(MessageType::end).put(1, "1234567").put(2, std::uint64_t{1} << 63);
  EXPECT_EQ(message.number(1, 5), 5U);
  EXPECT_EQ(message.number(2, 5), std::uint64_t{1} << 63);
  EXPECT_EQ(message.number(3, 5), 5U);
}

}  // namespace
}  // namespace segue::level1
