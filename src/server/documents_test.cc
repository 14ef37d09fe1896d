// SPDX-License-Identifier: Apache-2.0
#include "server/documents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/books.h"
#include "server/test_server.h"

namespace segue::server {
namespace {

using base::ErrorCode;
using testing::HasSubstr;

template <class Record>
void expect_read_as_written(const Record& record) {
  const std::string text = write_record(record);
  EXPECT_EQ(read_record<Record>(text), record) << text;
  EXPECT_EQ(read_record<Record>(text.substr(0, text.size() / 2)).error().code(),
            ErrorCode::data_loss);
  EXPECT_EQ(read_record<Record>("{}").error().code(), ErrorCode::data_loss);
}

TEST(ServerDocuments, are_read_as_they_were_written) {
  expect_read_as_written(FleetRecord{.id = "f", .epoch = 3, .stopped = true, .stopped_by = "ada"});
  expect_read_as_written(HostRecord{.name = "a",
                                    .site = "berlin",
                                    .labels = {"x=1", "y=2"},
                                    .key_fingerprint = "k",
                                    .previous_fingerprint = "p",
                                    .joined_ms = 5,
                                    .drained = true,
                                    .revoked = true});
  expect_read_as_written(TokenRecord{
      .id = "t", .secret_digest = "d", .site = "s", .uses_left = 4, .expires_ms = 9, .by = "ada"});
  expect_read_as_written(ComponentRecord{.name = "hub", .newest = 4, .current = 3, .rollouts = 9});
  expect_read_as_written(AuditHead{.number = 7, .digest = "d"});
  expect_read_as_written(
      fleet::Assignment{.revision = 3, .stage = 4, .order = "o", .share_ppm = 5, .share_salt = 6});
}

TEST(ServerDocuments, of_a_newer_format_ask_for_an_upgrade) {
  std::string text = write_record(FleetRecord{.id = "f"});
  const auto at = text.find("\"segue_fleet\":1");
  ASSERT_NE(at, std::string::npos);
  const auto read = read_record<FleetRecord>(text.replace(at, 15, "\"segue_fleet\":2"));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code(), ErrorCode::failed_precondition);
  EXPECT_THAT(read.error().message(), HasSubstr("upgrade"));
}

TEST(ServerKeys, name_an_instance_and_nothing_else) {
  const fleet::InstanceId instance{"berlin-1", "hub", fleet::Slot::canary};
  EXPECT_EQ(instance_of(assignment_key(instance)), instance);
  for (const char* wrong :
       {"hosts/a", "assignments/a", "assignments/a/hub", "assignments/a/hub/x"}) {
    EXPECT_FALSE(instance_of(wrong)) << wrong;
  }
}

TEST(Books, are_what_another_process_wrote) {
  TestServer server;
  server.join("berlin-1");
  ASSERT_EQ(server.end_of(server.deploy("1")), "done");
  (void)server.deploy("2");
  const Books& before = server.control->books();
  const auto hosts = before.hosts;
  const auto components = before.components;
  const auto assignments = before.assignments;
  const auto rollouts = before.rollouts.size();
  server.restart();
  const Books& after = server.control->books();
  EXPECT_EQ(after.hosts, hosts);
  EXPECT_EQ(after.components, components);
  EXPECT_EQ(after.assignments, assignments);
  EXPECT_EQ(after.rollouts.size(), rollouts);
  EXPECT_NE(after.spec("hub", 2), nullptr);
}

TEST(Books, name_the_key_that_is_damaged) {
  TestServer server;
  for (const char* key : {"hosts/a", "fleet", "specs/hub/1", "specs/hub", "people/x", "rollouts/r",
                          "assignments/a/hub/stable", "webhooks/w", "outbox/1", "requests/a/b"}) {
    store::TestScheduler scheduler;
    auto database = std::make_shared<store::MemoryDatabase>(scheduler);
    ASSERT_TRUE(database->commit(store::Transaction().put(key, "{\"x\":1}")));
    store::MemoryStore store(database, scheduler);
    std::optional<base::Result<Books>> books;
    read_books(store, [&](base::Result<Books> read) { books = std::move(read); });
    ASSERT_TRUE(scheduler.run_until([&] { return books.has_value(); }));
    ASSERT_FALSE(*books) << key;
    EXPECT_THAT(books->error().to_string(), HasSubstr(key));
  }
}

TEST(Books, select_hosts_by_all_that_is_named) {
  const HostRecord host{.name = "a", .site = "berlin", .labels = {"tier=front", "ssd=1"}};
  EXPECT_TRUE(selects({}, host));
  EXPECT_TRUE(selects({.names = {"b", "a"}, .sites = {"berlin"}, .labels = {"ssd=1"}}, host));
  EXPECT_FALSE(selects({.names = {"b"}}, host));
  EXPECT_FALSE(selects({.sites = {"oslo"}}, host));
  EXPECT_FALSE(selects({.labels = {"tier=front", "gpu=1"}}, host));
  HostRecord gone = host;
  gone.revoked = true;
  EXPECT_FALSE(selects({}, gone));
}

}  // namespace
}  // namespace segue::server
