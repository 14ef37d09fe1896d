// SPDX-License-Identifier: Apache-2.0
#include "server/server_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "os/clock.h"
#include "os/files.h"
#include "os/temp_directory.h"
#include "server/credentials.h"
#include "store/memory_store.h"
#include "store/test_scheduler.h"

namespace segue::server {
namespace {

using base::ErrorCode;
using base::Result;
using testing::HasSubstr;

const ServerRecord kBerlin{"berlin", "berlin.example:7443", "https://berlin.example:7444"};
const ServerRecord kOslo{"oslo", "oslo.example:7443", "https://oslo.example:7444"};

class ServerListTest : public testing::Test {
 protected:
  // A server's own way to the store, and its list.
  struct Server {
    explicit Server(ServerListTest& test, store::MemoryFaults faults = {})
        : store(test.database_, test.scheduler_, std::move(faults)),
          list(store, test.scheduler_, test.log_, [this] { ++changes; }) {}
    store::MemoryStore store;
    int changes = 0;
    ServerList list;
  };

  void expect_list(const Server& server, const std::vector<ServerRecord>& wanted) {
    EXPECT_TRUE(scheduler_.run_until([&] { return server.list.all() == wanted; }));
  }

  store::TestScheduler scheduler_;
  base::Log log_;
  std::shared_ptr<store::MemoryDatabase> database_ =
      std::make_shared<store::MemoryDatabase>(scheduler_);
};

TEST_F(ServerListTest, each_sees_all_itself_first) {
  Server berlin(*this);
  Server oslo(*this);
  berlin.list.announce(kBerlin);
  berlin.list.begin();
  expect_list(berlin, {kBerlin});
  oslo.list.begin();
  oslo.list.announce(kOslo);
  expect_list(oslo, {kOslo, kBerlin});
  expect_list(berlin, {kBerlin, kOslo});
}

TEST_F(ServerListTest, one_that_has_ended_stays_until_it_is_removed) {
  Server berlin(*this);
  berlin.list.announce(kBerlin);
  berlin.list.begin();
  {
    Server oslo(*this);
    oslo.list.announce(kOslo);
    oslo.list.begin();
    expect_list(berlin, {kBerlin, kOslo});
  }
  scheduler_.run_for(std::chrono::hours(1));
  expect_list(berlin, {kBerlin, kOslo});
  store::Transaction removal;
  removal.erase(server_key("oslo"));
  ASSERT_TRUE(database_->commit(removal));
  expect_list(berlin, {kBerlin});
}

TEST_F(ServerListTest, tries_again_while_the_store_cannot_be_reached) {
  bool is_away = true;
  Server berlin(*this, [&](store::MemoryRequest) {
    store::MemoryFault fault;
    if (is_away) fault.effect = store::MemoryFault::Effect::not_committed;
    return fault;
  });
  berlin.list.announce(kBerlin);
  berlin.list.begin();
  scheduler_.run_for(std::chrono::minutes(5));
  EXPECT_FALSE(berlin.list.is_listed());
  is_away = false;
  EXPECT_TRUE(
      scheduler_.run_until([&] { return database_->get(server_key("berlin")).entry.has_value(); }));
}

TEST_F(ServerListTest, a_damaged_record_is_passed_over) {
  store::Transaction damage;
  damage.put(server_key("moon"), "{}").put(server_key("oslo"), write_record(kOslo));
  ASSERT_TRUE(database_->commit(damage));
  Server berlin(*this);
  berlin.list.announce(kBerlin);
  berlin.list.begin();
  expect_list(berlin, {kBerlin, kOslo});
}

// ---- The authority of the fleet

class AuthorityTest : public ServerListTest {
 protected:
  Result<pki::Authority> settle(const os::TempDirectory& directory) {
    std::optional<Result<pki::Authority>> settled;
    settle_authority(store_, directory.path("server"), clock_,
                     [&](Result<pki::Authority> authority) { settled = std::move(authority); });
    EXPECT_TRUE(scheduler_.run_until([&] { return settled.has_value(); }));
    return *settled;
  }
  static void copy_key(const os::TempDirectory& from, const os::TempDirectory& to) {
    ASSERT_TRUE(os::ensure_private_directory(to.path("server")));
    std::filesystem::copy_file(from.path("server/authority.key"), to.path("server/authority.key"));
  }

  const os::SystemClock clock_;
  store::MemoryStore store_{database_, scheduler_};
  const os::TempDirectory first_;
  const os::TempDirectory second_;
};

TEST_F(AuthorityTest, the_first_server_makes_it_and_the_second_needs_its_key_alone) {
  const auto made = settle(first_);
  ASSERT_TRUE(made) << made.error().to_string();
  const auto refused = settle(second_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::failed_precondition);
  EXPECT_THAT(refused.error().message(), HasSubstr("copy authority.key of another"));
  EXPECT_FALSE(std::filesystem::exists(second_.path("server/authority.key")));
  copy_key(first_, second_);
  const auto copied = settle(second_);
  ASSERT_TRUE(copied) << copied.error().to_string();
  EXPECT_EQ(copied->certificate(), made->certificate());
  EXPECT_EQ(os::read_file(second_.path("server/authority.pem"), 10'000).value(),
            made->certificate());
  EXPECT_EQ(settle(first_)->certificate(), made->certificate());
}

TEST_F(AuthorityTest, of_a_fleet_from_before_it_is_the_one_that_is_there) {
  const auto before = open_authority(first_.path("server"), clock_);
  ASSERT_TRUE(before);
  EXPECT_EQ(settle(first_)->certificate(), before->certificate());
  EXPECT_EQ(database_->get(std::string(kAuthorityKey)).entry->value, before->certificate());
}

TEST_F(AuthorityTest, a_server_with_the_key_of_another_fleet_is_refused) {
  ASSERT_TRUE(open_authority(second_.path("server"), clock_));
  ASSERT_TRUE(settle(first_));
  const auto refused = settle(second_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::failed_precondition);
  EXPECT_THAT(refused.error().message(), HasSubstr("is not the key of the fleet"));
}

}  // namespace
}  // namespace segue::server
