// SPDX-License-Identifier: Apache-2.0
// protocol/keeper-state.golden is the format: a state that was written once can be read for ever.
#include "keeper/saved_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>

#include "handoff/fields.h"
#include "handoff/siphash.h"

namespace segue::keeper {
namespace {

using base::ErrorCode;
using std::chrono::seconds;
using testing::HasSubstr;

SavedState a_state() {
  SavedState state;
  state.name = "kv";
  state.boot_id = "7f0b";
  state.run.max_restarts = 3;
  state.launch = {{"/opt/kv-1", "--port=1"}, "/srv", {"A=b"}};
  state.since = MonotonicTime(seconds(100));
  state.replaced = 1;
  Instance instance;
  instance.generation = 4;
  instance.role = Role::serving;
  instance.launch = {{"/opt/kv-2"}, "/", {}};
  instance.service = "kv";
  instance.version = "2";
  instance.pid = 77;
  instance.said_hello = true;
  instance.active_since = MonotonicTime(seconds(120));
  instance.connections = 9'000;
  instance.abilities = 3;
  state.component.phase = Phase::serving;
  state.component.phase_since = MonotonicTime(seconds(120));
  state.component.last_generation = 5;
  state.component.last_attempt = 2;
  state.component.owner = 4;
  state.component.service = "kv";
  state.component.owner_launch = instance.launch;
  state.component.previous = {{state.launch, "1"}};
  state.component.instances = {instance};
  Attempt attempt;
  attempt.id = 2;
  attempt.launch = instance.launch;
  attempt.options.health_cmd = "true";
  attempt.predecessor = 3;
  attempt.successor = 4;
  attempt.from = "1";
  attempt.to = "2";
  attempt.began = MonotonicTime(seconds(110));
  state.component.attempt = attempt;
  state.processes = {{.generation = 4,
                      .pid = 77,
                      .start_ticks = 12'345,
                      .owner_name = 6,
                      .is_child = true,
                      .channel_open = true,
                      .channel_fd = 9,
                      .pidfd = 10,
                      .next_out = 21,
                      .next_in = 34}};
  state.page_fd = 5;
  state.keeper_lock_fd = 3;
  state.instances_lock_fd = 4;
  state.control_fd = 6;
  state.listeners = {{"main", 11}, {"admin", 12}};
  state.clients = {{.request = 8, .fd = 13, .asked = true, .follows = true, .queue = {"{}"}}};
  state.last_request = 8;
  state.answer_to = 7;
  state.replaces = "/usr/bin/segue-keeper";
  state.last_step = 40;
  state.steps = {{40, "{\"n\":40}"}};
  state.last_ping = 19;
  state.rendezvous_nonce = std::string(32, 'n');
  return state;
}

// … of a program that does not link libsegue.
SavedState a_program_state() {
  SavedState state = a_state();
  state.component.attempt.reset();
  state.page_fd = 5;
  state.listeners.clear();
  state.processes[0].channel_fd = -1;
  SavedSide saved;
  saved.generation = 4;
  saved.side.is_ready = true;
  saved.side.said_ready = true;
  saved.side.stored = true;
  saved.side.watchdog = seconds(20);
  saved.side.leaving = Leaving::draining;
  saved.side.leaving_until = MonotonicTime(seconds(150));
  saved.side.at_stop = 12;
  state.component.sides = {saved};
  state.component.contract_found = true;
  Attempt drains;
  drains.id = 1;
  drains.predecessor = 2;
  drains.successor = 4;
  drains.committed = MonotonicTime(seconds(115));
  state.component.closing = {drains};
  SavedPrograms programs;
  programs.contract.upgrade = "fdstore";
  programs.contract.listen = {{"web", control::Listen::Kind::tcp, "127.0.0.1", 80}};
  programs.health.health_tcp = "127.0.0.1:80";
  programs.notify_fd = 20;
  programs.sockets = {{"web", 21, {8, 900, 3}}};
  programs.stored = {{"c0", 22, {8, 901, 3}, true}, {"counter", 23, {1, 77, 3}}};
  programs.binary_name = "nginx";
  programs.announced = {{4, 78}};
  state.programs = programs;
  return state;
}

std::string header(std::uint32_t version, std::uint32_t readable_from, const std::string& body) {
  std::string bytes = "SEGUEKST";
  const auto add = [&](auto value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  add(version);
  add(readable_from);
  add(std::uint64_t{body.size()});
  add(handoff::siphash24(body));
  return bytes + body;
}

std::string body_of(const std::string& bytes) {
  return bytes.substr(32);
}

std::string golden(const std::string& which = "") {
  std::ifstream file(std::string(SEGUE_STATE_GOLDEN) + which + ".golden", std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void expect_recorded(const SavedState& state, const std::string& which) {
  const std::string bytes = encode_state(state);
  if (std::getenv("SEGUE_WRITE_GOLDEN") != nullptr) {
    std::ofstream(std::string(SEGUE_STATE_GOLDEN) + which + ".golden", std::ios::binary) << bytes;
  }
  EXPECT_EQ(testing::PrintToString(bytes), testing::PrintToString(golden(which)));
}

TEST(SavedState, is_written_as_it_is_recorded) {
  expect_recorded(a_state(), "");
  expect_recorded(a_program_state(), "-programs");
}

TEST(SavedState, of_a_program_is_read_as_it_was_meant) {
  const auto state = decode_state(golden("-programs"));
  ASSERT_TRUE(state) << state.error().to_string();
  EXPECT_EQ(encode_state(*state), encode_state(a_program_state()));
  ASSERT_TRUE(state->programs);
  EXPECT_EQ(state->programs->contract, a_program_state().programs->contract);
  EXPECT_EQ(state->programs->health.health_tcp, "127.0.0.1:80");
  EXPECT_EQ(state->programs->stored.at(0).identity, (FileIdentity{8, 901, 3}));
  EXPECT_EQ(state->component.sides.at(0).side.watchdog, seconds(20));
  EXPECT_EQ(state->component.sides.at(0).side.leaving, Leaving::draining);
  EXPECT_EQ(descriptors_of(*state).size(), descriptors_of(a_state()).size() - 3 + 4);
}

TEST(SavedState, of_a_program_needs_a_reader_that_knows_of_programs) {
  std::uint32_t readable_from = 0;
  std::memcpy(&readable_from, golden("-programs").data() + 12, sizeof readable_from);
  EXPECT_EQ(readable_from, 2U);
  std::memcpy(&readable_from, golden().data() + 12, sizeof readable_from);
  EXPECT_EQ(readable_from, 1U);
}

TEST(SavedState, is_read_as_it_was_meant) {
  const auto state = decode_state(golden());
  ASSERT_TRUE(state) << state.error().to_string();
  EXPECT_EQ(encode_state(*state), encode_state(a_state()));
  EXPECT_EQ(state->component.instances.at(0).connections, 9'000U);
  EXPECT_EQ(state->component.attempt->options.health_cmd, "true");
  EXPECT_EQ(state->processes.at(0).channel_fd, 9);
  EXPECT_EQ(state->clients.at(0).queue.at(0), "{}");
  EXPECT_EQ(state->run.max_restarts, 3U);
}

TEST(SavedState, of_the_next_version_is_read_without_what_is_new_in_it) {
  segue_writer writer;
  writer.fields = body_of(golden());
  writer.last_tag = 22;
  handoff::put_field(writer, 900, "what this program does not know");
  const auto state = decode_state(header(kStateVersion + 1, kStateVersion, writer.fields));
  ASSERT_TRUE(state) << state.error().to_string();
  EXPECT_EQ(encode_state(*state), golden());
}

TEST(SavedState, of_the_version_before_may_lack_what_came_later) {
  segue_writer writer;
  handoff::put_field(writer, 1, "kv");
  const auto state = decode_state(header(kStateVersion - 1, 0, writer.fields));
  ASSERT_TRUE(state) << state.error().to_string();
  EXPECT_EQ(state->name, "kv");
  EXPECT_EQ(state->page_fd, -1);
}

TEST(SavedState, that_needs_a_newer_reader_is_refused_with_both_versions) {
  const auto state = decode_state(header(kStateVersion + 4, kStateVersion + 1, body_of(golden())));
  ASSERT_FALSE(state);
  EXPECT_THAT(state.error().message(), HasSubstr("version 6 and needs a keeper that reads"));
}

TEST(SavedState, that_is_cut_or_changed_anywhere_is_refused) {
  const std::string whole = golden();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(decode_state(whole.substr(0, size))) << size;
  }
  for (std::size_t at = 16; at < whole.size(); ++at) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    EXPECT_FALSE(decode_state(changed)) << at;
  }
  EXPECT_FALSE(decode_state(whole + "x"));
  EXPECT_EQ(decode_state(std::string(kMaxStateBytes + 1, 'x')).error().code(),
            ErrorCode::invalid_argument);
}

TEST(SavedState, that_contradicts_itself_is_refused_by_name) {
  const auto refusal = [](const auto& change) {
    SavedState state = a_state();
    change(state);
    const auto decoded = decode_state(encode_state(state));
    return decoded ? std::string("read") : decoded.error().message();
  };
  EXPECT_THAT(refusal([](SavedState& s) { s.page_fd = s.control_fd; }), HasSubstr("two places"));
  EXPECT_THAT(refusal([](SavedState& s) { s.page_fd = 2; }), HasSubstr("below 3"));
  EXPECT_THAT(refusal([](SavedState& s) { s.processes[0].generation = 9; }),
              HasSubstr("a process of no instance"));
  EXPECT_THAT(refusal([](SavedState& s) { s.component.instances[0].generation = 6; }),
              HasSubstr("a generation"));
  EXPECT_THAT(refusal([](SavedState& s) { s.component.instances[0].launch.argv.clear(); }),
              HasSubstr("without a program"));
  EXPECT_THAT(refusal([](SavedState& s) { s.name = "../x"; }), HasSubstr("name"));
  EXPECT_THAT(refusal([](SavedState& s) { s.component.phase = static_cast<Phase>(99); }),
              HasSubstr("out of its range"));
  EXPECT_THAT(refusal([](SavedState& s) { s.clients.assign(kMaxStateEntries + 1, SavedClient{}); }),
              HasSubstr("too often"));
}

TEST(SavedState, of_a_program_that_contradicts_itself_is_refused_by_name) {
  const auto refusal = [](const auto& change) {
    SavedState state = a_program_state();
    change(state);
    const auto decoded = decode_state(encode_state(state));
    return decoded ? std::string("read") : decoded.error().message();
  };
  EXPECT_EQ(refusal([](SavedState&) {}), "read");
  EXPECT_THAT(refusal([](SavedState& s) { s.programs->contract.upgrade = "magic"; }),
              HasSubstr("upgrade"));
  EXPECT_THAT(refusal([](SavedState& s) { s.programs->contract.upgrade = "signal"; }),
              HasSubstr("upgrade signal"));
  EXPECT_THAT(refusal([](SavedState& s) { s.component.sides[0].generation = 3; }),
              HasSubstr("no instance"));
  EXPECT_THAT(refusal([](SavedState& s) { s.programs->stored[0].fd = s.control_fd; }),
              HasSubstr("two places"));
  EXPECT_THAT(refusal([](SavedState& s) { s.component.attempt = a_state().component.attempt; }),
              HasSubstr("an attempt that nobody makes"));
  EXPECT_THAT(refusal([](SavedState& s) { s.component.phase = Phase::preparing; }),
              HasSubstr("no attempt"));
  EXPECT_THAT(refusal([](SavedState& s) { s.component.phase = Phase::recovering; }),
              HasSubstr("cannot be in"));
  EXPECT_THAT(refusal([](SavedState& s) {
                s.component.phase = Phase::probation;
                s.component.attempt = a_state().component.attempt;
              }),
              HasSubstr("a probation of nobody"));
}

}  // namespace
}  // namespace segue::keeper
