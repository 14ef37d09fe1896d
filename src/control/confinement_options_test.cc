// SPDX-License-Identifier: Apache-2.0
#include "control/confinement_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace segue::control {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(ConfinementOptions, are_words_that_are_read_again) {
  ConfinementOptions options{.memory_bytes = std::uint64_t{512} << 20U,
                             .cpu_millicores = 1'500,
                             .max_processes = 200,
                             .max_descriptors = 1'024,
                             .secrets = {{"token", "/etc/chat/token"}},
                             .program_digest = "sha256:" + std::string(64, 'a')};
  const auto words = confinement_words(options);
  EXPECT_THAT(words, ElementsAre("--memory=536870912", "--cpus=1.500", "--nofile=1024",
                                 "--pids=200", "--secret=token=/etc/chat/token",
                                 "--program-digest=sha256:" + std::string(64, 'a')));
  ConfinementOptions again;
  for (const auto& word : words) {
    const auto equals = word.find('=');
    const auto known =
        assign_confinement_option(word.substr(2, equals - 2), word.substr(equals + 1), again);
    ASSERT_TRUE(known && *known) << word;
  }
  EXPECT_EQ(again, options);
}

TEST(ConfinementOptions, take_no_digest_that_no_file_can_have) {
  ConfinementOptions options;
  for (const std::string& wrong :
       {std::string(), std::string("sha256:"), std::string(64, 'a'),
        "sha256:" + std::string(63, 'a'), "sha256:" + std::string(64, 'A'),
        "sha512:" + std::string(64, 'a')}) {
    EXPECT_FALSE(assign_confinement_option("program-digest", wrong, options)) << wrong;
  }
  EXPECT_EQ(options, ConfinementOptions{});
}

TEST(ConfinementOptions, know_nothing_that_only_a_container_has) {
  ContainerOptions container;
  container.image = "redis";
  container.network = "host";
  container.cap_add = {"NET_ADMIN"};
  EXPECT_THAT(confinement_words(confinement_of(container)), IsEmpty());
  ConfinementOptions options;
  for (const char* key : {"image", "network", "mount", "user", "writable-root"}) {
    const auto known = assign_confinement_option(key, "1", options);
    ASSERT_TRUE(known) << key;
    EXPECT_FALSE(*known) << key;
  }
  EXPECT_FALSE(assign_confinement_option("memory", "much", options));
}

}  // namespace
}  // namespace segue::control
