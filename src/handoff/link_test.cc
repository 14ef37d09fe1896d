// SPDX-License-Identifier: Apache-2.0
#include "handoff/link.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "handoff/peer.h"
#include "handoff/test_link.h"
#include "handoff/test_process.h"

namespace segue::handoff::test {
namespace {

constexpr auto kType = FrameType::table_put;
constexpr auto kNumber = static_cast<uint16_t>(kType);

// A payload that differs at every place.
std::string bytes_of(size_t size) {
  std::string bytes(size, '\0');
  uint32_t state = 1;
  for (char& c : bytes) {
    state = state * 1'664'525 + 1'013'904'223;
    c = static_cast<char>(state >> 24);
  }
  return bytes;
}

class Pair : public testing::Test {
 protected:
  Pair() : Pair(LinkLimits{}) {}
  explicit Pair(LinkLimits limits)
      : ends_(make_ends()),
        here_(std::move(ends_.here), limits),
        there_(std::move(ends_.there), limits) {}

  // Moves everything from here to there.
  std::vector<Message> drain(std::vector<std::string>* payloads = nullptr) {
    std::vector<Message> messages;
    for (;;) {
      Message message;
      switch (there_.receive(message)) {
        case Link::Got::message:
          if (payloads != nullptr) payloads->emplace_back(message.payload);
          messages.push_back(std::move(message));
          break;
        case Link::Got::nothing:
          if (!here_.congested()) return messages;
          EXPECT_TRUE(here_.flush().ok());
          break;
        case Link::Got::ended:
        case Link::Got::broken:
          ADD_FAILURE() << there_.error();
          return messages;
      }
    }
  }
  // Sends until the socket is full and messages wait in the queue; returns how many were sent.
  size_t congest() {
    size_t sent = 0;
    while (!here_.congested()) {
      EXPECT_TRUE(here_.send(kType, std::string(60'000, 'x')).ok());
      ++sent;
    }
    return sent;
  }
  Ends ends_;
  Link here_;
  Link there_;
};

class LinkParts : public Pair, public testing::WithParamInterface<size_t> {};

TEST_P(LinkParts, payload_of_any_size_arrives_whole) {
  const std::string sent = bytes_of(GetParam());
  ASSERT_TRUE(here_.send(kType, sent).ok());
  std::vector<std::string> payloads;
  const auto messages = drain(&payloads);
  ASSERT_EQ(messages.size(), 1U);
  EXPECT_EQ(messages[0].type, kType);
  EXPECT_EQ(payloads[0].size(), sent.size());
  EXPECT_TRUE(payloads[0] == sent);
  const size_t parts = std::max<size_t>(1, (sent.size() + kMaxPartBytes - 1) / kMaxPartBytes);
  EXPECT_EQ(here_.bytes_sent(), sent.size() + parts * kHeaderBytes);
  EXPECT_EQ(there_.bytes_received(), here_.bytes_sent());
}

INSTANTIATE_TEST_SUITE_P(Sizes, LinkParts,
                         testing::Values(0, 1, kMaxPartBytes - 1, kMaxPartBytes, kMaxPartBytes + 1,
                                         2 * kMaxPartBytes, 3'000'000, 9'999'999));

TEST_F(Pair, descriptors_come_with_the_first_part_of_a_large_frame) {
  const auto fds = some_fds(3);
  ASSERT_TRUE(here_.send(FrameType::connections, bytes_of(1'000'000), raw(fds)).ok());
  const auto messages = drain();
  ASSERT_EQ(messages.size(), 1U);
  EXPECT_EQ(messages[0].fds.size(), 3U);
}

TEST_F(Pair, messages_that_wait_keep_their_order) {
  const size_t first = congest();
  for (int read = 0; read < 3; ++read) {  // there is room again, but others wait for it
    Message message;
    ASSERT_EQ(there_.receive(message), Link::Got::message);
  }
  for (const char* text : {"one", "two", "three"}) ASSERT_TRUE(here_.send(kType, text).ok());
  std::vector<std::string> payloads;
  drain(&payloads);
  ASSERT_EQ(payloads.size(), first);
  EXPECT_EQ(payloads[first - 3], "one");
  EXPECT_EQ(payloads[first - 2], "two");
  EXPECT_EQ(payloads[first - 1], "three");
}

TEST_F(Pair, descriptors_that_wait_outlive_the_sender_s_own) {
  const size_t before = open_fds();
  congest();
  int pipe_ends[2];
  ASSERT_EQ(pipe2(pipe_ends, O_CLOEXEC), 0);
  const UniqueFd reads(pipe_ends[0]);
  UniqueFd writes(pipe_ends[1]);
  const int raw_end = writes.get();
  ASSERT_TRUE(here_.send(FrameType::connections, "c", std::span(&raw_end, 1)).ok());
  writes.reset();
  auto messages = drain();
  ASSERT_EQ(messages.back().fds.size(), 1U);
  EXPECT_EQ(write(messages.back().fds[0].get(), "x", 1), 1);
  char byte = 0;
  EXPECT_EQ(read(reads.get(), &byte, 1), 1);
  EXPECT_NE(fcntl(messages.back().fds[0].get(), F_GETFD) & FD_CLOEXEC, 0);
  messages.clear();
  EXPECT_EQ(open_fds(), before + 1) << "only the end that is read is left";
}

TEST_F(Pair, descriptors_that_wait_are_closed_with_the_link) {
  const size_t before = open_fds();
  {
    Ends ends = make_ends();
    Link link(std::move(ends.here));
    while (!link.congested()) ASSERT_TRUE(link.send(kType, std::string(60'000, 'x')).ok());
    const auto fds = some_fds(100);
    ASSERT_TRUE(link.send(FrameType::connections, "c", raw(fds)).ok());
  }
  EXPECT_EQ(open_fds(), before);
}

TEST_F(Pair, two_hundred_and_fifty_three_descriptors_pass) {
  const auto fds = some_fds(kMaxFdsPerMessage);
  ASSERT_TRUE(here_.send(FrameType::connections, "c", raw(fds)).ok());
  const auto messages = drain();
  ASSERT_EQ(messages.size(), 1U);
  EXPECT_EQ(messages[0].fds.size(), kMaxFdsPerMessage);
}

TEST_F(Pair, two_hundred_and_fifty_four_descriptors_are_refused_and_nothing_is_sent) {
  const auto fds = some_fds(kMaxFdsPerMessage + 1);
  EXPECT_EQ(here_.send(FrameType::connections, "c", raw(fds)).code, SEGUE_LIMIT);
  EXPECT_TRUE(drain().empty());
  EXPECT_TRUE(here_.send(kType, "the link goes on").ok());
  EXPECT_EQ(drain().size(), 1U);
}

TEST_F(Pair, payload_beyond_the_protocol_is_refused_and_nothing_is_sent) {
  const size_t size = kMaxPayloadBytes + 1;
  void* memory = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  EXPECT_EQ(here_.send(kType, {static_cast<char*>(memory), size}).code, SEGUE_LIMIT);
  munmap(memory, size);
  EXPECT_TRUE(drain().empty());
}

TEST_F(Pair, nothing_is_not_the_end) {
  Message message;
  EXPECT_EQ(there_.receive(message), Link::Got::nothing);
  ASSERT_TRUE(here_.send(kType, "last").ok());
  here_ = Link(UniqueFd());
  EXPECT_EQ(there_.receive(message), Link::Got::message);
  EXPECT_EQ(message.payload, "last");
  EXPECT_EQ(there_.receive(message), Link::Got::ended);
}

TEST_F(Pair, what_a_peer_said_before_it_closed_without_reading_is_heard) {
  ASSERT_TRUE(there_.send(FrameType::hello, "never read").ok());
  ASSERT_TRUE(here_.send(FrameType::refuse, "why").ok());
  here_ = Link(UniqueFd());
  Message message;
  EXPECT_EQ(there_.receive(message), Link::Got::message);
  EXPECT_EQ(message.payload, "why");
  EXPECT_EQ(there_.receive(message), Link::Got::ended);
}

TEST_F(Pair, sending_to_a_peer_that_has_closed_is_an_error_and_no_signal) {
  there_ = Link(UniqueFd());
  EXPECT_EQ(here_.send(kType, "x").code, SEGUE_SYSTEM);
}

TEST_F(Pair, end_in_the_middle_of_a_frame_is_the_end) {
  Ends ends = make_ends();
  send_raw(ends.there.get(), message_of(kNumber, kFlagCritical | kFlagMore, 1, 0, "half"));
  ends.there.reset();
  Link link(std::move(ends.here));
  Message message;
  EXPECT_EQ(link.receive(message), Link::Got::ended);
}

class LittleRoom : public Pair {
 protected:
  LittleRoom() : Pair(LinkLimits{100'000, 1 << 20}) {}
};

TEST_F(LittleRoom, queue_is_bounded) {
  Status status = Status::good();
  size_t tries = 0;
  while (status.ok() && ++tries < 10'000) status = here_.send(kType, std::string(60'000, 'x'));
  EXPECT_EQ(status.code, SEGUE_LIMIT);
  EXPECT_NE(status.text.find("too slowly"), std::string::npos) << status.text;
}

TEST_F(LittleRoom, joined_frame_is_bounded) {
  Ends ends = make_ends();
  Link link(std::move(ends.here), LinkLimits{100'000, 1 << 20});
  for (uint32_t sequence = 1; sequence <= 2; ++sequence) {
    send_raw(ends.there.get(),
             message_of(kNumber, kFlagCritical | kFlagMore, sequence, 0, std::string(60'000, 'x')));
  }
  Message message;
  EXPECT_EQ(link.receive(message), Link::Got::broken);
}

// ---- What breaks the protocol ----------------------------------------------------------------

struct Bad {
  std::string name;
  std::vector<std::string> messages;  // the last one is wrong
  size_t fds = 0;                     // with the last one
  std::string error;
};

void PrintTo(const Bad& bad, std::ostream* out) {  // NOLINT: GoogleTest's name
  *out << bad.name;
}

std::string put(uint32_t sequence, uint16_t flags = kFlagCritical, uint16_t fds = 0) {
  return message_of(kNumber, flags, sequence, fds, "p");
}

std::vector<Bad> bad_messages() {
  std::string reserved = put(1);
  reserved[14] = 1;
  std::string sizes = put(1);
  sizes[4] = 9;
  const uint16_t more = kFlagCritical | kFlagMore;
  return {
      {"first_sequence_0", {put(0)}, 0, "gap"},
      {"sequence_skipped", {put(1), put(3)}, 0, "gap"},
      {"sequence_repeated", {put(1), put(1)}, 0, "gap"},
      {"reserved_bytes", {reserved}, 0, "header"},
      {"unknown_flag", {put(1, 4)}, 0, "header"},
      {"payload_size", {sizes}, 0, "header"},
      {"cut_header", {put(1).substr(0, 15)}, 0, "header"},
      {"fewer_descriptors_than_announced", {put(1, kFlagCritical, 3)}, 2, "announced 3"},
      {"more_descriptors_than_announced", {put(1)}, 1, "announced 0"},
      {"message_too_large", {put(1) + std::string(kMaxMessageBytes, 'x')}, 0, "larger"},
      {"unknown_critical_frame",
       {message_of(40, kFlagCritical, 1, 2, "p")},
       2,
       "did not recognise"},
      {"another_frame_between_parts",
       {put(1, more), message_of(16, kFlagCritical, 2, 0, "")},
       0,
       "mixed"},
      {"descriptors_with_the_second_part", {put(1, more), put(2, kFlagCritical, 1)}, 1, "mixed"},
  };
}

class Broken : public testing::TestWithParam<Bad> {};

TEST_P(Broken, is_fatal_says_why_and_keeps_no_descriptor) {
  const size_t before = open_fds();
  {
    Ends ends = make_ends();
    Link link(std::move(ends.here));
    const auto fds = some_fds(GetParam().fds);
    const auto& messages = GetParam().messages;
    for (const std::string& bytes : messages) {
      send_raw(ends.there.get(), bytes, &bytes == &messages.back() ? raw(fds) : std::vector<int>());
    }
    Message message;
    Link::Got got = Link::Got::message;
    while (got == Link::Got::message) got = link.receive(message);
    EXPECT_EQ(got, Link::Got::broken);
    EXPECT_NE(link.error().find(GetParam().error), std::string::npos) << link.error();
  }
  EXPECT_EQ(open_fds(), before);
}

INSTANTIATE_TEST_SUITE_P(Link, Broken, testing::ValuesIn(bad_messages()),
                         [](const auto& bad) { return bad.param.name; });

TEST(LinkFrames, unknown_one_without_critical_is_skipped_with_its_descriptors) {
  Ends ends = make_ends();
  Link link(std::move(ends.here));
  const auto fds = some_fds(2);
  const size_t before = open_fds();
  send_raw(ends.there.get(), message_of(40, 0, 1, 2, "new"), raw(fds));
  send_raw(ends.there.get(), put(2));
  Message message;
  EXPECT_EQ(link.receive(message), Link::Got::message);
  EXPECT_EQ(message.type, kType);
  EXPECT_TRUE(message.fds.empty());
  EXPECT_EQ(open_fds(), before);
}

TEST(LinkLimits, receiver_that_may_open_no_more_ends_the_attempt_and_leaks_nothing) {
  EXPECT_TRUE(holds_in_child([] {
    Ends ends = make_ends();
    Link sender(std::move(ends.there));
    Link receiver(std::move(ends.here));
    const auto fds = some_fds(100);
    ASSERT_TRUE(sender.send(FrameType::connections, "c", raw(fds)).ok());
    const size_t before = open_fds();
    rlimit limit{};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const rlim_t enough = limit.rlim_cur;
    limit.rlim_cur = before + 5;
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    Message message;
    EXPECT_EQ(receiver.receive(message), Link::Got::broken);
    EXPECT_NE(receiver.error().find("RLIMIT_NOFILE"), std::string::npos) << receiver.error();
    limit.rlim_cur = enough;
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    EXPECT_EQ(open_fds(), before);
  }));
}

// The kernel counts what is on its way for a user against RLIMIT_NOFILE.
TEST(LinkLimits, sender_waits_while_too_many_descriptors_of_its_user_are_on_their_way) {
  if (geteuid() != 0) GTEST_SKIP() << "becoming a user with nothing else on its way needs root";
  EXPECT_TRUE(holds_in_child([] {
    constexpr uid_t kNobodyElse = 64'321;
    constexpr size_t kMessages = 20;
    ASSERT_EQ(setresuid(kNobodyElse, kNobodyElse, kNobodyElse), 0);
    Ends ends = make_ends();
    Link sender(std::move(ends.there));
    Link receiver(std::move(ends.here));
    const auto fds = some_fds(10);
    const rlimit limit{open_fds() + 50, open_fds() + 50};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    size_t sent = 0;
    while (!sender.congested() && sent < kMessages) {
      const Status status = sender.send(FrameType::connections, "c", raw(fds));
      ASSERT_TRUE(status.ok()) << status.text;
      ++sent;
    }
    EXPECT_LT(sent, kMessages) << "the kernel took them all: this test proves nothing";
    size_t received = 0;
    Message message;
    while (receiver.receive(message) == Link::Got::message || sender.congested()) {
      received += message.fds.size();
      ASSERT_TRUE(sender.flush().ok());
    }
    EXPECT_EQ(received, sent * fds.size());
  }));
}

TEST_F(Pair, names_who_sent_a_message_beside_all_the_descriptors_that_one_can_carry) {
  there_.name_senders(true);
  const std::vector<UniqueFd> fds = some_fds(kMaxFdsPerMessage);
  ASSERT_TRUE(here_.send(kType, "x", raw(fds)).ok());
  Message message;
  ASSERT_EQ(there_.receive(message), Link::Got::message) << there_.error();
  EXPECT_EQ(message.fds.size(), kMaxFdsPerMessage);
  EXPECT_EQ(message.sender.pid, getpid());
  if (message.sender.pidfd.valid()) {  // since Linux 6.5
    EXPECT_EQ(process_of(message.sender.pidfd.get()), getpid());
  }
  there_.name_senders(false);
  ASSERT_TRUE(here_.send(kType, "x").ok());
  ASSERT_EQ(there_.receive(message), Link::Got::message);
  EXPECT_EQ(message.sender.pid, 0);
  EXPECT_FALSE(message.sender.pidfd.valid());
}

}  // namespace
}  // namespace segue::handoff::test
