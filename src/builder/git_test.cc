// SPDX-License-Identifier: Apache-2.0
// The scripts against a real git, and what is made of their output.
#include "builder/git.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "builder/step.h"
#include "builder/test_loop.h"
#include "os/files.h"
#include "os/temp_directory.h"

namespace segue::builder {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Git : public testing::Test {
 protected:
  Git() { EXPECT_TRUE(os::adopt_orphans()); }

  std::string sh(const std::string& script) {
    const auto end = run({"/bin/sh", "-ec", script});
    EXPECT_TRUE(end.good) << script << ": " << end.why << " " << end.last_line;
    std::string text = end.captured;
    while (text.ends_with('\n')) text.pop_back();
    return text;
  }

  StepEnd run(Words words) {
    std::optional<StepEnd> end;
    Step step(here_.loop, here_.clock, others_);
    const auto started = step.start(
        {.argv = std::move(words),
         .env = {"PATH=/usr/bin:/bin", "HOME=" + folder_.path(), "GIT_AUTHOR_NAME=a",
                 "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b",
                 "GIT_COMMITTER_DATE=2026-01-31T23:30:00 -0100"},
         .cwd = folder_.path(),
         .capture_bytes = kMaxGitAnswerBytes},
        [&](StepEnd got) { end = std::move(got); });
    EXPECT_TRUE(started);
    EXPECT_TRUE(here_.run_until([&] { return end.has_value(); }));
    return *std::move(end);
  }

  // A bare repository, and a working copy that pushes there.
  void make_repository() {
    sh("git init -q --bare -b main origin.git; git clone -q origin.git work 2>/dev/null; "
       "git -C work checkout -q -b main");
  }
  std::string commit(const std::string& name) {
    return sh("cd work; echo " + name +
              " > file; printf 'name: chat\\n' > segue.yaml; "
              "git add .; git commit -q -m " +
              name +
              "; git push -q origin HEAD; "
              "git rev-parse HEAD");
  }

  Seen fetch(const std::vector<std::string>& wanted = {}) {
    const auto end = run(fetch_script(mirror(), origin(), wanted));
    EXPECT_TRUE(end.good) << end.why << " " << end.last_line;
    auto seen = parse_seen(end.captured);
    EXPECT_TRUE(seen) << seen.error().message();
    return seen.value_or(Seen{});
  }
  std::vector<std::string> range(const std::string& from, const std::string& to) {
    const auto end = run(range_script(mirror(), from, to));
    EXPECT_TRUE(end.good) << end.last_line;
    return *parse_commits(end.captured);
  }

  std::string mirror() { return folder_.path("mirror.git"); }
  std::string origin() { return folder_.path("origin.git"); }

  os::TempDirectory folder_;
  TestLoop here_;
  std::set<pid_t> others_;
};

TEST_F(Git, a_look_finds_refs_and_the_commits_between) {
  make_repository();
  const auto first = commit("1");
  sh("cd work; git tag -a -m v1 v1; git push -q origin v1");
  Seen seen = fetch();
  EXPECT_EQ(seen.refs["refs/heads/main"], first);
  EXPECT_EQ(seen.refs["refs/tags/v1"], first) << "the commit, not the tag's own object";

  const auto second = commit("2");
  const auto third = commit("3");
  seen = fetch();
  EXPECT_EQ(seen.refs["refs/heads/main"], third);
  EXPECT_THAT(range(first, third), ElementsAre(second, third));
  EXPECT_THAT(range("", third), ElementsAre(third));
  EXPECT_THAT(range(third, third), IsEmpty());
  EXPECT_THAT(range(std::string(40, '1'), third), ElementsAre(third)) << "the base has gone";
}

TEST_F(Git, commits_that_a_forced_push_left_behind_are_fetched_while_they_are_there) {
  make_repository();
  const auto first = commit("1");
  const auto lost = commit("2");
  sh("cd work; git reset -q --hard HEAD^");
  sh("cd work; echo x > file; git commit -qam 3; git push -q -f origin HEAD");
  const std::string never(40, '1');
  const Seen seen = fetch({lost, never});
  EXPECT_THAT(seen.gone, ElementsAre(never));
  EXPECT_THAT(range(first, lost), ElementsAre(lost));
}

TEST_F(Git, a_checkout_is_that_commit_with_its_facts_and_its_file) {
  make_repository();
  commit("1");
  const auto second = commit("2");
  sh("cd work; git tag v2; git push -q origin v2");
  commit("3");
  fetch();
  const auto end = run(checkout_script(mirror(), second, folder_.path("tree")));
  ASSERT_TRUE(end.good) << end.last_line;
  const auto checkout = parse_checkout(end.captured);
  ASSERT_TRUE(checkout);
  EXPECT_EQ(checkout->facts.commit, second);
  EXPECT_EQ(checkout->facts.commits, "2");
  EXPECT_EQ(checkout->facts.date, "20260201") << "in UTC";
  EXPECT_EQ(checkout->facts.time, "003000");
  EXPECT_EQ(checkout->facts.tag, "v2");
  EXPECT_EQ(checkout->build_file, "name: chat\n");
  EXPECT_EQ(sh("cat tree/file"), "2");
  EXPECT_EQ(sh("cd tree; git status --porcelain"), "");

  const auto gone = run(checkout_script(mirror(), std::string(40, '1'), folder_.path("tree2")));
  EXPECT_FALSE(gone.good);
  EXPECT_THAT(gone.last_line, HasSubstr("1111111"));
}

TEST_F(Git, notes_of_two_writers_stand_beside_each_other) {
  make_repository();
  const auto first = commit("1");
  const auto second = commit("2");
  fetch();
  ASSERT_TRUE(run(note_script(mirror(), origin(), first, "Segue: success")).good);
  ASSERT_TRUE(run(fetch_script(folder_.path("other.git"), origin(), {})).good);
  ASSERT_TRUE(run(note_script(folder_.path("other.git"), origin(), second, "Segue: failure")).good);
  ASSERT_TRUE(run(note_script(mirror(), origin(), first, "Segue: failure")).good);
  sh("cd work; git fetch -q origin refs/notes/segue:refs/notes/segue");
  EXPECT_EQ(sh("cd work; git notes --ref=segue show " + first), "Segue: failure");
  EXPECT_EQ(sh("cd work; git notes --ref=segue show " + second), "Segue: failure");
}

TEST(GitAnswers, that_are_none_are_refused) {
  EXPECT_FALSE(parse_seen("ref refs/heads/main"));
  EXPECT_FALSE(parse_seen("ref refs/heads/main abc\n"));
  EXPECT_FALSE(parse_seen("hello " + std::string(40, 'a') + "\n"));
  EXPECT_TRUE(parse_seen(""));
  EXPECT_FALSE(parse_commits("abc\n"));
  EXPECT_FALSE(parse_checkout("commit x\n"));
  EXPECT_EQ(parse_checkout("tag \n\nname: a\n\nb")->build_file, "name: a\n\nb");
}

}  // namespace
}  // namespace segue::builder
