// SPDX-License-Identifier: Apache-2.0
#include "keeper/instance_channel.h"

#include <gtest/gtest.h>

#include "handoff/fields.h"
#include "os/unix_socket.h"

namespace segue::keeper {
namespace {

using handoff::FrameType;

// What the frame says, of an instance of generation 5.
base::Result<FrameContent> read(FrameType type, std::string_view payload, int fds = 0) {
  handoff::Message message;
  message.type = type;
  message.payload = payload;
  for (int i = 0; i < fds; ++i) {
    message.fds.emplace_back(
        os::socket_pair(os::SocketType::stream, os::Blocking::no)->first.release());
  }
  return read_frame(5, std::move(message));
}

template <class T>
T event(FrameType type, const segue_writer& writer) {
  auto content = read(type, writer.fields);
  EXPECT_TRUE(content) << content.error().to_string();
  return std::get<T>(std::get<Event>(*content));
}

TEST(InstanceChannel, reads_hello) {
  segue_writer out;
  handoff::put_number(out, 1, 1);
  handoff::put_number(out, 2, 4);
  handoff::put_field(out, 3, "shop");
  handoff::put_field(out, 4, "2.1");
  const auto hello = event<HelloReceived>(FrameType::keeper_hello, out);
  EXPECT_EQ(hello.generation, 5U);
  EXPECT_EQ(hello.lowest_protocol, 1U);
  EXPECT_EQ(hello.highest_protocol, 4U);
  EXPECT_EQ(hello.service, "shop");
  EXPECT_EQ(hello.version, "2.1");
}

TEST(InstanceChannel, reads_progress) {
  segue_writer out;
  for (std::uint32_t tag = 1; tag <= 15; ++tag) handoff::put_number(out, tag, 100 + tag);
  const auto progress = event<ProgressReceived>(FrameType::keeper_progress, out);
  EXPECT_EQ(progress.attempt, 101U);
  EXPECT_EQ(progress.progress.phase, 103U);
  EXPECT_EQ(progress.progress.freezes, 105U);
  EXPECT_EQ(progress.progress.connections, 109U);
  EXPECT_EQ(progress.progress.frozen_max_ns, 112U);
  EXPECT_EQ(progress.progress.replayed, 113U);
  EXPECT_EQ(progress.progress.closed_on_reclaim, 115U);
}

TEST(InstanceChannel, reads_events_and_refuses_unknown_ones) {
  segue_writer out;
  handoff::put_number(out, 1, 9);
  handoff::put_number(out, 3, 6);
  handoff::put_field(out, 4, "cold");
  const auto vote = event<EventReceived>(FrameType::keeper_event, out);
  EXPECT_EQ(vote.attempt, 9U);
  EXPECT_EQ(vote.said, Said::vote);
  EXPECT_EQ(vote.text, "cold");
  EXPECT_EQ(vote.number, 0U);
  segue_writer unknown;
  handoff::put_number(unknown, 3, kSaidCount + 1);
  EXPECT_FALSE(read(FrameType::keeper_event, unknown.fields));
}

TEST(InstanceChannel, reads_stored_listeners_with_their_descriptors) {
  std::string batch;
  handoff::append_batch_entry(batch, "main", {});
  handoff::append_batch_entry(batch, "admin", {});
  segue_writer out;
  handoff::put_field(out, 1, batch);
  auto content = read(FrameType::keeper_store, out.fields, 2);
  ASSERT_TRUE(content);
  const auto& stored = std::get<std::vector<Stored>>(*content);
  ASSERT_EQ(stored.size(), 2U);
  EXPECT_EQ(stored[1].name, "admin");
  EXPECT_TRUE(stored[1].fd.valid());
  EXPECT_FALSE(read(FrameType::keeper_store, out.fields, 3)) << "more descriptors than names";
}

TEST(InstanceChannel, refuses_what_is_malformed_or_not_for_a_keeper) {
  EXPECT_FALSE(read(FrameType::keeper_hello, "\xff\xff"));
  EXPECT_FALSE(read(FrameType::keeper_start, {}));
  EXPECT_FALSE(read(FrameType::hello, {}));
  EXPECT_FALSE(read(FrameType::keeper_pong, {}, 1)) << "a descriptor that nobody asked for";
}

TEST(InstanceChannel, an_attempt_names_only_the_numbers_that_were_asked_for) {
  control::AttemptOptions options;
  options.budget_us = 500;
  options.vote = true;
  const std::string order = attempt_payload({.is_successor = true,
                                             .attempt = 3,
                                             .kind = Kind::rehearse,
                                             .nonce = "secret",
                                             .successor = 8},
                                            options);
  ASSERT_TRUE(handoff::is_record(order));
  EXPECT_EQ(handoff::get_number(order, 1, 0), 2U);
  EXPECT_EQ(handoff::get_number(order, 2, 0), 3U);
  EXPECT_EQ(handoff::get_bytes(order, 3), "secret");
  EXPECT_EQ(handoff::get_number(order, 4, 0), 2U);
  EXPECT_EQ(handoff::get_number(order, 5, 0), 500U);
  EXPECT_FALSE(handoff::find_field(order, 6));
  EXPECT_EQ(handoff::get_number(order, 11, 0), 2'000U);
  EXPECT_EQ(handoff::get_number(order, 13, 0), 1U);
  EXPECT_EQ(handoff::get_number(order, 15, 0), 8U);
}

}  // namespace
}  // namespace segue::keeper
