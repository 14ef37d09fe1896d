// SPDX-License-Identifier: Apache-2.0
// A client sees at once that its connection is closed, whoever else holds the socket; and sockets
// that are half closed or full move as they are.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include "handoff/clock.h"
#include "handoff/test_link.h"
#include "handoff/test_service.h"
#include "handoff/unique_fd.h"

namespace segue::handoff::test {
namespace {

constexpr size_t kConnections = 20;
constexpr int kRecords = 20'000;  // so that each phase takes several turns of the loop

class Connections : public HandoffTest {
 protected:
  // Gives the service a TCP connection; returns the client's end.
  static UniqueFd connect_to(Service& service, const std::string& state) {
    Tcp tcp = connected();
    service.add(tcp.server.release(), state);
    return std::move(tcp.client);
  }
  static int server_end(Service& service, const std::string& state) {
    for (const auto& [id, known] : service.connections) {
      if (known == state) return segue_conn_fd(segue_conn_find(service.instance.get(), id));
    }
    return -1;
  }
};

// ---- Closing
// -------------------------------------------------------------------------------------

enum class When { background, rehearsal, probation, committed };

struct Closing {
  When when{};
  segue_close_how how{};
  std::string name;
};

void PrintTo(const Closing& closing, std::ostream* out) {  // NOLINT: GoogleTest's name
  *out << closing.name;
}

class Close : public Connections, public testing::WithParamInterface<Closing> {
 protected:
  // Closes all connections of the service that owns them, and measures when clients see it.
  void close_all(Service& owner) {
    while (!owner.connections.empty()) {
      const auto [id, state] = *owner.connections.begin();
      owner.connections.erase(id);
      const int client = clients_[std::stoul(state)].get();
      const uint64_t closed_at = monotonic_ns();
      EXPECT_EQ(segue_conn_close(segue_conn_find(owner.instance.get(), id), GetParam().how),
                SEGUE_OK);
      const bool fin = GetParam().how == SEGUE_CLOSE_FIN;
      EXPECT_TRUE(!fin || next(client) == "goodbye");
      EXPECT_EQ(next(client), fin ? "FIN" : "RST");
      slowest_us_ = std::max(slowest_us_, (monotonic_ns() - closed_at) / 1000);
      ++closed_;
    }
  }
  bool due(const Service& first, const Service& second) const {
    const uint32_t phase = first.progress().phase;
    switch (GetParam().when) {
      case When::background:
        return phase == SEGUE_PHASE_BACKGROUND && second.connections.size() == kConnections;
      case When::rehearsal:
        return phase == SEGUE_PHASE_REHEARSAL;
      case When::probation:
        return second.active() && !first.ended();
      case When::committed:
        return second.active() && first.ended();
    }
    return false;
  }
  std::vector<UniqueFd> clients_;
  size_t closed_ = 0;
  uint64_t slowest_us_ = 0;
};

TEST_P(Close, is_seen_by_the_client_and_by_the_other_instance) {
  ServiceOptions o = options();
  o.vote_required = true;
  Service first(o);
  ASSERT_EQ(first.start(), SEGUE_OK);
  for (int i = 0; i < kRecords; ++i) first.put("k" + std::to_string(i), "v");
  for (size_t i = 0; i < kConnections; ++i) {
    clients_.push_back(connect_to(first, std::to_string(i)));
    if (GetParam().how == SEGUE_CLOSE_FIN) {
      write_all(server_end(first, std::to_string(i)), "goodbye");
    }
  }
  Service second(options());
  ASSERT_EQ(second.start(), SEGUE_OK);
  const bool by_successor =
      GetParam().when == When::probation || GetParam().when == When::committed;
  ASSERT_TRUE(run({&first, &second},
                  [&] {
                    if (closed_ == 0 && due(first, second)) {
                      close_all(by_successor ? second : first);
                    }
                    const bool may_end = closed_ > 0 || GetParam().when == When::committed;
                    if (second.active() && may_end) segue_vote(second.instance.get(), 1, nullptr);
                    return closed_ > 0 && first.ended() && second.active();
                  }))
      << first.error() << " / " << second.error();
  EXPECT_EQ(closed_, kConnections);
  EXPECT_TRUE(second.connections.empty());
  EXPECT_EQ(second.data.size(), static_cast<size_t>(kRecords));
  RecordProperty("slowest_us", static_cast<int>(slowest_us_));
}

std::vector<Closing> closings() {
  return {{When::background, SEGUE_CLOSE_FIN, "fin_in_background"},
          {When::background, SEGUE_CLOSE_RST, "rst_in_background"},
          {When::rehearsal, SEGUE_CLOSE_FIN, "fin_in_rehearsal"},
          {When::rehearsal, SEGUE_CLOSE_RST, "rst_in_rehearsal"},
          {When::probation, SEGUE_CLOSE_FIN, "fin_in_probation"},
          {When::probation, SEGUE_CLOSE_RST, "rst_in_probation"},
          {When::committed, SEGUE_CLOSE_FIN, "fin_after_commit"},
          {When::committed, SEGUE_CLOSE_RST, "rst_after_commit"}};
}

INSTANTIATE_TEST_SUITE_P(Owner, Close, testing::ValuesIn(closings()),
                         [](const auto& closing) { return closing.param.name; });

TEST_F(Connections, reset_of_another_kind_of_socket_ends_its_stream) {
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  const UniqueFd client(first.connect("unix"));
  const uint64_t id = first.connections.begin()->first;
  ASSERT_EQ(segue_conn_close(segue_conn_find(first.instance.get(), id), SEGUE_CLOSE_RST), SEGUE_OK);
  EXPECT_EQ(next(client.get()), "FIN");
}

TEST_F(Connections, slot_of_a_closed_one_is_reused_under_another_id_in_the_middle_of_a_handoff) {
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  for (int i = 0; i < kRecords; ++i) first.put("k" + std::to_string(i), "v");
  const UniqueFd old_client = connect_to(first, "old");
  const uint64_t old_id = first.connections.begin()->first;
  Service second(options());
  ASSERT_EQ(second.start(), SEGUE_OK);
  UniqueFd new_client;
  ASSERT_TRUE(run({&first, &second},
                  [&] {
                    if (!new_client.valid() && second.connections.contains(old_id)) {
                      first.connections.erase(old_id);
                      segue_conn_close(segue_conn_find(first.instance.get(), old_id),
                                       SEGUE_CLOSE_FIN);
                      new_client = connect_to(first, "new");
                    }
                    return first.ended() && second.active();
                  }))
      << first.error() << " / " << second.error();
  ASSERT_EQ(second.connections.size(), 1U);
  const auto [id, state] = *second.connections.begin();
  EXPECT_EQ(state, "new");
  EXPECT_EQ(static_cast<uint32_t>(id), static_cast<uint32_t>(old_id)) << "the slot";
  EXPECT_NE(id, old_id);
  EXPECT_EQ(segue_conn_find(second.instance.get(), old_id), nullptr);
  write_all(server_end(second, "new"), "hello");
  EXPECT_EQ(next(new_client.get()), "hello");
}

// ---- Moving ------------------------------------------------------------------------------------

TEST_F(Connections, one_that_the_client_half_closed_is_answered_by_the_successor) {
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  const UniqueFd client = connect_to(first, "c");
  write_all(client.get(), "last request");
  ASSERT_EQ(shutdown(client.get(), SHUT_WR), 0);
  Service second(options());
  hand_over(first, second);
  const int server = server_end(second, "c");
  EXPECT_EQ(next(server), "last request");
  EXPECT_EQ(next(server), "FIN");
  write_all(server, "answer");
  EXPECT_EQ(next(client.get()), "answer");
}

TEST_F(Connections, one_that_the_service_half_closed_is_still_read_by_the_successor) {
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  const UniqueFd client = connect_to(first, "c");
  ASSERT_EQ(shutdown(server_end(first, "c"), SHUT_WR), 0);
  Service second(options());
  hand_over(first, second);
  EXPECT_EQ(next(client.get()), "FIN");
  write_all(client.get(), "still here");
  EXPECT_EQ(next(server_end(second, "c")), "still here");
}

TEST_F(Connections, one_that_the_client_has_closed_comes_along_and_tells_the_successor) {
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  UniqueFd client = connect_to(first, "c");
  client.reset();
  Service second(options());
  hand_over(first, second);
  EXPECT_EQ(next(server_end(second, "c")), "FIN");
}

TEST_F(Connections, full_buffers_both_ways_arrive_whole_and_in_order) {
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  const UniqueFd client = connect_to(first, "c");
  const auto fill = [](int fd) {
    std::string sent;
    std::string chunk(5'000, '\0');
    for (ssize_t size = 0; size >= 0;) {
      for (char& c : chunk) c = static_cast<char>('a' + (sent.size() * 7 + 13) % 26);
      size = send(fd, chunk.data(), chunk.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (size > 0) sent.append(chunk, 0, static_cast<size_t>(size));
    }
    EXPECT_EQ(errno, EAGAIN);
    return sent;
  };
  const std::string to_client = fill(server_end(first, "c"));
  const std::string to_server = fill(client.get());
  EXPECT_GT(to_client.size(), 100'000U);
  Service second(options());
  hand_over(first, second);
  const int server = server_end(second, "c");
  std::string at_client;
  while (at_client.size() < to_client.size()) at_client += next(client.get());
  write_all(server, "and on");
  EXPECT_EQ(next(client.get()), "and on");
  std::string at_server;
  while (at_server.size() < to_server.size()) at_server += next(server);
  EXPECT_TRUE(at_client == to_client);
  EXPECT_TRUE(at_server == to_server);
}

}  // namespace
}  // namespace segue::handoff::test
