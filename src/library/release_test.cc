// SPDX-License-Identifier: Apache-2.0
#include "library/release.h"

#include <gtest/gtest.h>

#include <fstream>

namespace segue::library {
namespace {

delta::Digest digest(std::string_view text) {
  return delta::digest_of(delta::view_of(text));
}

Release example() {
  Release release;
  release.component = "chat";
  release.version = "1.2.0";
  release.contents = {4711, digest("contents")};
  release.root = digest("root");
  release.bytes = 192'000'000;
  release.files = 8'700;
  release.published = *tuf::parse_time("2026-11-21T15:00:00Z");
  release.commit = "0123456789abcdef0123456789abcdef01234567";
  release.deltas = {{"1.1.0", {5000, digest("delta 1")}}, {"1.0.0", {9000, digest("delta 2")}}};
  return release;
}

tuf::TargetFile changed(const std::string& name, const tuf::Json& value) {
  tuf::TargetFile target = to_target(example());
  target.custom[name] = value;
  return target;
}

TEST(Release, is_read_as_it_was_written) {
  const Release release = example();
  EXPECT_EQ(parse_release("chat/1.2.0", to_target(release)), release);
  Release image = release;
  image.kind = ReleaseKind::image;
  image.commit = "";
  image.deltas.clear();
  image.pending = PendingDeltas{*tuf::parse_time("2026-11-21T15:15:00Z"), {"1.1.0", "1.0.0"}};
  EXPECT_EQ(parse_release("chat/1.2.0", to_target(image)), image);
}

TEST(Release, is_written_as_recorded) {
  std::ifstream file(SEGUE_LIBRARY_GOLDEN_FILE);
  const auto json = tuf::canonical_json(to_target(example()).custom);
  bool found = false;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("custom ")) continue;
    EXPECT_EQ(line.substr(7), *json);
    found = true;
  }
  EXPECT_TRUE(found) << *json;
}

TEST(Release, keeps_what_a_later_version_says) {
  const auto release = parse_release("chat/1.2.0", changed("notes", "for a later program"));
  ASSERT_TRUE(release) << release.error().to_string();
  EXPECT_EQ(to_target(*release).custom.at("notes"), "for a later program");
}

TEST(Release, of_an_unknown_kind_asks_for_a_newer_program) {
  const auto refused = parse_release("chat/1.2.0", changed("kind", "volume"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), base::ErrorCode::failed_precondition);
}

TEST(Release, with_anything_missing_or_wrong_is_refused_by_name) {
  for (const char* name : {"root", "bytes", "files", "published"}) {
    tuf::TargetFile target = to_target(example());
    target.custom.erase(name);
    const auto refused = parse_release("chat/1.2.0", target);
    ASSERT_FALSE(refused) << name;
    EXPECT_NE(refused.error().message().find(name), std::string::npos);
  }
  const tuf::Json a_delta = to_target(example()).custom.at("deltas").at(0);
  tuf::Json own = a_delta;
  own["from"] = "1.2.0";
  tuf::Json outside = a_delta;
  outside["from"] = "../1.0";
  tuf::Json empty = a_delta;
  empty["length"] = 0;
  tuf::Json upper = a_delta;
  upper["sha256"] = std::string(64, 'A');
  const std::vector<std::pair<std::string, tuf::Json>> wrong = {
      {"root", std::string(63, 'a')},
      {"root", std::string(64, 'g')},
      {"root", 5},
      {"bytes", -1},
      {"bytes", kMaxReleaseBytes + 1},
      {"bytes", "5"},
      {"files", delta::kMaxEntries + 1},
      {"published", "yesterday"},
      {"commit", ""},
      {"commit", "two words"},
      {"commit", std::string(129, 'a')},
      {"commit", 5},
      {"deltas", "none"},
      {"deltas", {a_delta, a_delta}},
      {"deltas", {own}},
      {"deltas", {outside}},
      {"deltas", {empty}},
      {"deltas", {upper}},
      {"deltas", {5}},
      {"deltas", std::vector<tuf::Json>(kMaxDeltas + 1, a_delta)},
      {"pending", true},
      {"pending", {{"until", "soon"}, {"from", {"1.0"}}}},
      {"pending", {{"until", "2026-11-21T15:00:00Z"}, {"from", {"../1.0"}}}},
      {"pending",
       {{"until", "2026-11-21T15:00:00Z"},
        {"from", std::vector<std::string>(kMaxDeltas + 1, "1.0")}}}};
  for (const auto& [name, value] : wrong) {
    const auto refused = parse_release("chat/1.2.0", changed(name, value));
    ASSERT_FALSE(refused) << name << ' ' << value;
    EXPECT_EQ(refused.error().code(), base::ErrorCode::data_loss) << name << ' ' << value;
  }
}

TEST(Release, names_stay_in_their_folder) {
  for (const char* path : {"chat", "chat/", "/1.2.0", "chat/..", "chat/.hidden", "chat/a/b",
                           "root/1.0", "targets/1.0", "../1.0", "chat/a b", "chat/a*"}) {
    EXPECT_FALSE(parse_release(path, to_target(example()))) << path;
  }
}

TEST(Release, contents_have_a_digest_and_a_bounded_length) {
  tuf::TargetFile target = to_target(example());
  target.hashes = {{"sha512", std::string(128, 'a')}};
  EXPECT_FALSE(parse_release("chat/1.2.0", target));
  target = to_target(example());
  target.length = kMaxContentsBytes + 1;
  EXPECT_FALSE(parse_release("chat/1.2.0", target));
  target.length = 0;
  EXPECT_FALSE(parse_release("chat/1.2.0", target));
  target = to_target(example());
  target.custom = nullptr;
  EXPECT_FALSE(parse_release("chat/1.2.0", target));
}

TEST(ReleaseList, is_in_the_order_of_publication_and_names_what_it_cannot_read) {
  Release old = example();
  old.version = "1.10.0";
  old.published -= std::chrono::hours(1);
  old.root = digest("old root");
  old.deltas.clear();
  tuf::Targets role;
  role.targets["chat/1.2.0"] = to_target(example());
  role.targets["chat/1.10.0"] = to_target(old);
  role.targets["chat/2.0.0"] = changed("kind", "volume");
  role.targets["web/1.0.0"] = to_target(example());
  const ReleaseList list = releases_of("chat", role);
  ASSERT_EQ(list.releases.size(), 2U);
  EXPECT_EQ(list.releases[0].version, "1.10.0");
  EXPECT_EQ(list.refused.size(), 2U);
  EXPECT_EQ(list.find_version("1.2.0"), &list.releases[1]);
  EXPECT_EQ(list.find_version("3"), nullptr);
  EXPECT_EQ(list.find_root(old.root), list.releases.data());
  EXPECT_EQ(list.find_root(digest("unknown")), nullptr);
}

TEST(ReleaseList, finds_a_delta_by_the_root_of_its_base) {
  Release old = example();
  old.version = "1.1.0";
  old.root = digest("old root");
  old.deltas.clear();
  const ReleaseList list{{old, example()}, {}};
  const Release& release = list.releases[1];
  EXPECT_EQ(delta_from(list, release, old.root), release.deltas.data());
  EXPECT_EQ(delta_from(list, release, digest("a tree that nobody published")), nullptr);
}

TEST(Objects, are_named_by_the_digest_of_their_bytes) {
  const std::string text = "bytes";
  const ObjectRef object{text.size(), digest(text)};
  EXPECT_EQ(object_path(object.sha256),
            "objects/27/277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9");
  EXPECT_TRUE(check_object(delta::view_of(text), object));
  EXPECT_FALSE(check_object(delta::view_of("Bytes"), object));
  EXPECT_FALSE(check_object(delta::view_of("bytes."), object));
  EXPECT_EQ(digest_from_hex(object.sha256.hex()), object.sha256);
}

}  // namespace
}  // namespace segue::library
