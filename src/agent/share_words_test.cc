// SPDX-License-Identifier: Apache-2.0
#include "agent/share_words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace segue::agent {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const reconcile::InstanceKey kCanary{"chat", fleet::Slot::canary};

base::Result<Words> words_for(const fleet::ComponentSpec* spec, std::uint32_t share_ppm,
                              std::uint64_t salt = 0) {
  return share_words(home_of("/bin/segue", "/place", "/run", kCanary), kCanary, spec,
                     {.key = kCanary, .share_ppm = share_ppm, .share_salt = salt});
}

TEST(ShareWords, set_the_share_of_the_component_exactly) {
  fleet::ComponentSpec spec;
  spec.sharing.kind = fleet::Sharing::Kind::kernel;
  EXPECT_THAT(words_for(&spec, 105'000).value(),
              ElementsAre("/bin/segue", "share", "--json", "chat", "10.5000%"));
  EXPECT_THAT(words_for(&spec, 1).value(),
              ElementsAre("/bin/segue", "share", "--json", "chat", "0.0001%"));
  EXPECT_THAT(words_for(&spec, 0, 7).value(),
              ElementsAre("/bin/segue", "share", "--json", "chat", "0.0000%"));
}

TEST(ShareWords, keep_the_same_clients_by_the_rollouts_salt) {
  fleet::ComponentSpec spec;
  spec.sharing = {.kind = fleet::Sharing::Kind::kernel, .pick = fleet::Sharing::Pick::source};
  EXPECT_THAT(words_for(&spec, 1'000'000, 7).value(),
              ElementsAre("/bin/segue", "share", "--json", "chat", "100.0000%", "--sticky",
                          "source", "--salt", "7"));
  EXPECT_THAT(
      words_for(&spec, 1'000'000).value(),
      ElementsAre("/bin/segue", "share", "--json", "chat", "100.0000%", "--sticky", "source"));
}

TEST(ShareWords, are_refused_where_nobody_splits_and_not_needed_for_no_share) {
  const fleet::ComponentSpec spec;
  EXPECT_THAT(words_for(&spec, 0).value(), IsEmpty());
  EXPECT_THAT(words_for(nullptr, 0).value(), IsEmpty());
  const auto refused = words_for(&spec, 1);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("sharing: {kind: kernel}"));
  EXPECT_FALSE(words_for(nullptr, 1));
}

}  // namespace
}  // namespace segue::agent
