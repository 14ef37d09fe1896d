// SPDX-License-Identifier: Apache-2.0
#include "keeper/host_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace segue::keeper {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kGib = std::uint64_t{1} << 30;

HostFigures roomy() {
  return {.predecessor_bytes = kGib,
          .arena_bytes = 4 * kGib,
          .available_bytes = 3 * kGib,
          .cgroup_room_bytes = std::nullopt,
          .promised_bytes = 0,
          .load = 1,
          .cpus = 2};
}

TEST(HostCheck, a_successor_as_large_as_the_predecessor_has_to_fit_and_arenas_do_not_count) {
  const HostVerdict verdict = check_host(roomy(), 800);
  EXPECT_TRUE(verdict.fits) << verdict.text;
  EXPECT_EQ(verdict.needed_bytes, kGib + kProgramBytes);
  EXPECT_THAT(verdict.text, HasSubstr("4.0 GiB in arenas"));
}

TEST(HostCheck, too_little_memory_is_refused_with_the_figures) {
  HostFigures figures = roomy();
  figures.available_bytes = kGib;
  const HostVerdict verdict = check_host(figures, 800);
  EXPECT_FALSE(verdict.fits);
  EXPECT_THAT(verdict.text, HasSubstr("do not fit"));
  EXPECT_THAT(verdict.text, HasSubstr("1.0 GiB available on the host"));
}

TEST(HostCheck, a_limit_of_the_cgroup_counts_where_it_is_nearer) {
  HostFigures figures = roomy();
  figures.cgroup_room_bytes = kGib / 2;
  EXPECT_FALSE(check_host(figures, 800).fits);
  figures.cgroup_room_bytes = 2 * kGib;
  EXPECT_TRUE(check_host(figures, 800).fits);
}

TEST(HostCheck, what_others_were_promised_is_not_given_twice) {
  HostFigures figures = roomy();
  figures.promised_bytes = 2 * kGib;
  EXPECT_FALSE(check_host(figures, 800).fits);
  figures.promised_bytes = 9 * kGib;
  EXPECT_THAT(check_host(figures, 800).text, HasSubstr("0 B can be had"));
}

TEST(HostCheck, a_load_beyond_the_bound_is_refused) {
  HostFigures figures = roomy();
  figures.load = 16;
  EXPECT_TRUE(check_host(figures, 800).fits);
  figures.load = 16.1;
  EXPECT_THAT(check_host(figures, 800).text, HasSubstr("too busy"));
  EXPECT_FALSE(check_host(figures, 800).fits);
}

}  // namespace
}  // namespace segue::keeper
