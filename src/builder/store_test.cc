// SPDX-License-Identifier: Apache-2.0
#include "builder/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "os/files.h"
#include "os/temp_directory.h"

namespace segue::builder {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class StoreTest : public testing::Test {
 protected:
  StoreTest() : store_(folder_.path("state")) { EXPECT_TRUE(store_.open()); }

  static Record record(std::uint64_t id) {
    return {
        .id = id, .repository = "chat", .ref = "refs/heads/main", .commit = std::string(40, 'a')};
  }

  std::vector<Record> records() {
    damaged_.clear();
    return *store_.records(damaged_);
  }

  os::TempDirectory folder_;
  Store store_;
  std::vector<std::string> damaged_;
};

TEST_F(StoreTest, belongs_to_one_builder) {
  Store other(folder_.path("state"));
  const auto opened = other.open();
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), base::ErrorCode::failed_precondition);
}

TEST_F(StoreTest, gives_records_back_and_names_damaged_ones) {
  ASSERT_TRUE(store_.save(record(1)));
  ASSERT_TRUE(store_.save(record(2)));
  EXPECT_THAT(records(), ElementsAre(record(1), record(2)));

  const std::string torn = folder_.path("state") + "/builds/00000002/record.json";
  ASSERT_TRUE(os::write_file_atomically(torn, "{"));
  std::filesystem::create_directories(folder_.path("state") + "/builds/00000003");
  EXPECT_THAT(records(), ElementsAre(record(1)));
  EXPECT_THAT(damaged_, ElementsAre(HasSubstr("00000002/record.json")));

  ASSERT_TRUE(store_.forget(1));
  EXPECT_TRUE(records().empty());
}

TEST_F(StoreTest, keeps_how_far_each_ref_has_been_looked_at) {
  EXPECT_TRUE(store_.refs_seen("chat")->commits.empty());
  ASSERT_TRUE(store_.save(
      "chat",
      {.commits = {{"refs/heads/main", std::string(40, 'b')}}, .waiting = 3, .error = "no route"}));
  const auto seen = store_.refs_seen("chat");
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->commits.at("refs/heads/main"), std::string(40, 'b'));
  EXPECT_EQ(seen->waiting, 3U);
  EXPECT_EQ(seen->error, "no route");
  ASSERT_TRUE(os::write_file_atomically(folder_.path("state") + "/repositories/chat/refs.json",
                                        "{\"refs\""));
  EXPECT_EQ(store_.refs_seen("chat").error().code(), base::ErrorCode::data_loss);
}

TEST_F(StoreTest, spools_notices_without_a_builder_and_up_to_a_bound) {
  const Notice first{
      .repository = "chat", .ref = "refs/heads/main", .commit = std::string(40, 'a')};
  const Notice second{.repository = "chat"};
  const Store writer(folder_.path("state"));
  ASSERT_TRUE(writer.spool(first));
  ASSERT_TRUE(writer.spool(first)) << "once is enough for a commit";
  ASSERT_TRUE(writer.spool(second));
  ASSERT_TRUE(os::write_file_atomically(store_.spool_folder() + "/junk", "junk"));
  const auto spooled = store_.spooled();
  ASSERT_TRUE(spooled);
  ASSERT_EQ(spooled->size(), 3U);
  EXPECT_EQ(*spooled->at(0).notice, first);
  EXPECT_EQ(*spooled->at(1).notice, second);
  EXPECT_FALSE(spooled->at(2).notice);
  for (const auto& one : *spooled) ASSERT_TRUE(store_.unspool(one.file));
  EXPECT_TRUE(store_.spooled()->empty());

  for (std::size_t i = 0; i < kMaxSpooled; ++i) {
    std::ofstream(store_.spool_folder() + "/" + std::to_string(i)) << encode(second);
  }
  const auto full = writer.spool(second);
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code(), base::ErrorCode::resource_exhausted);
  EXPECT_THAT(full.error().message(), HasSubstr("segue build run"));
}

TEST_F(StoreTest, removes_a_working_copy_whatever_its_modes_are) {
  const auto work = store_.make_work(7);
  ASSERT_TRUE(work);
  std::filesystem::create_directories(*work + "/tree/locked/below");
  std::filesystem::permissions(*work + "/tree/locked", std::filesystem::perms::none);
  ASSERT_TRUE(store_.make_work(7));
  EXPECT_FALSE(std::filesystem::exists(*work + "/tree"));
  ASSERT_TRUE(store_.clear_work());
  EXPECT_FALSE(std::filesystem::exists(*work));
}

}  // namespace
}  // namespace segue::builder
