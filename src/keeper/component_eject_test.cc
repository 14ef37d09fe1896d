// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "handoff/frame.h"
#include "keeper/component_rig.h"

namespace segue::keeper {
namespace {

using control::ExitCode;
using testing::HasSubstr;

class Eject : public testing::Test {
 protected:
  void serve(std::uint64_t abilities) {
    rig_.to_starting();
    const Generation generation = rig_.newest();
    rig_.send(Spawned{generation, 77});
    rig_.send(HelloReceived{generation, 1, 1, "kv", "1", abilities});
    rig_.activate(generation);
    rig_.clear();
  }
  Rig rig_;
  static constexpr std::uint64_t kAble = handoff::kAbilityRejoin | handoff::kAbilityRelease;
};

TEST_F(Eject, tells_the_owner_and_leaves_when_it_goes_on_alone) {
  serve(kAble);
  rig_.send(EjectRequested{7, false});
  ASSERT_TRUE(rig_.has<SendRelease>());
  EXPECT_FALSE(rig_.has<Leave>());
  rig_.say(rig_.owner(), Said::released, 1, "/run/alone");
  const auto answer = rig_.answer_to(7);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->exit, ExitCode::done);
  EXPECT_THAT(answer->text, HasSubstr("/run/alone"));
  EXPECT_TRUE(rig_.has<LetGo>());
  EXPECT_TRUE(rig_.has<Leave>());
  EXPECT_FALSE(rig_.has<Signal>());
}

TEST_F(Eject, of_an_older_library_is_refused_and_forced_where_that_is_wanted) {
  serve(0);
  rig_.send(EjectRequested{7, false});
  EXPECT_EQ(rig_.answer_to(7)->exit, ExitCode::refused);
  EXPECT_THAT(rig_.answer_to(7)->text, HasSubstr("--force"));
  EXPECT_FALSE(rig_.has<LetGo>());
  rig_.send(EjectRequested{8, true});
  EXPECT_EQ(rig_.answer_to(8)->exit, ExitCode::done);
  EXPECT_FALSE(rig_.has<SendRelease>());
  EXPECT_TRUE(rig_.has<LetGo>());
}

TEST_F(Eject, without_an_answer_is_refused_and_the_keeper_goes_on) {
  serve(kAble);
  rig_.send(EjectRequested{7, false});
  rig_.advance(Component::kAnswersWithin);
  EXPECT_EQ(rig_.answer_to(7)->exit, ExitCode::refused);
  EXPECT_FALSE(rig_.has<Leave>());
  rig_.say(rig_.owner(), Said::released, 0);
  EXPECT_FALSE(rig_.has<Leave>()) << "a word that comes too late";
}

TEST_F(Eject, is_refused_where_the_owner_dies_meanwhile_and_its_program_is_started_again) {
  serve(kAble);
  rig_.send(EjectRequested{7, false});
  rig_.die(rig_.owner());
  EXPECT_EQ(rig_.answer_to(7)->exit, ExitCode::refused);
  EXPECT_EQ(rig_.component.phase(), Phase::backoff);
}

TEST_F(Eject, in_an_attempt_is_refused) {
  rig_.to_probation();
  rig_.send(EjectRequested{7, true});
  EXPECT_EQ(rig_.answer_to(7)->exit, ExitCode::refused);
  EXPECT_FALSE(rig_.has<LetGo>());
}

TEST_F(Eject, meanwhile_nothing_else_is_done) {
  serve(kAble);
  rig_.send(EjectRequested{7, false});
  rig_.upgrade();
  EXPECT_FALSE(rig_.component.attempt()) << "it would be left behind in the middle";
}

}  // namespace
}  // namespace segue::keeper
