// SPDX-License-Identifier: Apache-2.0
#include "library/publisher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "library/pins.h"
#include "library/release_diff.h"
#include "library/test_library.h"
#include "os/files.h"

namespace segue::library {
namespace {

namespace fs = std::filesystem;

using base::ErrorCode;
using testing::ElementsAre;
using testing::HasSubstr;

std::uint64_t objects_in(const std::string& library) {
  std::uint64_t count = 0;
  for (const auto& entry : fs::recursive_directory_iterator(library + "/objects")) {
    count += entry.is_regular_file() ? 1U : 0U;
  }
  return count;
}

TEST(Publisher, makes_a_library_that_a_host_can_read) {
  TestLibrary library;
  const auto report = library.publish("1.0", test_release(1));
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_FALSE(report->was_there);
  EXPECT_EQ(report->chunks, report->new_chunks);
  EXPECT_EQ(report->added_objects, objects_in(library.path()));
  EXPECT_EQ(unpacked(library.path(), "1.0"), test_release(1));
}

TEST(Publisher, lets_whoever_serves_the_library_read_it) {
  TestLibrary library;
  const mode_t umask_before = ::umask(0077);
  const auto report = library.publish("1.0", test_release(1));
  ::umask(umask_before);
  ASSERT_TRUE(report) << report.error().to_string();
  const auto expect_mode = [](const fs::path& path, fs::perms mode) {
    EXPECT_EQ(fs::status(path).permissions(), mode) << path;
  };
  expect_mode(library.path(), fs::perms(0755));
  for (const char* served : {"/metadata", "/objects"}) {
    expect_mode(library.path() + served, fs::perms(0755));
    for (const auto& entry : fs::recursive_directory_iterator(library.path() + served)) {
      expect_mode(entry.path(), entry.is_directory() ? fs::perms(0755) : fs::perms(0644));
    }
  }
}

TEST(Publisher, stores_what_releases_have_in_common_once) {
  TestLibrary library;
  ASSERT_TRUE(library.publish("1.0", test_release(1)));
  const auto second = library.publish("2.0", test_release(2));
  ASSERT_TRUE(second) << second.error().to_string();
  EXPECT_GE(second->new_chunks, 1U);
  EXPECT_LE(second->new_chunks, second->chunks / 2 + 1);
  EXPECT_EQ(unpacked(library.path(), "2.0"), test_release(2));
}

TEST(Publisher, makes_deltas_from_the_releases_before) {
  TestLibrary library;
  for (unsigned i = 1; i <= 5; ++i) {
    ASSERT_TRUE(library.publish(fmt::format("{}.0", i), test_release(i)));
  }
  const auto opened = Library::open(library.path());
  const auto newest = opened->find("chat", "5.0");
  ASSERT_EQ(newest->deltas.size(), 3U);
  EXPECT_EQ(newest->deltas[0].from, "4.0");
  EXPECT_EQ(newest->deltas[2].from, "2.0");
  EXPECT_TRUE(opened->find("chat", "4.0")->deltas.empty());
  EXPECT_EQ(patched(library.path(), "2.0", "5.0"), test_release(5));
}

TEST(Publisher, says_of_the_same_tree_again_that_it_is_there) {
  TestLibrary library;
  const auto first = library.publish("1.0", test_release(1));
  const std::uint64_t objects = objects_in(library.path());
  const auto again = library.publish("1.0", test_release(1));
  ASSERT_TRUE(again) << again.error().to_string();
  EXPECT_TRUE(again->was_there);
  EXPECT_EQ(again->release, first->release);
  EXPECT_EQ(objects_in(library.path()), objects);
}

TEST(Publisher, never_changes_a_release) {
  TestLibrary library;
  ASSERT_TRUE(library.publish("1.0", test_release(1)));
  const auto refused = library.publish("1.0", test_release(2));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::already_exists);
  EXPECT_EQ(unpacked(library.path(), "1.0"), test_release(1));
}

TEST(Publisher, names_the_role_whose_key_is_missing_before_it_stores_anything) {
  TestLibrary library;
  library.signers.erase("snapshot");
  const auto refused = library.publish("1.0", test_release(1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::failed_precondition);
  EXPECT_THAT(refused.error().message(), HasSubstr("snapshot"));
  EXPECT_EQ(objects_in(library.path()), 0U);
}

TEST(Publisher, needs_only_the_component_s_key_once_it_is_delegated) {
  TestLibrary library;
  library.signers["chat"] = {test_key(9)};
  ASSERT_TRUE(library.publish("1.0", test_release(1)));
  library.signers.erase("targets");
  ASSERT_TRUE(library.publish("2.0", test_release(2)));
  library.signers.erase("chat");
  EXPECT_EQ(library.publish("3.0", test_release(3)).error().code(), ErrorCode::failed_precondition);
  // Whoever has the key of targets can give the component another one.
  library.signers["targets"] = {test_key(1)};
  library.signers["chat"] = {test_key(10)};
  EXPECT_FALSE(library.publish("3.0", test_release(3)));
  auto publisher = library.open();
  delta::MemoryTree tree = delta::MemoryTree::of_files(test_release(3));
  MemorySource source(tree);
  PublishRequest request{.component = "chat", .version = "3.0"};
  request.delegate_anew = true;
  EXPECT_TRUE(publisher->publish(request, tree.manifest(), source));
}

TEST(Publisher, notices_a_file_that_changes_meanwhile) {
  TestLibrary library;
  auto publisher = library.open();
  TestFiles files = test_release(1);
  const delta::MemoryTree before = delta::MemoryTree::of_files(files);
  files["bin/run"][7] ^= 1;
  delta::MemoryTree after = delta::MemoryTree::of_files(files);
  MemorySource source(after);
  const auto refused =
      publisher->publish({.component = "chat", .version = "1.0"}, before.manifest(), source);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::aborted);
  EXPECT_THAT(refused.error().message(), HasSubstr("bin/run"));
}

TEST(Publisher, waits_for_another_one_and_says_for_whom) {
  TestLibrary library;
  ASSERT_TRUE(library.publish("1.0", test_release(1)));
  const auto first = library.open();
  ASSERT_TRUE(first);
  const auto second = library.open();
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), ErrorCode::deadline_exceeded);
  EXPECT_THAT(second.error().message(), HasSubstr("a publisher"));
}

TEST(Publisher, without_a_library_or_a_root_says_how_to_make_one) {
  TestLibrary library;
  library.root_bytes.clear();
  const auto refused = library.publish("1.0", test_release(1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::not_found);
  EXPECT_FALSE(fs::exists(library.path()));
}

TEST(Publisher, computes_no_delta_twice) {
  TestLibrary library;
  ASSERT_TRUE(library.publish("1.0", test_release(1)));
  const auto second = library.publish("2.0", test_release(2));
  EXPECT_EQ(second->computed_deltas, 1U);
  // The same two trees under other names.
  const auto third = library.publish("3.0", test_release(1));
  EXPECT_EQ(third->computed_deltas, 1U);
  const auto fourth = library.publish("4.0", test_release(2));
  EXPECT_EQ(fourth->computed_deltas, 0U);
  EXPECT_EQ(fourth->release.deltas.size(), 1U);
  EXPECT_EQ(fourth->release.deltas[0].object, second->release.deltas[0].object);
}

const Release* find_release(const Library& library, const std::string& version) {
  static std::map<std::string, ReleaseList> components;
  components = library.components();
  return components.at("chat").find_version(version);
}

TEST(Publisher, announces_a_release_before_its_deltas_and_says_which_will_come) {
  TestLibrary library;
  for (unsigned i = 1; i <= 2; ++i) {
    ASSERT_TRUE(library.publish(fmt::format("{}.0", i), test_release(i)));
  }
  // The metadata with the release is written first, that with its deltas last.
  std::vector<std::optional<PendingDeltas>> pending;
  std::vector<std::size_t> deltas;
  const auto third = library.publish(
      "3.0", test_release(3),
      [&](const char* change, const std::string& path, Disk::Moment moment) -> base::Result<void> {
        const bool announced = std::string(change) == "rename" && moment == Disk::Moment::after &&
                               path.ends_with("/timestamp.json");
        if (!announced) return {};
        const auto opened = Library::open(library.path());
        EXPECT_TRUE(opened);
        pending.push_back(find_release(*opened, "3.0")->pending);
        deltas.push_back(find_release(*opened, "3.0")->deltas.size());
        return {};
      });
  ASSERT_TRUE(third) << third.error().to_string();
  EXPECT_THAT(deltas, testing::ElementsAre(0U, 2U));
  ASSERT_TRUE(pending[0]);
  EXPECT_THAT(pending[0]->from, testing::ElementsAre("2.0", "1.0"));
  EXPECT_GT(pending[0]->until, third->release.published);
  EXPECT_FALSE(pending[1]);
  EXPECT_EQ(third->release.deltas.size(), 2U);
  expect_sound(library.path());
}

TEST(Publisher, makes_later_what_it_left_of_the_deltas) {
  TestLibrary library;
  ASSERT_TRUE(library.publish("1.0", test_release(1)));
  const auto second = library.publish("2.0", test_release(2), {}, true);
  ASSERT_TRUE(second);
  EXPECT_TRUE(second->release.pending && second->release.deltas.empty());
  std::vector<std::string> warnings;
  {
    tuf::Signers all = std::exchange(library.signers, {});
    library.signers["timestamp"] = all["timestamp"];
    const auto keyless = library.open()->make_deltas(warnings);
    EXPECT_EQ(keyless, 0U);
    ASSERT_EQ(warnings.size(), 1U);
    EXPECT_THAT(warnings[0], HasSubstr("chat/2.0 lacks deltas"));
    library.signers = all;
  }
  warnings.clear();
  EXPECT_EQ(library.open()->make_deltas(warnings), 1U);
  EXPECT_TRUE(warnings.empty());
  EXPECT_EQ(patched(library.path(), "1.0", "2.0"), test_release(2));
  EXPECT_EQ(library.open()->make_deltas(warnings), 0U);
}

TEST(Publisher, published_again_makes_the_deltas_that_are_missing) {
  TestLibrary library;
  ASSERT_TRUE(library.publish("1.0", test_release(1)));
  ASSERT_TRUE(library.publish("2.0", test_release(2), {}, true));
  const auto again = library.publish("2.0", test_release(2));
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->was_there);
  EXPECT_EQ(again->release.deltas.size(), 1U);
  EXPECT_FALSE(again->release.pending);
}

TEST(Publisher, goes_without_a_delta_whose_base_is_damaged) {
  TestLibrary library;
  const auto first = library.publish("1.0", test_release(1));
  std::ofstream(library.path() + "/" + object_path(first->release.contents.sha256),
                std::ios::in | std::ios::out)
      << "damaged";
  const auto second = library.publish("2.0", test_release(2));
  ASSERT_TRUE(second) << second.error().to_string();
  EXPECT_TRUE(second->release.deltas.empty());
  ASSERT_EQ(second->warnings.size(), 1U);
  EXPECT_THAT(second->warnings[0], HasSubstr(first->release.contents.sha256.hex()));
}

TEST(Publisher, mends_a_chunk_that_is_damaged) {
  TestLibrary library;
  ASSERT_TRUE(library.publish("1.0", test_release(1)));
  const auto opened = Library::open(library.path());
  const auto contents = opened->contents_of(*opened->find("chat", "1.0"));
  for (const Chunk& chunk : contents->chunks) {
    std::ofstream(library.path() + "/" + object_path(chunk.stored), std::ios::in | std::ios::out)
        << "damaged";
  }
  ASSERT_TRUE(library.publish("1.0-again", test_release(1)));
  expect_sound(library.path());
}

TEST(Publisher, believes_nothing_of_its_caches) {
  TestLibrary library;
  ASSERT_TRUE(library.publish("1.0", test_release(1)));
  ASSERT_TRUE(library.publish("2.0", test_release(2)));
  {
    std::fstream cache(library.path() + "/cache/chunks", std::ios::in | std::ios::out);
    cache.seekp(100);
    cache << "damaged";
    cache.seekp(0, std::ios::end);
    cache << "cut off";
  }
  for (const auto& entry : fs::directory_iterator(library.path() + "/cache/deltas")) {
    std::ofstream(entry.path()) << "{";
  }
  const auto third = library.publish("3.0", test_release(3));
  ASSERT_TRUE(third) << third.error().to_string();
  EXPECT_EQ(third->computed_deltas, 2U);
  expect_sound(library.path());
  fs::remove_all(library.path() + "/cache");
  ASSERT_TRUE(library.publish("4.0", test_release(4)));
  expect_sound(library.path());
}

TEST(Publisher, metadata_of_one_update_stays_small) {
  TestLibrary library;
  library.commit = std::string(40, 'c');
  ASSERT_TRUE(library.publish("1.0.0", test_release(1)));
  const auto second = library.publish("1.1.0", test_release(2));
  EXPECT_LE(second->metadata_bytes, 2048U);
}

// Killed before the timestamp led to them: a cache may have them, and they are signed.
TEST(Publisher, never_signs_two_files_of_one_version) {
  TestLibrary library;
  ASSERT_TRUE(library.publish("1.0", test_release(1)));
  const auto read = [&](const std::string& name) {
    return os::read_file(library.path() + "/metadata/" + name, 1 << 20);
  };
  const auto timestamp = read("timestamp.json");
  ASSERT_TRUE(library.publish("2.0", test_release(2), {}, true));
  const auto role = read("2.chat.json");
  const auto snapshot = read("2.snapshot.json");
  ASSERT_TRUE(timestamp && role && snapshot);
  std::ofstream(library.path() + "/metadata/timestamp.json") << *timestamp;
  EXPECT_EQ(library.versions(), std::vector<std::string>{"1.0"});

  ASSERT_TRUE(library.publish("3.0", test_release(3), {}, true));
  EXPECT_EQ(library.versions(), (std::vector<std::string>{"1.0", "3.0"}));
  EXPECT_EQ(library.open()->repository().snapshot().version, 3U);
  EXPECT_EQ(library.open()->repository().snapshot().meta.at("chat").version, 3U);
  EXPECT_EQ(read("2.chat.json"), role);
  EXPECT_EQ(read("2.snapshot.json"), snapshot);
  expect_sound(library.path());
}

TEST(Publisher, renews_what_would_expire) {
  TestLibrary library;
  ASSERT_TRUE(library.publish("1.0", test_release(1)));
  library.clock.advance(std::chrono::days(5));
  library.signers = {{"timestamp", {test_key(3)}}};
  auto publisher = library.open();
  const auto before = publisher->repository().timestamp().expires;
  ASSERT_TRUE(publisher->renew());
  EXPECT_EQ(publisher->repository().timestamp().expires, before + std::chrono::days(5));
  EXPECT_EQ(library.versions(), std::vector<std::string>{"1.0"});
}

// By somebody who can write to the library, and has no key of its root.
TEST(Publisher, signs_nothing_under_a_root_that_was_put_in_place_of_the_one_it_is_given) {
  TestLibrary library;
  ASSERT_TRUE(library.publish("1.0", test_release(1)));
  const tuf::Root root = library.open()->repository().root();
  const auto key = [](unsigned number) { return tuf::Key::of(test_key(number).public_key()); };
  const auto put = [&](const char* name, const std::string& bytes) {
    std::ofstream(library.path() + "/metadata/" + name) << bytes;
  };
  const auto expect_refused = [&] {
    const auto refused = library.publish("2.0", test_release(2));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), ErrorCode::failed_precondition);
    EXPECT_THAT(refused.error().message(), HasSubstr("does not follow from the root"));
  };
  const std::string own_key = root.roles.at("root").key_ids.at(0);
  const auto next = tuf::next_root(root, {{"root", {key(9)}, {own_key}, {}}}, root.expires);
  put("2.root.json", *tuf::sign_metadata(*next, {test_key(9)}));
  expect_refused();
  fs::remove(library.path() + "/metadata/2.root.json");
  const auto other = tuf::make_root({{"root", {key(9)}, {}, {}},
                                     {"targets", {key(1)}, {}, {}},
                                     {"snapshot", {key(2)}, {}, {}},
                                     {"timestamp", {key(3)}, {}, {}}},
                                    root.expires);
  put("1.root.json", *tuf::sign_metadata(*other, {test_key(9)}));
  expect_refused();
  put("1.root.json", library.root_bytes);
  EXPECT_TRUE(library.publish("2.0", test_release(2)));
}

TEST(Publisher, adopts_the_next_root) {
  TestLibrary library;
  ASSERT_TRUE(library.publish("1.0", test_release(1)));
  const auto root = library.open()->repository().root();
  const auto timestamp_key = tuf::Key::of(test_key(3).public_key());
  const auto next = tuf::next_root(
      root, {{"timestamp", {tuf::Key::of(test_key(30).public_key())}, {timestamp_key.id}, {}}},
      root.expires);
  library.root_bytes = *tuf::sign_metadata(*next, {test_key(0)});
  library.signers["timestamp"] = {test_key(30)};
  const auto second = library.publish("2.0", test_release(2));
  ASSERT_TRUE(second) << second.error().to_string();
  EXPECT_EQ(Library::open(library.path())->repository().root().version, 2U);
  EXPECT_THAT(library.versions(), ElementsAre("1.0", "2.0"));
}

TEST(ReleaseDiff, says_what_would_travel_and_why) {
  TestLibrary library;
  ASSERT_TRUE(library.publish("1.0", test_release(1)));
  ASSERT_TRUE(library.publish("2.0", test_release(2)));
  const auto opened = Library::open(library.path());
  const auto from = opened->find("chat", "1.0");
  const auto to = opened->find("chat", "2.0");
  const auto diff = diff_releases(*opened, *from, *to, library.directory.path());
  ASSERT_TRUE(diff) << diff.error().to_string();
  EXPECT_TRUE(diff->is_stored);
  EXPECT_EQ(diff->pair.delta, to->deltas[0].object);
  EXPECT_EQ(diff->same_files, 9U);
  std::map<std::string, FileDifference> files;
  for (const auto& file : diff->files) files[file.path] = file;
  EXPECT_EQ(files.at("bin/run").kind, FileDifference::Kind::patched);
  EXPECT_EQ(files.at("bin/run").from, "bin/run");
  EXPECT_EQ(files.at("share/renamed-2").kind, FileDifference::Kind::moved);
  EXPECT_EQ(files.at("share/renamed-2").from, "share/renamed-1");
  EXPECT_EQ(files.at("share/renamed-1").kind, FileDifference::Kind::removed);
  EXPECT_TRUE(files.contains("notes/2"));
  EXPECT_GT(diff->chunk_bytes, diff->pair.delta.length);

  // Nobody keeps deltas to what is older; they are computed.
  const auto back = diff_releases(*opened, *to, *from, library.directory.path());
  ASSERT_TRUE(back) << back.error().to_string();
  EXPECT_FALSE(back->is_stored);
  EXPECT_GT(back->pair.delta.length, 0U);
}

}  // namespace
}  // namespace segue::library
