// SPDX-License-Identifier: Apache-2.0
#include "handoff/owner_page.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <set>
#include <thread>
#include <vector>

namespace segue::handoff {
namespace {

constexpr int kSeals[] = {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL};

UniqueFd memfd(off_t size, int seals) {
  UniqueFd fd(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(ftruncate(fd.get(), size), 0);
  EXPECT_EQ(fcntl(fd.get(), F_ADD_SEALS, seals), 0);
  return fd;
}

class Page : public testing::Test {
 protected:
  Page() {
    EXPECT_TRUE(OwnerPage::create(page_).ok());
    a_ = page_.new_name();
    b_ = page_.new_name();
  }
  // a owns the service in this epoch.
  uint32_t owned_by_a() {
    uint32_t epoch = 0;
    EXPECT_TRUE(page_.take(a_, epoch));
    return epoch;
  }
  void expect(uint32_t epoch, OwnerState state, OwnerName owner) {
    EXPECT_EQ(page_.look(), (Ownership{epoch, state, owner}));
  }
  OwnerPage page_;
  OwnerName a_ = kNobody;
  OwnerName b_ = kNobody;
};

TEST(PageMemory, is_refused_without_any_one_of_the_three_seals) {
  for (const int missing : kSeals) {
    int seals = 0;
    for (const int seal : kSeals) seals |= seal == missing ? 0 : seal;
    OwnerPage page;
    EXPECT_FALSE(OwnerPage::map(memfd(OwnerPage::kBytes, seals), page).ok()) << missing;
    EXPECT_FALSE(page.valid());
  }
  OwnerPage page;
  EXPECT_TRUE(
      OwnerPage::map(memfd(OwnerPage::kBytes, kSeals[0] | kSeals[1] | kSeals[2]), page).ok());
}

TEST(PageMemory, is_refused_with_another_size_or_kind) {
  const int all = kSeals[0] | kSeals[1] | kSeals[2];
  for (const off_t size : {0, 1, 4095, 4097, 8192}) {
    OwnerPage page;
    EXPECT_FALSE(OwnerPage::map(memfd(size, all), page).ok()) << size;
  }
  OwnerPage page;
  EXPECT_FALSE(OwnerPage::map(UniqueFd(open("/dev/zero", O_RDWR | O_CLOEXEC)), page).ok());
  EXPECT_FALSE(OwnerPage::map(UniqueFd(), page).ok());
}

TEST(PageMemory, is_shared_by_all_who_map_it) {
  OwnerPage one;
  ASSERT_TRUE(OwnerPage::create(one).ok());
  OwnerPage other;
  ASSERT_TRUE(OwnerPage::map(UniqueFd(dup(one.fd())), other).ok());
  uint32_t epoch = 0;
  ASSERT_TRUE(one.take(one.new_name(), epoch));
  EXPECT_EQ(other.look(), one.look());
  EXPECT_NE(other.new_name(), one.look().owner);
}

TEST_F(Page, word_is_laid_out_as_specified) {
  const Ownership owned{0x11223344, OwnerState::offered, 0x556677};
  EXPECT_EQ(owned.word(), 0x1122334402556677U);
  EXPECT_EQ(Ownership::of(0x1122334402556677U), owned);
  const uint32_t epoch = owned_by_a();
  const auto* words = static_cast<const uint64_t*>(
      mmap(nullptr, OwnerPage::kBytes, PROT_READ, MAP_SHARED, page_.fd(), 0));
  ASSERT_NE(words, MAP_FAILED);
  EXPECT_EQ(words[0], (uint64_t{epoch} << 32 | 1U << 24 | a_));
  EXPECT_EQ(words[1], 2U);
}

TEST_F(Page, names_are_never_nobody_and_differ) {
  auto* words = static_cast<uint64_t*>(
      mmap(nullptr, OwnerPage::kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, page_.fd(), 0));
  ASSERT_NE(words, MAP_FAILED);
  words[1] = 0xFFFFFE;  // about to wrap around
  std::set<OwnerName> names;
  for (int i = 0; i < 3; ++i) names.insert(page_.new_name());
  EXPECT_EQ(names, (std::set<OwnerName>{0xFFFFFF, 1, 2}));
}

TEST_F(Page, a_vacant_page_is_taken_once) {
  expect(0, OwnerState::vacant, kNobody);
  uint32_t epoch = 0;
  EXPECT_TRUE(page_.take(a_, epoch));
  EXPECT_EQ(epoch, 1U);
  expect(1, OwnerState::serving, a_);
  EXPECT_FALSE(page_.take(b_, epoch));
  expect(1, OwnerState::serving, a_);
}

TEST_F(Page, only_the_owner_offers_and_only_in_its_epoch) {
  const uint32_t e = owned_by_a();
  EXPECT_FALSE(page_.offer(e, b_));
  EXPECT_FALSE(page_.offer(e + 1, a_));
  EXPECT_TRUE(page_.offer(e, a_));
  expect(e, OwnerState::offered, a_);
  EXPECT_FALSE(page_.offer(e, a_));
}

TEST_F(Page, what_is_offered_is_activated_once_and_nothing_else_is) {
  const uint32_t e = owned_by_a();
  EXPECT_FALSE(page_.activate(e, a_, b_)) << "not offered";
  ASSERT_TRUE(page_.offer(e, a_));
  EXPECT_FALSE(page_.activate(e + 1, a_, b_)) << "another epoch";
  EXPECT_FALSE(page_.activate(e, b_, b_)) << "another owner";
  EXPECT_TRUE(page_.activate(e, a_, b_));
  expect(e + 1, OwnerState::serving, b_);
  EXPECT_FALSE(page_.activate(e, a_, b_)) << "again";
}

TEST_F(Page, withdrawing_raises_the_epoch_and_ends_the_offer) {
  const uint32_t e = owned_by_a();
  ASSERT_TRUE(page_.offer(e, a_));
  EXPECT_FALSE(page_.withdraw(e, b_));
  EXPECT_TRUE(page_.withdraw(e, a_));
  expect(e + 1, OwnerState::serving, a_);
  EXPECT_FALSE(page_.activate(e, a_, b_));
  EXPECT_FALSE(page_.inherit(e, a_, b_)) << "it has served since";
  EXPECT_TRUE(page_.withdraw(e + 1, a_)) << "without an offer";
  expect(e + 2, OwnerState::serving, a_);
}

TEST_F(Page, nothing_is_withdrawn_once_it_is_activated) {
  const uint32_t e = owned_by_a();
  ASSERT_TRUE(page_.offer(e, a_));
  ASSERT_TRUE(page_.activate(e, a_, b_));
  EXPECT_FALSE(page_.withdraw(e, a_));
  EXPECT_FALSE(page_.withdraw(e + 1, a_));
  expect(e + 1, OwnerState::serving, b_);
}

TEST_F(Page, dead_owner_is_inherited_offered_or_not) {
  for (const bool offered : {false, true}) {
    OwnerPage page;
    ASSERT_TRUE(OwnerPage::create(page).ok());
    uint32_t e = 0;
    ASSERT_TRUE(page.take(a_, e));
    if (offered) {
      ASSERT_TRUE(page.offer(e, a_));
    }
    EXPECT_FALSE(page.inherit(e, b_, b_));
    EXPECT_FALSE(page.inherit(e + 1, a_, b_));
    EXPECT_TRUE(page.inherit(e, a_, b_));
    EXPECT_EQ(page.look(), (Ownership{e + 1, OwnerState::serving, b_}));
  }
}

TEST_F(Page, dead_successor_is_reclaimed_in_its_epoch_only) {
  const uint32_t e = owned_by_a();
  ASSERT_TRUE(page_.offer(e, a_));
  EXPECT_FALSE(page_.reclaim(e, b_, a_)) << "it does not own yet";
  ASSERT_TRUE(page_.activate(e, a_, b_));
  EXPECT_FALSE(page_.reclaim(e, b_, a_));
  EXPECT_TRUE(page_.reclaim(e + 1, b_, a_));
  expect(e + 2, OwnerState::serving, a_);
}

TEST_F(Page, dead_successor_is_reclaimed_although_it_had_offered_to_a_third) {
  const uint32_t e = owned_by_a();
  const OwnerName c = page_.new_name();
  ASSERT_TRUE(page_.offer(e, a_));
  ASSERT_TRUE(page_.activate(e, a_, b_));
  ASSERT_TRUE(page_.offer(e + 1, b_));
  EXPECT_TRUE(page_.reclaim(e + 1, b_, a_));
  expect(e + 2, OwnerState::serving, a_);
  EXPECT_FALSE(page_.activate(e + 1, b_, c));
  EXPECT_FALSE(page_.inherit(e + 1, b_, c));
}

TEST_F(Page, dead_owner_is_vacated_once_and_the_page_can_be_taken_again) {
  const uint32_t e = owned_by_a();
  EXPECT_FALSE(page_.vacate(b_));
  EXPECT_TRUE(page_.vacate(a_));
  expect(e + 1, OwnerState::vacant, kNobody);
  EXPECT_FALSE(page_.vacate(a_));
  EXPECT_FALSE(page_.vacate(kNobody));
  EXPECT_FALSE(page_.inherit(e, a_, b_));
  uint32_t again = 0;
  EXPECT_TRUE(page_.take(b_, again));
  EXPECT_EQ(again, e + 2);
}

TEST_F(Page, withdraw_and_activate_at_once_have_one_winner) {
  uint32_t e = owned_by_a();
  int activated = 0;
  for (int round = 0; round < 2000; ++round) {
    ASSERT_TRUE(page_.offer(e, a_));
    bool withdrawn = false;
    bool active = false;
    std::thread successor([&] { active = page_.activate(e, a_, b_); });
    withdrawn = page_.withdraw(e, a_);
    successor.join();
    ASSERT_NE(withdrawn, active);
    activated += active ? 1 : 0;
    if (active) {
      ASSERT_TRUE(page_.reclaim(e + 1, b_, a_));
    }
    e = page_.look().epoch;
  }
  RecordProperty("activated_of_2000", activated);
}

}  // namespace
}  // namespace segue::handoff
