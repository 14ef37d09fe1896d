// SPDX-License-Identifier: Apache-2.0
#include "relay/cache.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/process.h"
#include "os/temp_directory.h"

namespace segue::relay {
namespace {

const std::string kFirst(64, 'a');
const std::string kSecond(64, 'b');

class CacheTest : public testing::Test {
 protected:
  std::unique_ptr<Cache> open(std::uint64_t max_bytes = 1'000) {
    auto cache = Cache::open(directory_.path("cache"), max_bytes);
    EXPECT_TRUE(cache) << cache.error().to_string();
    return *std::move(cache);
  }

  // As a transfer does.
  static void add(Cache& cache, const Cache::Held& held, const std::string& digest,
                  const std::string& bytes) {
    ASSERT_EQ(::write(held.file->get(), bytes.data(), bytes.size()),
              static_cast<ssize_t>(bytes.size()));
    cache.grew(digest, bytes.size());
  }

  os::TempDirectory directory_;
};

TEST_F(CacheTest, keeps_what_is_whole_and_what_began_over_a_restart) {
  {
    const auto cache = open();
    add(*cache, cache->begin(kFirst).value(), kFirst, "whole");
    ASSERT_TRUE(cache->keep(kFirst));
    add(*cache, cache->begin(kSecond).value(), kSecond, "beg");
  }
  const auto cache = open();
  EXPECT_EQ(cache->bytes(), 8U);
  const auto whole = cache->find(kFirst);
  ASSERT_TRUE(whole);
  EXPECT_TRUE(whole->is_whole);
  EXPECT_FALSE(whole->is_verified) << "nothing is believed that was not read";
  const auto part = cache->find(kSecond);
  ASSERT_TRUE(part);
  EXPECT_FALSE(part->is_whole);
  EXPECT_EQ(part->bytes, 3U);
}

// Another member asks how much of it is here, before the first byte has come.
TEST_F(CacheTest, a_look_at_what_has_just_begun_takes_nothing_from_whoever_fetches_it) {
  const auto cache = open();
  const auto held = cache->begin(kFirst).value();
  cache->use(kFirst);
  EXPECT_FALSE(cache->find(kFirst));
  add(*cache, held, kFirst, "bytes");
  const auto kept = cache->keep(kFirst);
  EXPECT_TRUE(kept) << kept.error().to_string();
  cache->end_use(kFirst);
  EXPECT_TRUE(cache->find(kFirst)->is_whole);
}

TEST_F(CacheTest, may_be_read_by_others_but_not_written) {
  (void)open();
  const std::string path = directory_.path("cache");
  ASSERT_EQ(::chmod(path.c_str(), 0755), 0);
  EXPECT_TRUE(Cache::open(path, 1'000));
  ASSERT_EQ(::chmod(path.c_str(), 0775), 0);
  const auto refused = Cache::open(path, 1'000);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().message().ends_with("run `chmod go-w " + path + "`"))
      << refused.error().message();
}

TEST_F(CacheTest, forgets_a_file_that_somebody_removed) {
  const auto cache = open();
  add(*cache, cache->begin(kFirst).value(), kFirst, "whole");
  ASSERT_TRUE(cache->keep(kFirst));
  ASSERT_EQ(::unlink(directory_.path("cache/objects/" + kFirst).c_str()), 0);
  EXPECT_FALSE(cache->find(kFirst));
  EXPECT_EQ(cache->size(), 0U);
  EXPECT_EQ(cache->bytes(), 0U);
}

TEST_F(CacheTest, without_a_descriptor_to_look_with_loses_nothing) {
  const auto cache = open();
  add(*cache, cache->begin(kFirst).value(), kFirst, "whole");
  ASSERT_TRUE(cache->keep(kFirst));
  const auto before = os::resource_limit(0, RLIMIT_NOFILE).value();
  ASSERT_TRUE(os::set_resource_limit(0, RLIMIT_NOFILE, {.soft = 0, .hard = before.hard}));
  const auto looked = cache->find(kFirst);
  const auto begun = cache->begin(kFirst);
  ASSERT_TRUE(os::set_resource_limit(0, RLIMIT_NOFILE, before));
  ASSERT_FALSE(looked);
  EXPECT_NE(looked.error().code(), base::ErrorCode::not_found);
  EXPECT_FALSE(begun);
  EXPECT_TRUE(cache->find(kFirst)->is_whole);
}

TEST_F(CacheTest, what_was_not_asked_for_the_longest_goes_first_and_never_what_is_in_use) {
  const auto cache = open(10);
  add(*cache, cache->begin(kFirst).value(), kFirst, "123456");
  ASSERT_TRUE(cache->keep(kFirst));
  cache->use(kFirst);
  const auto held = cache->begin(kSecond).value();
  cache->use(kSecond);
  add(*cache, held, kSecond, "123456");
  EXPECT_EQ(cache->size(), 2U) << "both are in use";
  cache->end_use(kFirst);
  add(*cache, held, kSecond, "7");
  EXPECT_FALSE(cache->find(kFirst));
  EXPECT_TRUE(cache->find(kSecond));
  EXPECT_EQ(cache->bytes(), 7U);
}

TEST_F(CacheTest, gives_up_what_is_not_in_use_when_the_disk_is_full) {
  const auto cache = open();
  add(*cache, cache->begin(kFirst).value(), kFirst, "123456");
  ASSERT_TRUE(cache->keep(kFirst));
  const auto held = cache->begin(kSecond).value();
  cache->use(kSecond);
  add(*cache, held, kSecond, "123456");
  EXPECT_TRUE(cache->evict(3));
  EXPECT_EQ(cache->size(), 1U);
  EXPECT_FALSE(cache->evict(3)) << "the other is in use";
  EXPECT_TRUE(cache->find(kSecond));
}

}  // namespace
}  // namespace segue::relay
