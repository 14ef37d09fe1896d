// SPDX-License-Identifier: Apache-2.0
// protocol/handoff.golden is the protocol: bytes that were spoken once are spoken for ever.
#include <gtest/gtest.h>

#include <set>

#include "handoff/fields.h"
#include "handoff/golden_messages.h"
#include "handoff/link.h"
#include "handoff/negotiation.h"

namespace segue::handoff::test {
namespace {

std::string golden(const std::string& name) {
  const auto found = golden_file().find(name);
  return found == golden_file().end() ? std::string() : found->second;
}

// As Link writes it, being the first message.
std::string encode(const GoldenMessage& message) {
  Ends ends = make_ends();
  const std::vector<UniqueFd> fds = some_fds(message.fd_count);
  Link link(std::move(ends.here));
  EXPECT_TRUE(link.send(message.type, message.payload(), raw(fds)).ok());
  return receive_raw(ends.there.get()).bytes;
}

void expect_fields(const GoldenMessage& message, std::string_view payload) {
  if (!message.batch.empty()) {
    EXPECT_EQ(payload, message.batch);
    return;
  }
  EXPECT_TRUE(is_record(payload));
  for (const Value& field : message.fields) {
    const auto bytes = find_field(payload, field.tag);
    ASSERT_TRUE(bytes) << "tag " << field.tag;
    if (const auto* number = std::get_if<uint64_t>(&field.value)) {
      EXPECT_EQ(number_of(*bytes), *number) << "tag " << field.tag;
    } else {
      EXPECT_EQ(*bytes, std::get<std::string>(field.value)) << "tag " << field.tag;
    }
  }
}

class EachMessage : public testing::TestWithParam<GoldenMessage> {};

TEST_P(EachMessage, is_written_as_it_is_recorded) {
  const std::string bytes = encode(GetParam());
  const std::string head = to_hex(std::string_view(bytes).substr(0, kHeaderBytes));
  const std::string rest = to_hex(std::string_view(bytes).substr(kHeaderBytes));
  EXPECT_EQ(to_hex(golden(GetParam().name)), to_hex(bytes))
      << "handoff.golden should say:\n"
      << GetParam().name << " " << head << " " << rest;
}

TEST_P(EachMessage, is_read_as_it_was_meant) {
  Ends ends = make_ends();
  const std::vector<UniqueFd> fds = some_fds(GetParam().fd_count);
  send_raw(ends.there.get(), golden(GetParam().name), raw(fds));
  Link link(std::move(ends.here));
  Message message;
  ASSERT_EQ(link.receive(message), Link::Got::message) << link.error();
  EXPECT_EQ(message.type, GetParam().type);
  EXPECT_EQ(message.fds.size(), GetParam().fd_count);
  expect_fields(GetParam(), message.payload);
}

INSTANTIATE_TEST_SUITE_P(Golden, EachMessage, testing::ValuesIn(golden_messages()),
                         [](const auto& message) {
                           std::string name = message.param.name;
                           for (char& c : name) c = c == '.' ? '_' : c;
                           return name;
                         });

TEST(Golden, every_frame_type_has_a_message) {
  size_t types = 0;
  for (uint32_t number = 0; number <= UINT16_MAX; ++number) {
    const auto type = static_cast<FrameType>(number);
    if (!is_known(type)) continue;
    ++types;
    const std::string name(frame_name(type));
    EXPECT_TRUE(golden_file().contains(name)) << name << " (" << number << ")";
  }
  EXPECT_EQ(types, 36U + 19U);
}

TEST(Golden, every_line_is_tested) {
  std::set<std::string> messages;
  for (const GoldenMessage& message : golden_messages()) messages.insert(message.name);
  for (const auto& [name, bytes] : golden_file()) {
    const bool is_encoding = name.starts_with("varint.") || name.starts_with("record.") ||
                             name.starts_with("batch.") || name.starts_with("signed.");
    const bool is_stream = name.starts_with("stream.") || name.starts_with("refused.");
    EXPECT_TRUE(messages.contains(name) || is_encoding || is_stream) << name;
  }
}

// ---- Encodings -------------------------------------------------------------------------------

// The part of the name after the first dot.
std::string case_of(const std::string& name) {
  return name.substr(name.find('.') + 1);
}

template <typename Visit>
void for_each_line(const std::string& prefix, Visit visit) {
  size_t visited = 0;
  for (const auto& [name, bytes] : golden_file()) {
    if (!name.starts_with(prefix)) continue;
    SCOPED_TRACE(name);
    visit(case_of(name), bytes);
    ++visited;
  }
  EXPECT_GT(visited, 0U) << prefix;
}

TEST(Golden, varints_are_their_names) {
  for_each_line("varint.", [](const std::string& number, const std::string& bytes) {
    const bool refused = number.starts_with("refused.");
    std::string_view rest = bytes;
    const auto value = take_varint(rest);
    EXPECT_EQ(value.has_value(), !refused);
    if (refused) return;
    EXPECT_EQ(std::to_string(value.value_or(0)), number);
    EXPECT_TRUE(rest.empty());
    std::string again;
    append_varint(again, value.value_or(0));
    EXPECT_EQ(to_hex(again), to_hex(bytes));
  });
}

TEST(Golden, signed_numbers_are_their_names) {
  for_each_line("signed.", [](const std::string& number, const std::string& bytes) {
    EXPECT_EQ(std::to_string(unzigzag(number_of(bytes).value_or(0))), number);
    segue_writer out;
    segue_put_i64(&out, 1, std::stoll(number));
    EXPECT_EQ(to_hex(get_bytes(out.fields, 1)), to_hex(bytes));
  });
}

TEST(Golden, records_are_accepted_or_refused_by_their_names) {
  for_each_line("record.", [](const std::string& name, const std::string& bytes) {
    EXPECT_EQ(is_record(bytes), !name.starts_with("refused."));
  });
}

bool is_batch(std::string_view bytes) {
  while (!bytes.empty()) {
    if (!take_batch_entry(bytes)) return false;
  }
  return true;
}

TEST(Golden, batches_are_accepted_or_refused_by_their_names) {
  for_each_line("batch.", [](const std::string& name, const std::string& bytes) {
    EXPECT_EQ(is_batch(bytes), !name.starts_with("refused."));
  });
}

TEST(Golden, records_with_equal_tags_keep_their_order_and_tags_reach_65535) {
  EXPECT_EQ(to_hex(record({{65'535, "last"}, {1, "a"}, {7, "first"}, {7, "second"}})),
            to_hex(golden("record.repeated_and_highest_tag")));
  EXPECT_EQ(get_bytes(golden("record.repeated_and_highest_tag"), 7), "first");
  EXPECT_EQ(to_hex(batch({{"", ""}, {"key", ""}, {"", "value"}})),
            to_hex(golden("batch.empty_keys_and_values")));
}

// ---- What is between versions ------------------------------------------------------------------

Link::Got receive_all(const std::string& name, std::vector<std::string>& payloads,
                      std::string& error) {
  Ends ends = make_ends();
  Link link(std::move(ends.here));
  for (int part = 1;; ++part) {
    const std::string bytes = golden(name + "." + std::to_string(part));
    if (bytes.empty()) break;
    send_raw(ends.there.get(), bytes);
  }
  Message message;
  Link::Got got = Link::Got::nothing;
  while ((got = link.receive(message)) == Link::Got::message) {
    payloads.push_back(std::string(frame_name(message.type)) + ":" + std::string(message.payload));
  }
  error = link.error();
  return got;
}

TEST(Golden, a_frame_in_two_parts_is_joined) {
  std::vector<std::string> payloads;
  std::string error;
  EXPECT_EQ(receive_all("stream.two_parts", payloads, error), Link::Got::nothing) << error;
  ASSERT_EQ(payloads.size(), 1U);
  EXPECT_EQ(payloads[0], "ABORT:" + record({{1, 1U}, {2, "stop"}}));
}

TEST(Golden, an_unknown_frame_without_critical_is_skipped) {
  std::vector<std::string> payloads;
  std::string error;
  EXPECT_EQ(receive_all("stream.unknown_between", payloads, error), Link::Got::nothing) << error;
  EXPECT_EQ(payloads, (std::vector<std::string>{"MARK:", "REHEARSE:"}));
}

TEST(Golden, an_unknown_frame_with_critical_is_fatal_and_named) {
  std::vector<std::string> payloads;
  std::string error;
  EXPECT_EQ(receive_all("stream.unknown_critical", payloads, error), Link::Got::broken);
  EXPECT_EQ(payloads, std::vector<std::string>{"MARK:"});
  EXPECT_NE(error.find("did not recognise frame type 40"), std::string::npos) << error;
}

TEST(Golden, an_unknown_tag_is_skipped) {
  const std::string payload = golden("HELLO.newer").substr(kHeaderBytes);
  EXPECT_TRUE(is_record(payload));
  EXPECT_EQ(get_bytes(payload, 4), "kv");
  EXPECT_EQ(get_bytes(payload, 10), "said by version 2");
}

TEST(Golden, ranges_of_protocol_versions_meet_in_the_highest_common_one) {
  const auto agreed = [](const std::string& name) {
    const std::string payload = golden(name).substr(kHeaderBytes);
    return agree_protocol(get_number(payload, 2, 0), get_number(payload, 3, 0));
  };
  EXPECT_EQ(agreed("HELLO"), 1U);
  EXPECT_EQ(agreed("HELLO.newer"), 1U);
  EXPECT_EQ(agreed("HELLO.too_new"), std::nullopt);
}

TEST(Golden, malformed_headers_are_refused) {
  for_each_line("refused.", [](const std::string&, const std::string& bytes) {
    EXPECT_FALSE(decode_header(bytes));
    Ends ends = make_ends();
    send_raw(ends.there.get(), bytes);
    Link link(std::move(ends.here));
    Message message;
    EXPECT_EQ(link.receive(message), Link::Got::broken);
  });
}

}  // namespace
}  // namespace segue::handoff::test
