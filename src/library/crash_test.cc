// SPDX-License-Identifier: Apache-2.0
// A publisher that is killed, or whose disk fails, before and after each change that it makes.
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "library/test_library.h"

namespace segue::library {
namespace {

namespace fs = std::filesystem;

using base::ErrorCode;
using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr int kKilled = 57;

// Less than test_release(), for it is published hundreds of times.
TestFiles small_release(unsigned number) {
  TestFiles files;
  files["bin/run"] = test_text(100, 900);
  files["bin/run"][10'000] = static_cast<std::uint8_t>(number);
  files["notes"] = test_text(200 + number, 30);
  return files;
}

// What is tried on a library that holds 1.0 and 2.0; true when it said that it was done.
using Work = std::function<bool(TestLibrary&, const Disk::Watch&)>;

bool publish_third(TestLibrary& library, const Disk::Watch& watch) {
  return library.publish("3.0", small_release(3), watch).has_value();
}

bool keep_one(TestLibrary& library, const Disk::Watch& watch) {
  auto publisher = library.open(watch);
  if (!publisher) return false;
  GcPolicy policy;
  policy.keep_releases = 1;
  policy.grace = std::chrono::seconds(0);
  return publisher->gc(policy).has_value();
}

class Crash : public testing::Test {
 protected:
  void SetUp() override {
    library_.name = "master";
    ASSERT_TRUE(library_.publish("1.0", small_release(1)));
    ASSERT_TRUE(library_.publish("2.0", small_release(2)));
  }

  // A fresh copy of the library, under the name that library_ has from now on.
  void copy_library() {
    fs::remove_all(library_.directory.path("copy"));
    fs::copy(library_.directory.path("master"), library_.directory.path("copy"),
             fs::copy_options::recursive);
    library_.name = "copy";
  }

  // How often the work comes past its watch.
  int moments_of(const Work& work) {
    copy_library();
    int moments = 0;
    EXPECT_TRUE(work(library_, [&](const char*, const std::string&, Disk::Moment) {
      ++moments;
      return base::Result<void>();
    }));
    return moments;
  }

  // Kills a process at that moment of its work.
  void kill_at(int moment, const Work& work) {
    const pid_t child = ::fork();
    if (child == 0) {
      int passed = 0;
      work(library_, [&](const char*, const std::string&, Disk::Moment) {
        if (passed++ == moment) ::_exit(kKilled);
        return base::Result<void>();
      });
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == kKilled);
  }

  [[nodiscard]] std::set<std::string> objects() const {
    std::set<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(library_.path() + "/objects")) {
      if (entry.is_regular_file()) names.insert(entry.path().filename().string());
    }
    return names;
  }

  TestLibrary library_;
};

TEST_F(Crash, publishing_that_is_killed_anywhere_goes_on) {
  const int moments = moments_of(publish_third);
  ASSERT_GT(moments, 20);
  const auto whole = objects();
  for (int i = 0; i < moments; ++i) {
    SCOPED_TRACE(i);
    copy_library();
    kill_at(i, publish_third);
    ASSERT_THAT(library_.versions(),
                AnyOf(ElementsAre("1.0", "2.0"), ElementsAre("1.0", "2.0", "3.0")));
    expect_whole(library_.path());
    ASSERT_TRUE(publish_third(library_, {}));
    ASSERT_THAT(library_.versions(), ElementsAre("1.0", "2.0", "3.0"));
    ASSERT_EQ(objects(), whole);
    expect_whole(library_.path());
  }
}

TEST_F(Crash, the_first_release_that_is_killed_anywhere_can_be_published) {
  const Work publish_first = [](TestLibrary& library, const Disk::Watch& watch) {
    return library.publish("1.0", small_release(1), watch).has_value();
  };
  library_.name = "new";
  int moments = 0;
  ASSERT_TRUE(publish_first(library_, [&](const char*, const std::string&, Disk::Moment) {
    ++moments;
    return base::Result<void>();
  }));
  for (int i = 0; i < moments; ++i) {
    SCOPED_TRACE(i);
    fs::remove_all(library_.path());
    kill_at(i, publish_first);
    if (const auto left = Library::open(library_.path())) {
      expect_whole(library_.path());
      ASSERT_THAT(library_.versions(), ElementsAre("1.0"));
    } else {
      ASSERT_EQ(left.error().code(), ErrorCode::not_found) << left.error().to_string();
    }
    ASSERT_TRUE(publish_first(library_, {}));
    expect_whole(library_.path());
  }
}

TEST_F(Crash, publishing_on_a_disk_that_fails_anywhere_says_so_and_goes_on) {
  const int moments = moments_of(publish_third);
  for (int i = 0; i < moments; ++i) {
    SCOPED_TRACE(i);
    copy_library();
    int passed = 0;
    const auto failed = library_.publish(
        "3.0", small_release(3),
        [&](const char* change, const std::string& path, Disk::Moment) -> base::Result<void> {
          if (passed++ != i) return {};
          return base::fail(base::errno_error(fmt::format("{} {}", change, path), EIO));
        });
    // Once it is announced, only its deltas are missing.
    const std::string said =
        failed ? fmt::format("{}", fmt::join(failed->warnings, "; ")) : failed.error().to_string();
    ASSERT_THAT(said, HasSubstr("nput/output"));
    ASSERT_THAT(library_.versions(),
                AnyOf(ElementsAre("1.0", "2.0"), ElementsAre("1.0", "2.0", "3.0")));
    ASSERT_TRUE(publish_third(library_, {}));
    expect_whole(library_.path());
  }
}

TEST_F(Crash, collecting_that_is_killed_anywhere_goes_on) {
  library_.clock.advance(std::chrono::days(3'650));  // what was replaced until now is old
  const int moments = moments_of(keep_one);
  ASSERT_GT(moments, 10);
  const auto whole = objects();
  for (int i = 0; i < moments; ++i) {
    SCOPED_TRACE(i);
    copy_library();
    kill_at(i, keep_one);
    ASSERT_THAT(library_.versions(), AnyOf(ElementsAre("1.0", "2.0"), ElementsAre("2.0")));
    expect_whole(library_.path());
    ASSERT_TRUE(keep_one(library_, {}));
    ASSERT_THAT(library_.versions(), ElementsAre("2.0"));
    ASSERT_EQ(objects(), whole);
    ASSERT_TRUE(publish_third(library_, {}));
    expect_whole(library_.path());
  }
}

TEST_F(Crash, a_disk_that_is_full_is_named_and_gets_its_room_back) {
  const std::string mounted = library_.directory.path("small");
  fs::create_directory(mounted);
  if (::mount("tmpfs", mounted.c_str(), "tmpfs", 0, "size=8m,mode=0755") != 0) {
    GTEST_SKIP() << "NOT TESTED: only root can mount a small file system";
  }
  fs::copy(library_.directory.path("master"), mounted + "/library", fs::copy_options::recursive);
  library_.name = "small/library";
  {
    std::ofstream filler(mounted + "/filler", std::ios::binary);
    const std::string block(4'096, 'x');
    while (filler.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
  }
  // Room for something, and not for everything.
  fs::resize_file(mounted + "/filler", fs::file_size(mounted + "/filler") - 20'000);
  const auto failed = library_.publish("3.0", small_release(3));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code(), ErrorCode::resource_exhausted) << failed.error().to_string();
  EXPECT_TRUE(fs::is_empty(library_.path() + "/incoming"));
  EXPECT_THAT(library_.versions(), ElementsAre("1.0", "2.0"));
  expect_sound(library_.directory.path("master"));
  fs::remove(mounted + "/filler");
  EXPECT_TRUE(publish_third(library_, {}));
  expect_sound(library_.path());
  EXPECT_EQ(::umount2(mounted.c_str(), MNT_DETACH), 0);
}

TEST_F(Crash, two_publishers_at_once_both_publish) {
  library_.max_wait = std::chrono::seconds(60);
  std::vector<pid_t> children;
  for (unsigned i = 3; i <= 4; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::_exit(library_.publish(fmt::format("{}.0", i), small_release(i)) ? 0 : 1);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(library_.versions().size(), 4U);
  expect_sound(library_.path());
}

}  // namespace
}  // namespace segue::library
