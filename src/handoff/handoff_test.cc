// SPDX-License-Identifier: Apache-2.0
// Whole handoffs through the public header, both sides in this process, met in a directory.
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "handoff/test_service.h"

namespace segue::handoff::test {
namespace {

class Handoff : public HandoffTest {};

TEST_F(Handoff, first_instance_is_active_at_once) {
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK) << first.error();
  EXPECT_TRUE(first.active());
  EXPECT_GE(first.listener_fd, 0);
  EXPECT_EQ(first.events, std::vector<std::string>{"activate first"});
}

TEST_F(Handoff, records_connections_and_listeners_arrive) {
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  for (int i = 0; i < 1000; ++i) first.put("k" + std::to_string(i), std::to_string(i * i));
  first.put("large", std::string(300'000, 'x'));
  std::vector<int> clients;
  clients.reserve(300);
  for (int i = 0; i < 300; ++i) clients.push_back(first.connect("c" + std::to_string(i)));
  Service second(options());
  hand_over(first, second);
  EXPECT_EQ(second.data, first.data);
  EXPECT_EQ(second.connections, first.connections);
  EXPECT_GE(second.listener_fd, 0);
  EXPECT_EQ(first.events.back(), "terminate 1");
  for (const int fd : clients) close(fd);
}

TEST_F(Handoff, changes_during_the_background_arrive) {
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  for (int i = 0; i < 20'000; ++i) first.put("k" + std::to_string(i), "old");
  const int kept = first.connect("kept");
  const int closed = first.connect("closed");
  segue_conn* to_close = segue_conn_find(first.instance.get(), first.connections.rbegin()->first);
  Service second(options());
  ASSERT_EQ(second.start(), SEGUE_OK);
  int step = 0;
  ASSERT_TRUE(run({&first, &second},
                  [&] {
                    if (!first.active()) return first.ended() && second.active();
                    ++step;
                    first.put("k" + std::to_string(step % 20'000), "new" + std::to_string(step));
                    if (step % 3 == 0) first.erase("k" + std::to_string(19'999 - step));
                    if (step == 10) {
                      first.connections.erase(segue_conn_id(to_close));
                      segue_conn_close(to_close, SEGUE_CLOSE_FIN);
                    }
                    if (step == 12) close(first.connect("fresh"));
                    return false;
                  }))
      << first.error() << " / " << second.error();
  EXPECT_GT(step, 12);
  EXPECT_EQ(second.data, first.data);
  EXPECT_EQ(second.connections, first.connections);
  close(kept);
  close(closed);
}

TEST_F(Handoff, peer_sees_a_close_although_the_successor_holds_the_socket) {
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  const int client = first.connect("c");
  Service second(options());
  hand_over(first, second);
  segue_conn* conn = segue_conn_find(second.instance.get(), second.connections.begin()->first);
  ASSERT_NE(conn, nullptr);
  ASSERT_EQ(segue_conn_close(conn, SEGUE_CLOSE_FIN), SEGUE_OK);
  pollfd entry{client, POLLIN, 0};
  ASSERT_EQ(poll(&entry, 1, 1000), 1);
  char byte = 0;
  EXPECT_EQ(read(client, &byte, 1), 0);
  close(client);
}

TEST_F(Handoff, forms_are_converted_up_and_down_and_unknown_fields_survive) {
  const ServiceOptions v1 = options();
  ServiceOptions v2 = options();
  v2.form_version = 2;
  Service a(v1);
  ASSERT_EQ(a.start(), SEGUE_OK);
  a.put("k", "v");
  Service b(v2);
  hand_over(a, b);
  EXPECT_EQ(b.stamps["k"], 7U);  // the converter's default
  b.stamps["k"] = 42;
  segue_table_put(b.table, "k", 1);
  Service c(v1);
  hand_over(b, c);
  EXPECT_EQ(c.data["k"], "v");
  Service d(v2);
  hand_over(c, d);
  EXPECT_EQ(d.stamps["k"], 42U);
}

TEST_F(Handoff, form_without_common_version_is_refused_by_name) {
  ServiceOptions newer = options();
  newer.form_version = 3;
  newer.form_oldest = 2;
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  Service second(newer);
  ASSERT_EQ(second.start(), SEGUE_OK);
  ASSERT_TRUE(run({&first, &second}, [&] { return second.ended(); }));
  EXPECT_NE(second.error().find("kv.entry"), std::string::npos) << second.error();
  EXPECT_TRUE(first.active());
  EXPECT_FALSE(first.has("freeze"));
}

TEST_F(Handoff, another_service_is_refused) {
  ServiceOptions other = options();
  other.service = "mail";
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  Service second(other);
  ASSERT_EQ(second.start(), SEGUE_OK);
  ASSERT_TRUE(run({&first, &second}, [&] { return second.ended(); }));
  EXPECT_NE(second.error().find("mail"), std::string::npos) << second.error();
  EXPECT_TRUE(first.active());
}

TEST_F(Handoff, rehearsal_names_the_record_that_differs) {
  ServiceOptions spoilt = options();
  spoilt.spoil_encoding = true;
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  for (int i = 0; i < 10; ++i) first.put("k" + std::to_string(i), "v");
  Service second(spoilt);
  ASSERT_EQ(second.start(), SEGUE_OK);
  ASSERT_TRUE(run({&first, &second}, [&] { return second.ended(); }));
  EXPECT_NE(first.error().find("data k1"), std::string::npos) << first.error();
  EXPECT_TRUE(first.active());
  EXPECT_FALSE(first.has("freeze"));
}

TEST_F(Handoff, rehearsal_finds_a_change_that_was_not_told) {
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  for (int i = 0; i < 20'000; ++i) first.put("k" + std::to_string(i), "v");
  Service second(options());
  ASSERT_EQ(second.start(), SEGUE_OK);
  ASSERT_TRUE(run({&first, &second}, [&] {
    if (second.data.size() > 10) first.data["k0"] = "silently changed";
    return second.ended();
  }));
  EXPECT_NE(first.error().find("data k0"), std::string::npos) << first.error();
  EXPECT_TRUE(first.active());
}

TEST_F(Handoff, service_check_and_acquire_can_decline) {
  for (const bool check : {true, false}) {
    Service first(options());
    ASSERT_EQ(first.start(), SEGUE_OK);
    ServiceOptions failing = options();
    failing.fail_check = check;
    failing.fail_acquire = !check;
    Service second(failing);
    ASSERT_EQ(second.start(), SEGUE_OK);
    ASSERT_TRUE(run({&first, &second}, [&] { return second.ended(); }));
    EXPECT_TRUE(first.active()) << first.error();
    EXPECT_NE(first.error().find(check ? "the sum is wrong" : "resource"), std::string::npos)
        << first.error();
    EXPECT_EQ(first.has("resume 2"), !check);
  }
}

TEST_F(Handoff, second_successor_is_refused_while_one_is_served) {
  ServiceOptions waits = options();
  waits.vote_required = true;
  Service first(waits);
  ASSERT_EQ(first.start(), SEGUE_OK);
  Service second(options());
  ASSERT_EQ(second.start(), SEGUE_OK);
  ASSERT_TRUE(run({&first, &second}, [&] { return second.active(); }));
  Service third(options());
  ASSERT_EQ(third.start(), SEGUE_OK);
  ASSERT_TRUE(run({&first, &second, &third}, [&] { return third.ended(); }));
  EXPECT_NE(third.error().find("under way"), std::string::npos) << third.error();
  segue_vote(second.instance.get(), 1, nullptr);
  ASSERT_TRUE(run({&first, &second}, [&] { return first.ended(); }));
  EXPECT_TRUE(second.active());
}

TEST_F(Handoff, fifty_in_a_row) {
  auto current = std::make_unique<Service>(options());
  ASSERT_EQ(current->start(), SEGUE_OK);
  const int client = current->connect("c");
  for (int i = 0; i < 50; ++i) {
    current->put("round", std::to_string(i));
    auto next = std::make_unique<Service>(options());
    hand_over(*current, *next);
    ASSERT_EQ(next->data["round"], std::to_string(i));
    ASSERT_EQ(next->connections.size(), 1U);
    current = std::move(next);
  }
  close(client);
}

}  // namespace
}  // namespace segue::handoff::test
