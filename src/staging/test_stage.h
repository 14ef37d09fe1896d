// SPDX-License-Identifier: Apache-2.0
// A place, and a library with three releases that have most of their files in common: for tests.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <string>

#include "staging/go_live.h"
#include "staging/stage.h"
#include "staging/test_library.h"
#include "tree/test_tree.h"

namespace segue::staging {

inline std::string words(unsigned seed, std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) {
    seed = seed * 1'664'525 + 1'013'904'223;
    text += fmt::format("{:x} ", seed);
  }
  return text;
}

// Most of it stays from release to release.
inline void fill(const tree::TestTree& tree, const std::string& version) {
  tree.file("bin/app", words(1, 9'000) + version + words(2, 3'000), 0755);
  tree.file("lib/stays.so", words(3, 30'000), 0644);
  tree.file("lib/also stays", "small", 0444);
  tree.file("data/db", words(4, 2'000), 0600);
  tree.file("VERSION", version);
  tree.file("empty", "");
  tree.symlink("current", "bin/app");
  tree.link("bin/alias", "bin/app");
  tree.directory("spool", 01777);
}

class Stage : public ::testing::Test {
 protected:
  Stage() {
    EXPECT_EQ(::mkdir(place_path().c_str(), 0755), 0);
    for (const auto& [version, tree] : releases_) fill(*tree, version);
    for (const auto& [version, tree] : releases_) {
      published_[version] = library_.publish(version, tree->path());
    }
  }

  [[nodiscard]] std::string place_path() const { return directory_.path("place"); }
  [[nodiscard]] std::string live(const std::string& name = "") const {
    return place_path() + "/live" + (name.empty() ? "" : "/" + name);
  }

  Place open() const {
    auto place = Place::open({.directory = place_path(), .max_wait = {}});
    if (!place) throw std::runtime_error(place.error().to_string());
    return *std::move(place);
  }

  [[nodiscard]] StageRequest request(const std::string& version) const {
    return {.url = library_.url(),
            .component = "chat",
            .version = version,
            .root_bytes = library_.root_bytes,
            .sharing = tree::Sharing::hard_link,
            .writable = {},
            .progress = {}};
  }

  base::Result<StageReport> stage_version(const std::string& version) {
    Place place = open();
    return stage(place, request(version), library_.clock);
  }
  StageReport staged(const std::string& version) {
    auto report = stage_version(version);
    if (!report) throw std::runtime_error(report.error().to_string());
    return *std::move(report);
  }
  base::Result<SwitchReport> go(const std::string& version) {
    Place place = open();
    return switch_to(place, "chat", version);
  }
  void make_live(const std::string& version) {
    staged(version);
    const auto done = go(version);
    if (!done) throw std::runtime_error(done.error().to_string());
  }

  void expect_live(const std::string& version) {
    const auto manifest = tree::scan_tree(live());
    ASSERT_TRUE(manifest) << manifest.error().to_string();
    EXPECT_EQ(delta::root_of(*manifest), published_.at(version).root) << version;
  }
  void expect_all_as_signed() {
    const Place place = open();
    EXPECT_THAT(place.notes(), testing::IsEmpty());
    for (const TreeCheck& check : verify(place, Check::everything)) {
      ASSERT_FALSE(check.error) << check.error->to_string();
      EXPECT_TRUE(check.verification.matches()) << differences_text(check.verification);
    }
  }
  [[nodiscard]] std::size_t entries_in(const std::string& folder) const {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry :
         std::filesystem::directory_iterator(place_path() + "/.segue/" + folder)) {
      ++count;
    }
    return count;
  }
  static void flip(const std::string& path, off_t offset) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    char byte = 0;
    ASSERT_EQ(::pread(fd, &byte, 1, offset), 1);
    byte = static_cast<char>(byte ^ 1);
    ASSERT_EQ(::pwrite(fd, &byte, 1, offset), 1);
    ::close(fd);
  }

  os::TempDirectory directory_;
  PublishedLibrary library_;
  std::map<std::string, std::unique_ptr<tree::TestTree>> releases_ = [] {
    std::map<std::string, std::unique_ptr<tree::TestTree>> releases;
    for (const char* version : {"1.0", "1.1", "1.2"}) {
      releases[version] = std::make_unique<tree::TestTree>();
    }
    return releases;
  }();
  std::map<std::string, library::Release> published_;
};

}  // namespace segue::staging
