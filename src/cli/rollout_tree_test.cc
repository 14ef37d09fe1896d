// SPDX-License-Identifier: Apache-2.0
#include "cli/rollout_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/test_progress.h"

namespace segue::cli {
namespace {

using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::vector<std::string> drawn(const Json& progress, TreeView view = {.is_utf8 = false}) {
  std::vector<std::string> lines;
  for (const auto& line : rollout_tree(progress, view)) lines.push_back(plain_text(line));
  return lines;
}

TEST(RolloutTree, has_steps_with_hosts_gates_connections_and_the_time_that_is_left) {
  EXPECT_THAT(
      drawn(test_progress()),
      ElementsAre(
          "chat-7  chat 1.4, by ada  running  about 4 min left",
          "|  waits for  23 s more to pass without trouble", "|  next       step 1 host begins",
          "|  connects   360 at stable slots, 12 at the canary's",
          "|- canary 1%   done       [##########] 3/3 moved, 10% of new connections",
          "|- canary 10%  baking     10% of new connections",
          "|  |- gate errors wait: not enough data: 12 requests",
          "|  |- h1 canary  good        revision 5, 120 connections",
          "|  |- h2 canary  good        revision 5, 120 connections",
          "|  `- h3 canary  good        revision 5, 120 connections",
          "|- 1 host      to-come    [..........] 0/1 moved",
          "|  `- h1         waiting     revision 4, 120 connections",
          "|- rest        to-come    [..........] 0/2 moved",
          "|  |- h2         waiting     revision 4, 120 connections",
          "|  `- h3         waiting     revision 4, 120 connections", "`- settle      to-come"));
}

TEST(RolloutTree, says_which_phase_of_its_handoff_a_host_is_in_and_how_it_went) {
  Json progress = test_progress();
  Json& moving = progress["instances"][3];
  moving["standing"] = "moving";
  moving["activity"] = "probation";
  Json& moved = progress["instances"][4];
  moved["standing"] = "good";
  moved["handoff"] = {{"connections", 1'200}, {"lost", 0}, {"blackout_us", 3'120}};
  Json& failed = progress["instances"][5];
  failed["standing"] = "failed";
  failed["text"] = "undone: the port\nis taken";
  const auto lines = drawn(progress, {.is_utf8 = false, .now_ms = 1'012'000});
  EXPECT_THAT(lines,
              Contains(HasSubstr("h1         probation   revision 4, 120 connections, for 12 s")));
  EXPECT_THAT(lines,
              Contains(HasSubstr("good        revision 4, 120 connections; moved 1,200, lost 0, "
                                 "blackout 3.12 ms")));
  EXPECT_THAT(lines, Contains(HasSubstr("for 12 s: undone: the port is taken")));
}

TEST(RolloutTree, is_never_wider_or_higher_than_its_screen) {
  Json progress = test_progress();
  progress["waits_for"] = std::string(1'000, 'x') + " " + std::string(1'000, 'y');
  progress["gates"][0]["text"] = std::string(500, 'z');
  for (int i = 0; i < 300; ++i)
    progress["steps"].push_back(test_step("later", "wave", "to-come", 1, 0));
  for (std::size_t columns = 1; columns < 90; columns += 11) {
    for (std::size_t rows = 1; rows < 30; rows += 4) {
      for (const bool is_utf8 : {true, false}) {
        const auto lines =
            rollout_tree(progress, {.columns = columns, .rows = rows, .is_utf8 = is_utf8});
        ASSERT_LE(lines.size(), rows);
        ASSERT_FALSE(lines.empty());
        for (const auto& line : lines) ASSERT_LE(columns_of(line), columns) << plain_text(line);
      }
    }
  }
}

TEST(RolloutTree, shows_the_present_step_first_and_counts_what_finds_no_room) {
  Json progress = test_progress();
  progress["step"] = 3;
  progress["step_phase"] = "moving";
  progress["steps"][3]["state"] = "current";
  progress["steps"][3]["instances"] = 2'000;
  for (int i = 0; i < 900; ++i) {
    progress["instances"].push_back(
        test_instance(fmt::format("x{:03}", i), "stable", 3, i == 800 ? "failed" : "good"));
  }
  const auto lines = drawn(progress, {.columns = 100, .rows = 20, .is_utf8 = false});
  ASSERT_EQ(lines.size(), 20U);
  EXPECT_THAT(lines, Contains(HasSubstr("x800       failed")));
  EXPECT_THAT(lines, Contains(HasSubstr("more)")));
  EXPECT_THAT(lines, Contains(StartsWith("|- rest")));
  for (int i = 0; i < 300; ++i)
    progress["steps"].push_back(test_step("later", "wave", "to-come", 1, 0));
  const auto many = drawn(progress, {.columns = 100, .rows = 20, .is_utf8 = false});
  EXPECT_LE(many.size(), 20U);
  EXPECT_THAT(many, Contains(StartsWith("|- rest")));
  EXPECT_THAT(many, Contains(HasSubstr("steps more)")));
}

TEST(RolloutTree, says_who_has_signed_what_is_rolled_out) {
  Json progress = test_progress();
  progress["signed_by"] = {{{"person", "ada"}, {"key", "00"}}, {{"person", "bob"}, {"key", "01"}}};
  EXPECT_THAT(drawn(progress), Contains("|  signed by  ada, bob"));
}

TEST(RolloutTree, obeys_nobody_who_names_a_host) {
  Json progress = test_progress();
  progress["title"] = "\x1b]0;owned\x07";
  progress["instances"][0]["host"] = "h\x1b[2J";
  progress["gates"][0]["text"] = "\x1b[31m";
  EXPECT_THAT(drawn(progress), Each(Not(HasSubstr("\x1b"))));
}

TEST(RolloutTree, is_drawn_of_what_has_no_steps_so_far) {
  const Json waiting{{"id", "chat-8"},
                     {"phase", "waiting"},
                     {"author", "ada"},
                     {"waits_for", "the end of rollout chat-7"}};
  EXPECT_THAT(drawn(waiting),
              ElementsAre("chat-8  by ada  waiting", "|  waits for  the end of rollout chat-7"));
}

}  // namespace
}  // namespace segue::cli
