// SPDX-License-Identifier: Apache-2.0
// What real instances say is what handoff.golden records, and they bear what later versions add.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <set>

#include "handoff/clock.h"
#include "handoff/fields.h"
#include "handoff/golden_messages.h"
#include "handoff/link.h"
#include "handoff/test_relay.h"
#include "handoff/test_service.h"

namespace segue::handoff::test {
namespace {

using Tags = std::set<uint32_t>;

bool is_batch_frame(FrameType type) {
  return type == FrameType::listeners || type == FrameType::descriptors;
}

Tags tags_of(std::string_view record) {
  Tags tags;
  while (!record.empty()) {
    const auto field = take_field(record);
    if (!field) break;
    tags.insert(field->tag);
  }
  return tags;
}

// Whether some golden message of this type has exactly these tags.
bool is_recorded(FrameType type, const Tags& tags) {
  return std::any_of(golden_messages().begin(), golden_messages().end(),
                     [&](const GoldenMessage& message) {
                       return message.type == type && tags_of(message.payload()) == tags;
                     });
}

class Compatibility : public HandoffTest {
 protected:
  [[nodiscard]] ServiceOptions options_of(const Relay& relay) const {
    ServiceOptions o = options();
    o.directory = relay.directory();
    return o;
  }
};

// A service with something for every frame, that goes through a rehearsal, a late attempt, and a
// probation that waits for the vote.
class Everything : public Compatibility {
 protected:
  ServiceOptions first_options() {
    ServiceOptions o = options();
    o.budget_us = 300'000;
    o.vote_required = true;
    o.hang_ms = 2000;
    o.hooks.encode = [this](const std::string&) {
      // Touched after MARK: it must not be compared.
      if (first_ != nullptr && first_->progress().phase == SEGUE_PHASE_REHEARSAL) {
        segue_table_put(first_->table, "k2", 2);
      }
    };
    return o;
  }
  ServiceOptions second_options(const Relay& relay) {
    ServiceOptions o = options_of(relay);
    o.hooks.acquire = [this] {
      if (std::exchange(late_once_, false)) {
        const uint64_t until = monotonic_ns() + 310'000'000;
        while (monotonic_ns() < until) continue;
      }
      return 0;
    };
    return o;
  }
  void fill(Service& first) {
    first_ = &first;
    for (int i = 0; i < 1000; ++i) first.put("k" + std::to_string(i), "v");
    client_.reset(first.connect("one"));
    closing_.reset(first.connect("two"));
    segue_listen_fd(first.instance.get(), "admin", socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    segue_fd_put(first.instance.get(), "journal", open("/dev/null", O_RDWR | O_CLOEXEC));
    segue_fd_put(first.instance.get(), "notes", open("/dev/null", O_RDWR | O_CLOEXEC));
  }
  // Once, when the snapshot has been sent.
  void change(Service& first) {
    if (changed_ || !first.active() || first.progress().rounds == 0) return;
    changed_ = true;
    segue_unlisten(first.instance.get(), "admin");
    segue_fd_take_back(first.instance.get(), "notes");
    first.erase("k3");
    first.put("k4", "changed");
    const uint64_t id = first.connections.rbegin()->first;
    first.connections.erase(id);
    segue_conn_close(segue_conn_find(first.instance.get(), id), SEGUE_CLOSE_FIN);
  }

  Service* first_ = nullptr;
  bool late_once_ = true;
  bool changed_ = false;
  UniqueFd client_;
  UniqueFd closing_;
};

TEST_F(Everything, frames_of_a_whole_handoff_have_the_fields_that_are_recorded) {
  Service first(first_options());
  segue_arena* arena = segue_arena_open(first.instance.get(), "heap", 3, 1 << 20);
  ASSERT_EQ(first.start(), SEGUE_OK) << first.error();
  ASSERT_EQ(segue_arena_set_used(arena, 4096), SEGUE_OK);
  fill(first);
  const Relay relay(directory_.path(), {});
  Service second(second_options(relay));
  segue_arena_open(second.instance.get(), "heap", 3, 1 << 20);
  ASSERT_EQ(second.start(), SEGUE_OK) << second.error();
  ASSERT_TRUE(run({&first, &second},
                  [&] {
                    change(first);
                    if (relay.has_seen(FrameType::heartbeat)) {
                      segue_vote(second.instance.get(), 1, nullptr);
                    }
                    return first.ended() && relay.has_seen(FrameType::committed);
                  }))
      << first.error() << " / " << second.error();

  std::set<std::string> seen;
  for (const Relay::Seen& message : relay.seen()) {
    const auto type = static_cast<FrameType>(message.header.type);
    seen.emplace(frame_name(type));
    if (is_batch_frame(type)) continue;
    EXPECT_TRUE(is_recorded(type, tags_of(message.payload)))
        << frame_name(type) << " " << to_hex(message.payload);
    const bool critical = (message.header.flags & kFlagCritical) != 0;
    EXPECT_EQ(critical, type != FrameType::heartbeat) << frame_name(type);
  }
  const std::set<std::string> all_but_failures = {"HELLO",
                                                  "ACCEPT",
                                                  "READY",
                                                  "LISTENERS",
                                                  "DESCRIPTORS",
                                                  "ARENA",
                                                  "CONNECTIONS",
                                                  "CONNECTION_RECORDS",
                                                  "CONNECTIONS_CLOSED",
                                                  "TABLE_PUT",
                                                  "TABLE_ERASE",
                                                  "REMOVED",
                                                  "ROUND",
                                                  "ROUND_DONE",
                                                  "MARK",
                                                  "DIGESTS",
                                                  "EXCLUDED",
                                                  "REHEARSE",
                                                  "REHEARSED",
                                                  "FINAL",
                                                  "ACTIVATED",
                                                  "DECLINE",
                                                  "WITHDRAWN",
                                                  "COMMIT",
                                                  "COMMITTED",
                                                  "HEARTBEAT"};
  EXPECT_EQ(seen, all_but_failures);
  EXPECT_EQ(second.data, first.data);
}

TEST_F(Everything, handoff_bears_unknown_tags_and_frames_everywhere) {
  Service first(first_options());
  segue_arena_open(first.instance.get(), "heap", 3, 1 << 20);
  ASSERT_EQ(first.start(), SEGUE_OK) << first.error();
  fill(first);
  const auto add_a_tag = [](Way, FrameHeader& header, std::string& payload) {
    segue_writer newer;
    newer.fields = payload;
    put_field(newer, 60'000, "of a later version");
    if (!is_batch_frame(static_cast<FrameType>(header.type))) payload = newer.fields;
    return true;
  };
  const Relay relay(directory_.path(), add_a_tag, true);
  Service second(second_options(relay));
  segue_arena_open(second.instance.get(), "heap", 3, 1 << 20);
  ASSERT_EQ(second.start(), SEGUE_OK) << second.error();
  ASSERT_TRUE(run({&first, &second},
                  [&] {
                    change(first);
                    if (second.active()) segue_vote(second.instance.get(), 1, nullptr);
                    return first.ended() && second.active();
                  }))
      << first.error() << " / " << second.error();
  EXPECT_EQ(second.data, first.data);
  EXPECT_EQ(second.connections, first.connections);
}

TEST_F(Compatibility, successor_refuses_a_protocol_it_did_not_offer) {
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  const auto accept_in_version_2 = [](Way, FrameHeader& header, std::string& payload) {
    if (header.type != static_cast<uint16_t>(FrameType::accept)) return true;
    payload = record({{1, 2U}}) + payload.substr(3);
    return true;
  };
  const Relay relay(directory_.path(), accept_in_version_2);
  Service second(options_of(relay));
  ASSERT_EQ(second.start(), SEGUE_OK);
  ASSERT_TRUE(run({&first, &second}, [&] { return second.ended(); }));
  EXPECT_NE(second.error().find("ACCEPT"), std::string::npos) << second.error();
  EXPECT_TRUE(first.active());
  EXPECT_FALSE(first.has("freeze"));
}

// Plays a successor as far as the answer to its HELLO.
struct Answer {
  FrameType type{};
  std::string payload;
};
Answer say_hello(Service& predecessor, const std::string& directory, const GoldenMessage& golden) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = directory + "/handoff.sock";
  memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  EXPECT_EQ(connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  std::ifstream file(directory + "/nonce", std::ios::binary);
  const std::string nonce{std::istreambuf_iterator<char>(file), {}};
  std::vector<Value> fields = golden.fields;
  fields[5] = {6, nonce};
  Link link(std::move(fd));
  EXPECT_TRUE(link.send(FrameType::hello, record(fields)).ok());
  Message message;
  EXPECT_TRUE(run({&predecessor}, [&] { return link.receive(message) == Link::Got::message; }));
  return {message.type, std::string(message.payload)};
}

const GoldenMessage& golden_message(const std::string& name) {
  return *std::find_if(golden_messages().begin(), golden_messages().end(),
                       [&](const GoldenMessage& message) { return message.name == name; });
}

TEST_F(Compatibility, successor_of_versions_1_to_2_is_met_in_version_1) {
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  const Answer answer = say_hello(first, directory_.path(), golden_message("HELLO.newer"));
  ASSERT_EQ(answer.type, FrameType::accept) << get_bytes(answer.payload, 2);
  EXPECT_EQ(get_number(answer.payload, 1, 0), 1U);
}

TEST_F(Compatibility, successor_of_versions_2_to_3_is_refused_before_anything_is_touched) {
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  const Answer answer = say_hello(first, directory_.path(), golden_message("HELLO.too_new"));
  ASSERT_EQ(answer.type, FrameType::refuse);
  EXPECT_EQ(get_bytes(answer.payload, 2), "no common protocol version");
  EXPECT_TRUE(first.active());
  EXPECT_FALSE(first.has("freeze"));
}

}  // namespace
}  // namespace segue::handoff::test
