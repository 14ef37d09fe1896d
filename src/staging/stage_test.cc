// SPDX-License-Identifier: Apache-2.0
#include "staging/stage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "staging/test_stage.h"

namespace segue::staging {
namespace {

using base::ErrorCode;
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using tree::TestTree;

TEST_F(Stage, goes_from_nothing_to_live_to_the_next_and_back) {
  const StageReport first = staged("1.0");
  EXPECT_EQ(first.way, Way::chunks);
  EXPECT_FALSE(std::filesystem::exists(live()));
  ASSERT_TRUE(go("1.0"));
  expect_live("1.0");

  const StageReport second = staged("1.1");
  EXPECT_EQ(second.way, Way::delta) << ::testing::PrintToString(second.notes);
  EXPECT_EQ(second.from, "chat 1.0");
  EXPECT_LT(second.fetched_bytes, 2'000U);
  expect_live("1.0");
  ASSERT_TRUE(go("1.1"));
  expect_live("1.1");
  expect_all_as_signed();

  Place place = open();
  const auto undone = undo(place);
  ASSERT_TRUE(undone) << undone.error().to_string();
  EXPECT_EQ(undone->to.version, "1.0");
  expect_live("1.0");
  EXPECT_EQ(place.trees().at(1).record.version, "1.1");
  EXPECT_EQ(place.trees().at(1).role, Role::previous);
}

// A release that was announced, and whose deltas are still being made.
library::Release without_deltas(library::Release release, tuf::Time until) {
  release.pending = library::PendingDeltas{until, {"1.0"}};
  release.deltas.clear();
  return release;
}

TEST_F(Stage, waits_for_a_delta_that_is_being_made) {
  make_live("1.0");
  const library::Release whole = published_.at("1.1");
  library_.announce(without_deltas(whole, whole.published + std::chrono::hours(1)));
  StageRequest asked = request("1.1");
  asked.delta_wait = std::chrono::minutes(10);
  int pauses = 0;
  asked.pause = [&](base::Duration length) {
    library_.clock.advance(length);
    if (++pauses == 3) library_.announce(whole);
  };
  Place place = open();
  const auto report = stage(place, asked, library_.clock);
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_EQ(report->way, Way::delta);
  EXPECT_EQ(pauses, 3);
}

TEST_F(Stage, waits_for_no_delta_for_ever_nor_for_one_that_would_not_do) {
  make_live("1.0");
  const library::Release whole = published_.at("1.1");
  struct Case {
    std::chrono::seconds until;
    std::chrono::seconds wait;
    const char* from;
    int min_pauses;
    int max_pauses;
  };
  for (const Case& each : {Case{std::chrono::hours(1), std::chrono::seconds(60), "1.0", 12, 12},
                           Case{std::chrono::seconds(90), std::chrono::hours(1), "1.0", 1, 18},
                           Case{std::chrono::hours(1), std::chrono::seconds(60), "0.9", 0, 0},
                           Case{std::chrono::hours(1), std::chrono::seconds(0), "1.0", 0, 0}}) {
    const auto now = std::chrono::floor<std::chrono::seconds>(library_.clock.realtime_now());
    library::Release lacking = without_deltas(whole, now + each.until);
    lacking.pending->from = {each.from};
    library_.announce(lacking);
    StageRequest asked = request("1.1");
    asked.delta_wait = each.wait;
    int pauses = 0;
    asked.pause = [&](base::Duration length) {
      library_.clock.advance(length);
      ++pauses;
    };
    Place place = open();
    const auto report = stage(place, asked, library_.clock);
    ASSERT_TRUE(report) << report.error().to_string();
    EXPECT_EQ(report->way, Way::chunks);
    EXPECT_GE(pauses, each.min_pauses);
    EXPECT_LE(pauses, each.max_pauses);
    ASSERT_TRUE(place.remove(report->tree.number));
  }
}

TEST_F(Stage, leaves_chunks_half_of_the_time_until_it_goes_live) {
  make_live("1.0");
  const library::Release whole = published_.at("1.1");
  library_.announce(without_deltas(whole, whole.published + std::chrono::hours(1)));
  StageRequest asked = request("1.1");
  asked.delta_wait = std::chrono::minutes(10);
  const auto begun = library_.clock.monotonic_now();
  asked.go_live_at = std::chrono::floor<std::chrono::seconds>(library_.clock.realtime_now()) +
                     std::chrono::minutes(5);
  asked.pause = [&](base::Duration length) { library_.clock.advance(length); };
  Place place = open();
  const auto report = stage(place, asked, library_.clock);
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_EQ(report->way, Way::chunks);
  EXPECT_LE(library_.clock.monotonic_now() - begun, std::chrono::seconds(160));
  EXPECT_GE(library_.clock.monotonic_now() - begun, std::chrono::seconds(140));
}

TEST_F(Stage, stores_what_does_not_change_once) {
  make_live("1.0");
  const StageReport report = staged("1.1");
  if (report.build.files_cloned > 0) GTEST_SKIP() << "this filesystem has reflinks";
  EXPECT_EQ(report.build.files_linked, 4U);  // two of lib, data/db, empty
  struct stat status{};
  ASSERT_EQ(::stat(live("lib/stays.so").c_str(), &status), 0);
  EXPECT_EQ(status.st_nlink, 2U);
}

TEST_F(Stage, files_that_are_written_to_in_place_are_not_shared) {
  make_live("1.0");
  StageRequest asked = request("1.1");
  asked.writable = {"data"};
  Place place = open();
  ASSERT_TRUE(stage(place, asked, library_.clock));
  struct stat status{};
  ASSERT_EQ(::stat(live("data/db").c_str(), &status), 0);
  EXPECT_EQ(status.st_nlink, 1U);
}

TEST_F(Stage, writer_in_place_is_found_before_the_switch_and_repaired) {
  make_live("1.0");
  const StageReport report = staged("1.1");
  if (report.build.files_linked == 0) GTEST_SKIP() << "nothing is shared on this filesystem";
  flip(live("data/db"), 100);
  const auto refused = go("1.1");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::data_loss);
  EXPECT_THAT(refused.error().message(), HasSubstr("data/db: content"));

  const StageReport again = staged("1.1");
  EXPECT_EQ(again.way, Way::chunks);
  ASSERT_TRUE(go("1.1"));
  expect_live("1.1");
}

TEST_F(Stage, damaged_live_tree_is_replaced_by_the_same_version_once_that_is_staged_anew) {
  make_live("1.0");
  flip(live("bin/app"), 100);
  EXPECT_TRUE(go("1.0")->was_live) << "nothing else is there to go live";
  EXPECT_NE(staged("1.0").way, Way::present);
  const auto mended = go("1.0");
  ASSERT_TRUE(mended) << mended.error().to_string();
  EXPECT_FALSE(mended->was_live);
  expect_live("1.0");
  EXPECT_TRUE(go("1.0")->was_live);
}

TEST_F(Stage, what_a_program_has_to_be_is_said_by_what_was_signed) {
  make_live("1.0");
  const auto bytes = os::read_file(live("bin/app"), 1 << 20);
  ASSERT_TRUE(bytes);
  flip(live("bin/app"), 100);
  const Place place = open();
  const auto of = [&](const std::string& path) {
    return signed_digest(place, place.live()->record, path).value();
  };
  EXPECT_EQ(of("current"), "sha256:" + delta::digest_of(delta::view_of(*bytes)).hex());
  EXPECT_EQ(of("bin/alias"), of("bin/app"));
  EXPECT_EQ(of("bin"), std::nullopt);
}

TEST_F(Stage, tree_that_was_edited_by_hand_falls_back_to_the_chunks_it_lacks) {
  make_live("1.0");
  const TestTree edited(directory_.path("unused"));
  TestTree::write(live("bin/new"), "added by hand");
  flip(live("lib/stays.so"), 1000);
  const StageReport report = staged("1.1");
  EXPECT_EQ(report.way, Way::chunks);
  EXPECT_THAT(report.notes, Contains(HasSubstr("lib/stays.so")));
  EXPECT_LT(report.fetched_bytes, published_["1.1"].bytes / 2);
  ASSERT_TRUE(go("1.1"));
  expect_live("1.1");
  // What was edited is not lost.
  Place place = open();
  ASSERT_TRUE(undo(place, {.check = Check::nothing}));
  EXPECT_TRUE(std::filesystem::exists(live("bin/new")));
}

TEST_F(Stage, what_a_program_leaves_in_its_tree_costs_nothing_and_is_there_after_an_undo) {
  make_live("1.0");
  TestTree::write(live("spool/app.log"), "started");
  ASSERT_EQ(::mkfifo(live("spool/pipe").c_str(), 0600), 0);
  EXPECT_EQ(staged("1.1").way, Way::delta);
  ASSERT_TRUE(go("1.1"));
  expect_live("1.1");
  Place place = open();
  const auto undone = undo(place);
  ASSERT_TRUE(undone) << undone.error().to_string();
  EXPECT_TRUE(std::filesystem::exists(live("spool/app.log")));
}

TEST_F(Stage, tree_that_waits_may_hold_nothing_else) {
  make_live("1.0");
  staged("1.1");
  {
    const Place place = open();
    TestTree::write(place.trees().at(1).path + "/lib/planted.so", "x");
  }
  const auto refused = go("1.1");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("planted.so: unexpected"));
  staged("1.1");
  ASSERT_TRUE(go("1.1"));
  expect_live("1.1");
}

TEST_F(Stage, tree_that_was_put_there_by_hand_is_recognised) {
  const TestTree copied(live());
  fill(copied, "1.0");
  const StageReport report = staged("1.1");
  EXPECT_EQ(report.way, Way::delta) << ::testing::PrintToString(report.notes);
  ASSERT_TRUE(go("1.1"));
  Place place = open();
  const auto undone = undo(place);
  ASSERT_TRUE(undone);
  EXPECT_EQ(undone->to.version, "1.0");
}

TEST_F(Stage, unknown_tree_gives_its_chunks_and_can_be_undone_to) {
  const TestTree other(live());
  other.file("something", "else");
  other.file("lib", words(3, 30'000));
  const StageReport report = staged("1.1");
  EXPECT_EQ(report.way, Way::chunks);
  ASSERT_TRUE(go("1.1"));
  expect_live("1.1");
  Place place = open();
  ASSERT_TRUE(undo(place));
  EXPECT_TRUE(std::filesystem::exists(live("something")));
}

TEST_F(Stage, tree_that_no_manifest_can_describe_is_replaced_and_kept) {
  const TestTree other(live());
  ASSERT_EQ(::mkfifo(other.path("pipe").c_str(), 0600), 0);
  const StageReport report = staged("1.1");
  EXPECT_THAT(report.notes, Contains(HasSubstr("pipe is a fifo")));
  ASSERT_TRUE(go("1.1"));
  expect_live("1.1");
  Place place = open();
  ASSERT_TRUE(undo(place));
  EXPECT_TRUE(std::filesystem::exists(live("pipe")));
}

TEST_F(Stage, damaged_delta_is_named_and_chunks_are_taken) {
  make_live("1.0");
  const auto& delta = published_["1.1"].deltas.at(0).object;
  flip(library_.path_of(delta), static_cast<off_t>(delta.length / 2));
  const StageReport report = staged("1.1");
  EXPECT_EQ(report.way, Way::chunks);
  EXPECT_THAT(report.notes, Contains(HasSubstr(delta.sha256.hex())));
  ASSERT_TRUE(go("1.1"));
  expect_live("1.1");
}

// Signed, and still not what it says: whoever signs may be wrong.
TEST_F(Stage, delta_for_another_base_or_target_is_refused) {
  make_live("1.0");
  library::Release wrong = published_["1.2"];
  wrong.deltas = published_["1.1"].deltas;
  library_.announce(wrong);
  const StageReport report = staged("1.2");
  EXPECT_EQ(report.way, Way::chunks);
  EXPECT_THAT(report.notes, Contains(HasSubstr("the delta makes")));
}

TEST_F(Stage, delta_that_makes_more_than_was_announced_is_refused) {
  make_live("1.0");
  library::Release wrong = published_["1.1"];
  wrong.bytes = 1000;
  library_.announce(wrong);
  const auto report = stage_version("1.1");
  ASSERT_FALSE(report);
  expect_live("1.0");
  expect_all_as_signed();
}

TEST_F(Stage, damaged_chunk_is_refused_and_the_place_stays_as_it_was) {
  make_live("1.0");
  std::filesystem::remove(library_.path_of(published_["1.1"].deltas.at(0).object));
  // Every object that is not of 1.0 in any way.
  std::vector<std::string> damaged;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(library_.path("objects"))) {
    if (entry.is_regular_file() && entry.file_size() > 2'000) {
      flip(entry.path().string(), 1'000);
      damaged.push_back(entry.path().string());
    }
  }
  const auto report = stage_version("1.1");
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), ErrorCode::data_loss) << report.error().to_string();
  expect_live("1.0");
  for (const std::string& path : damaged) flip(path, 1'000);
  EXPECT_EQ(staged("1.1").way, Way::chunks);
}

TEST_F(Stage, truncated_object_is_an_error_that_says_how_far_it_came) {
  const auto& contents = published_["1.0"].contents;
  std::filesystem::resize_file(library_.path_of(contents), contents.length - 5);
  const auto report = stage_version("1.0");
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), ErrorCode::unavailable);
  EXPECT_THAT(report.error().message(), HasSubstr(fmt::format("of {} bytes", contents.length)));
}

TEST_F(Stage, goes_on_where_it_was_interrupted) {
  const auto& contents = published_["1.0"].contents;
  const std::string path = library_.path_of(contents);
  const std::string whole = os::read_file(path, contents.length).value();
  std::filesystem::resize_file(path, contents.length - 100);
  ASSERT_FALSE(stage_version("1.0"));
  std::filesystem::remove(path);
  TestTree::write(path, whole);
  std::uint64_t first = 0;
  StageRequest asked = request("1.0");
  asked.progress = [&](const StageProgress& progress) {
    if (progress.doing == "fetching the list of chunks" && progress.bytes_done > first) {
      first = progress.bytes_done;
    }
  };
  Place place = open();
  ASSERT_TRUE(stage(place, asked, library_.clock));
  EXPECT_EQ(first, 100U);
}

TEST_F(Stage, what_is_staged_goes_live_without_a_library) {
  make_live("1.0");
  staged("1.1");
  std::filesystem::remove_all(library_.path());
  library_.clock.advance(std::chrono::days(15'000));  // everything has expired
  ASSERT_TRUE(go("1.1"));
  expect_live("1.1");
}

TEST_F(Stage, needs_a_root_to_trust_once) {
  StageRequest asked = request("1.0");
  asked.root_bytes.reset();
  {
    Place place = open();
    const auto refused = stage(place, asked, library_.clock);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), ErrorCode::failed_precondition);
    EXPECT_THAT(refused.error().message(), HasSubstr("--root"));
  }
  staged("1.0");
  asked.version = "1.1";
  Place place = open();
  EXPECT_TRUE(stage(place, asked, library_.clock));
}

TEST_F(Stage, release_that_does_not_exist_is_not_found) {
  const auto report = stage_version("9.9");
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), ErrorCode::not_found);
}

TEST_F(Stage, staged_release_is_not_fetched_again) {
  staged("1.0");
  const StageReport again = staged("1.0");
  EXPECT_EQ(again.way, Way::present);
  EXPECT_EQ(again.fetched_bytes, 0U);
}

TEST_F(Stage, dry_run_says_what_would_come_and_makes_nothing) {
  make_live("1.0");
  const std::size_t before = entries_in("trees");
  StageRequest asked = request("1.1");
  asked.dry_run = true;
  Place place = open();
  const auto report = stage(place, asked, library_.clock);
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_EQ(report->way, Way::delta);
  EXPECT_EQ(report->fetched_bytes, published_["1.1"].deltas.at(0).object.length);
  EXPECT_EQ(entries_in("trees"), before);
  EXPECT_EQ(entries_in("downloads"), 0U);
}

TEST_F(Stage, keeps_a_bounded_number_of_trees) {
  for (const char* version : {"1.0", "1.1", "1.2", "1.0", "1.1", "1.2"}) make_live(version);
  const Place place = open();
  EXPECT_LE(place.trees().size(), 2 + kMaxWaitingTrees);
  expect_live("1.2");
}

TEST_F(Stage, nothing_is_left_of_downloads_and_half_made_trees) {
  make_live("1.0");
  std::filesystem::create_directories(place_path() + "/.segue/trees/new-77/half");
  std::filesystem::create_directories(place_path() + "/.segue/trees/old-78/gone");
  TestTree::write(place_path() + "/.segue/trees/new-77.manifest", "half");
  TestTree::write(place_path() + "/.segue/trees/79.stamps", "lost");
  TestTree::write(place_path() + "/.segue/downloads/abc.part", "part");
  staged("1.1");
  EXPECT_EQ(entries_in("downloads"), 0U);
  EXPECT_EQ(entries_in("trees"), 5U);  // one tree, two manifests, two stamps
}

TEST_F(Stage, live_link_is_refused_with_what_to_do) {
  const TestTree elsewhere;
  ASSERT_EQ(::symlink(elsewhere.path().c_str(), live().c_str()), 0);
  const auto place = Place::open({.directory = place_path(), .max_wait = {}});
  ASSERT_FALSE(place);
  EXPECT_EQ(place.error().code(), ErrorCode::failed_precondition);
}

TEST_F(Stage, second_process_waits_and_says_for_whom) {
  const Place first = open();
  const auto second = Place::open({.directory = place_path(), .max_wait = {}});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), ErrorCode::deadline_exceeded);
}

TEST_F(Stage, damaged_previous_tree_is_not_undone_to_unless_it_has_to_be) {
  make_live("1.0");
  make_live("1.1");
  Place place = open();
  const PlacedTree previous = place.trees().at(1);
  ASSERT_EQ(previous.role, Role::previous);
  TestTree::write(previous.path + "/VERSION", "edited");
  const auto refused = undo(place);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("VERSION: content"));
  expect_live("1.1");
  EXPECT_TRUE(undo(place, {.check = Check::nothing}));
}

}  // namespace
}  // namespace segue::staging
