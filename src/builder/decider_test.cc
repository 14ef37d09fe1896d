// SPDX-License-Identifier: Apache-2.0
#include "builder/decider.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace segue::builder {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string commit(int number) {
  return std::string(39, 'a') + static_cast<char>('0' + number);
}

StageResult good(Stage stage) {
  StageResult result{.good = true};
  if (stage == Stage::preparing) {
    result.component = "chat";
    result.version = "1.0";
  }
  return result;
}

// The world: a disk that keeps what was saved, a library, and a decider that may die at any
// command.
class World {
 public:
  explicit World(std::size_t max_waiting = 64) : max_waiting_(max_waiting) { start(); }

  // Dies before its so many-th command from now on; 0: never.
  void die_at(std::size_t command) { die_at_ = command; }
  [[nodiscard]] bool is_dead() const { return is_dead_; }

  void start() {
    decider_ = std::make_unique<Decider>(Decider::Settings{.max_waiting = max_waiting_});
    is_dead_ = false;
    stage_.reset();
    std::vector<Record> records;
    for (const auto& [id, record] : disk_) records.push_back(record);
    apply(decider_->restore(std::move(records)));
  }

  std::size_t see(std::vector<std::string> commits, const std::string& ref = "refs/heads/main",
                  const std::string& repository = "chat") {
    auto accounted = decider_->account_for({repository, ref, std::move(commits)}, 10);
    apply(std::move(accounted.commands));
    return accounted.count;
  }

  // One stage to its end; false: nothing is left to do.
  bool step() {
    if (is_dead_) return false;
    if (!stage_) {
      apply(decider_->begin_next(now_s_));
      return stage_.has_value();
    }
    const Stage stage = *std::exchange(stage_, std::nullopt);
    apply(decider_->end_stage(outcome(stage), true, now_s_));
    return true;
  }

  void run() {
    while (step()) {
    }
  }

  void interrupt() { apply(decider_->interrupt()); }

  void fail_in(Stage stage) { failing_ = stage; }

  std::int64_t now_s_ = 20;
  std::int64_t frozen_until_s_ = 0;
  std::map<std::uint64_t, Record> disk_;
  std::vector<std::string> published_;
  std::size_t max_published_of_one_ = 0;
  std::set<std::uint64_t> told_;
  std::unique_ptr<Decider> decider_;

 private:
  StageResult outcome(Stage stage) {
    const Record& record = *decider_->find(*decider_->under_way());
    if (stage == failing_) return {.why = "it has to"};
    if (stage == Stage::publishing && frozen_until_s_ > now_s_) {
      return {.why = "frozen", .frozen_until_s = frozen_until_s_};
    }
    StageResult result = good(stage);
    const auto count = std::ranges::count(published_, record.commit);
    if (stage == Stage::confirming) result.published = count > 0;
    return result;
  }

  void apply(Commands commands) {
    for (const auto& command : commands) {
      if (is_dead_) return;
      if (die_at_ > 0 && --die_at_ == 0) {
        is_dead_ = true;
        return;
      }
      if (const auto* save = std::get_if<Save>(&command)) {
        disk_[save->record.id] = save->record;
        // As from the disk.
        EXPECT_EQ(*parse_record(encode(save->record)), save->record);
      } else if (const auto* run = std::get_if<RunStage>(&command)) {
        EXPECT_EQ(disk_.at(run->id).stage, run->stage) << "done before it was saved";
        stage_ = run->stage;
        if (run->stage == Stage::publishing && failing_ != Stage::publishing &&
            frozen_until_s_ <= now_s_) {
          // It takes effect at once: the builder may die with it done.
          published_.push_back(disk_.at(run->id).commit);
        }
      } else if (const auto* told = std::get_if<Tell>(&command)) {
        told_.insert(told->id);
      }
    }
  }

  std::size_t max_waiting_;
  std::size_t die_at_ = 0;
  bool is_dead_ = false;
  std::optional<Stage> stage_;
  std::optional<Stage> failing_;
};

TEST(Decider, builds_tests_and_publishes_each_commit_in_the_order_it_was_seen) {
  World world;
  EXPECT_EQ(world.see({commit(1), commit(2)}), 2U);
  EXPECT_EQ(world.see({commit(2), commit(3)}), 2U);
  world.run();
  EXPECT_THAT(world.published_, ElementsAre(commit(1), commit(2), commit(3)));
  ASSERT_EQ(world.disk_.size(), 3U);
  for (const auto& [id, record] : world.disk_) {
    EXPECT_EQ(record.verdict, Verdict::published);
    EXPECT_EQ(status_of(record), Status::success);
    EXPECT_EQ(record.version, "1.0");
    EXPECT_EQ(record.attempts, 1U);
  }
  EXPECT_EQ(world.told_.size(), 3U);
}

TEST(Decider, holds_what_it_may_not_publish_and_its_successors_and_builds_for_others) {
  World world;
  world.frozen_until_s_ = 10'000;
  world.see({commit(1), commit(2)});
  world.see({commit(3)}, "refs/heads/main", "mail");
  world.run();
  EXPECT_EQ(world.disk_.at(1).stage, Stage::held);
  EXPECT_EQ(describe(world.disk_.at(1)), "held: frozen");
  EXPECT_EQ(status_of(world.disk_.at(1)), Status::pending);
  EXPECT_EQ(world.disk_.at(2).stage, Stage::queued);
  EXPECT_EQ(world.disk_.at(3).stage, Stage::held);
  EXPECT_EQ(world.decider_->held(), 2U);
  world.now_s_ += kAskAgainS;  // the plan may have been cancelled; it was not
  ASSERT_TRUE(world.step());
  world.run();
  EXPECT_THAT(world.published_, IsEmpty());
  EXPECT_EQ(world.decider_->held(), 2U);
  world.now_s_ = 10'000;
  world.run();
  EXPECT_THAT(world.published_, ElementsAre(commit(1), commit(3), commit(2)));
  for (const auto& [id, record] : world.disk_) {
    EXPECT_EQ(record.verdict, Verdict::published);
    EXPECT_EQ(record.attempts, 1U);
    EXPECT_EQ(record.why, "");
  }
}

TEST(Decider, killed_while_it_holds_it_builds_again_and_loses_nothing) {
  World world;
  world.frozen_until_s_ = 10'000;
  world.see({commit(1), commit(2)});
  for (std::uint32_t i = 0; i < 2 * kMaxAttempts; ++i) {
    world.run();
    ASSERT_EQ(world.disk_.at(1).stage, Stage::held);
    world.start();
  }
  world.now_s_ = 10'000;
  world.run();
  EXPECT_THAT(world.published_, ElementsAre(commit(1), commit(2)));
  EXPECT_EQ(world.disk_.at(1).attempts, 1U);
}

TEST(Decider, publishes_nothing_after_a_failure_and_says_what_failed) {
  for (const auto& [stage, words] :
       {std::pair{Stage::preparing, "could not be prepared: it has to"},
        std::pair{Stage::building, "the build failed: it has to"},
        std::pair{Stage::testing, "the test failed: it has to"},
        std::pair{Stage::publishing, "could not be published: it has to"}}) {
    World world;
    world.fail_in(stage);
    world.see({commit(1), commit(2)});
    world.run();
    EXPECT_THAT(world.published_, IsEmpty());
    for (const auto& [id, record] : world.disk_) {
      EXPECT_EQ(record.verdict, Verdict::failed);
      EXPECT_THAT(record.why, HasSubstr(words));
      EXPECT_EQ(status_of(record), Status::failure);
    }
    EXPECT_EQ(world.disk_.size(), 2U);
  }
}

TEST(Decider, ends_before_publishing_where_the_ref_is_only_built) {
  Decider decider({});
  (void)decider.account_for({"chat", "refs/heads/try", {commit(1)}}, 1);
  (void)decider.begin_next(2);
  (void)decider.end_stage(good(Stage::preparing), false, 3);
  (void)decider.end_stage(good(Stage::building), false, 3);
  (void)decider.end_stage(good(Stage::testing), false, 3);
  EXPECT_EQ(decider.find(1)->verdict, Verdict::passed);
  EXPECT_EQ(decider.under_way(), std::nullopt);
}

TEST(Decider, takes_only_so_many_and_the_others_when_there_is_room) {
  World world(2);
  EXPECT_EQ(world.see({commit(1), commit(2), commit(3)}), 2U);
  EXPECT_EQ(world.decider_->room(), 0U);
  EXPECT_EQ(world.see({commit(1), commit(2), commit(3)}), 2U);
  EXPECT_TRUE(world.step());  // the first one leaves the queue
  EXPECT_EQ(world.see({commit(1), commit(2), commit(3), commit(4)}), 3U);
  world.run();
  EXPECT_EQ(world.see({commit(4)}), 1U);
  world.run();
  EXPECT_EQ(world.published_.size(), 4U);
}

TEST(Decider, killed_before_any_command_goes_on_and_publishes_each_commit_once) {
  std::size_t deaths = 0;
  for (std::size_t command = 1;; ++command) {
    World world;
    world.die_at(command);
    world.see({commit(1), commit(2)});
    world.run();
    const bool died = world.is_dead();
    if (died) {
      ++deaths;
      world.start();
      world.see({commit(1), commit(2)});  // the refs still name them
      world.run();
    }
    ASSERT_EQ(world.disk_.size(), 2U) << "killed before command " << command;
    EXPECT_THAT(world.published_, ElementsAre(commit(1), commit(2)))
        << "killed before command " << command;
    for (const auto& [id, record] : world.disk_) {
      EXPECT_EQ(record.verdict, Verdict::published) << "killed before command " << command;
    }
    if (!died) break;
  }
  EXPECT_GT(deaths, 20U);
}

TEST(Decider, gives_a_commit_up_that_its_builder_does_not_outlive) {
  World world;
  world.see({commit(1)});
  for (std::uint32_t attempt = 0; attempt < kMaxAttempts; ++attempt) {
    ASSERT_TRUE(world.step());  // preparing
    ASSERT_TRUE(world.step());  // building
    world.start();
  }
  EXPECT_FALSE(world.step());
  EXPECT_EQ(world.disk_.at(1).verdict, Verdict::failed);
  EXPECT_THAT(world.disk_.at(1).why, HasSubstr("the builder ended 3 times"));
}

TEST(Decider, asked_to_end_counts_no_attempt) {
  World world;
  world.see({commit(1)});
  for (std::uint32_t round = 0; round < 2 * kMaxAttempts; ++round) {
    ASSERT_TRUE(world.step());  // preparing
    ASSERT_TRUE(world.step());  // building
    world.interrupt();
    world.start();
  }
  world.run();
  EXPECT_EQ(world.disk_.at(1).verdict, Verdict::published);
}

TEST(Decider, forgets_the_oldest_that_have_ended) {
  World world;
  world.see({commit(1), commit(2), commit(3)});
  while (world.disk_[2].stage != Stage::ended) ASSERT_TRUE(world.step());
  EXPECT_THAT(world.decider_->forget_beyond(1), ElementsAre(1U));
  EXPECT_EQ(world.decider_->find("chat", commit(1)), nullptr);
  EXPECT_NE(world.decider_->find("chat", commit(2)), nullptr);
  EXPECT_THAT(world.decider_->forget_beyond(0), ElementsAre(2U));
  EXPECT_NE(world.decider_->find("chat", commit(3)), nullptr) << "it has not ended";
}

TEST(Decider, says_a_status_again_that_was_not_delivered) {
  World world;
  world.see({commit(1)});
  world.run();
  for (const auto& command : world.decider_->note_delivered(1, Status::success)) {
    world.disk_[1] = std::get<Save>(command).record;
  }
  world.told_.clear();
  world.start();
  EXPECT_EQ(world.told_.size(), 1U) << "the forge has not heard of it";
  for (const auto& command : world.decider_->told_delivered(1, Status::success)) {
    world.disk_[1] = std::get<Save>(command).record;
  }
  world.told_.clear();
  world.start();
  EXPECT_THAT(world.told_, IsEmpty());
}

}  // namespace
}  // namespace segue::builder
