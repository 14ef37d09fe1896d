// SPDX-License-Identifier: Apache-2.0
// Every order in which a predecessor, a successor, a third instance, a keeper and a new first
// instance can act on one ownership page, deaths at every point included.
#include "handoff/owner_model.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <array>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace segue::handoff::test {
namespace {

bool is_death(const Action& action) {
  return action.name.ends_with(" dies");
}

int owners_of(const Model& m) {
  return int{m.a_owns} + int{m.b_owns} + int{m.c_owns} + int{m.d_owns};
}

bool is_dead(const Model& m, OwnerName owner) {
  return (owner == kA && m.a_dead) || (owner == kB && m.b_dead) || (owner == kC && m.c_dead) ||
         (owner == kD && m.d_dead);
}

// What is wrong in this state; empty if nothing is.
std::string wrong_in(const Model& m) {
  const OwnerName owner = Ownership::of(m.word).owner;
  const bool named = (!m.a_owns || owner == kA) && (!m.b_owns || owner == kB) &&
                     (!m.c_owns || owner == kC) && (!m.d_owns || owner == kD);
  if (owners_of(m) > 1) return "two serve at once";
  if (!named) return "one serves that the page does not name";
  if (m.took_stale) return "what the predecessor did after FINAL is lost";
  if (m.releases && m.a_holds && m.b_holds) return "a resource is held twice";
  return "";
}

// Nothing can happen any more, but deaths.
std::string wrong_at_end(const Model& m) {
  const Ownership now = Ownership::of(m.word);
  const bool vacated = now.state == OwnerState::vacant;
  const bool nobody_can_vacate = m.keeper_dead && is_dead(m, now.owner);
  if (owners_of(m) == 1 || vacated || nobody_can_vacate) return "";
  return "it ended with " + std::to_string(owners_of(m)) + " owners";
}

// Depth first over all states that can be reached.
class Explorer {
 public:
  explicit Explorer(std::vector<Action> actions) : actions_(std::move(actions)) {
    EXPECT_TRUE(OwnerPage::create(page_).ok());
    word_ = static_cast<uint64_t*>(
        mmap(nullptr, OwnerPage::kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, page_.fd(), 0));
  }
  Explorer(const Explorer&) = delete;
  Explorer& operator=(const Explorer&) = delete;
  ~Explorer() { munmap(word_, OwnerPage::kBytes); }

  // What is wrong and how it came about; empty if nothing is.
  std::string explore(const Model& start) {
    std::vector<Model> open{start};
    while (!open.empty()) {
      const Model model = open.back();
      open.pop_back();
      if (!seen_.insert(model).second) continue;
      std::string wrong = wrong_in(model);
      if (!follow(model, start, open)) {
        ++ends_;
        if (wrong.empty()) wrong = wrong_at_end(model);
      }
      if (!wrong.empty()) return wrong + " after: " + way_to(model);
    }
    return "";
  }

  [[nodiscard]] size_t states() const { return seen_.size(); }
  [[nodiscard]] size_t ends() const { return ends_; }
  [[nodiscard]] size_t times(const std::string& action, bool done) {
    return counts_[action][done ? 1 : 0];
  }

 private:
  // Tries every action; true if one that is no death changes something.
  bool follow(const Model& model, const Model& start, std::vector<Model>& open) {
    bool moved = false;
    for (const Action& action : actions_) {
      if (!action.enabled(model)) continue;
      Model next = model;
      *word_ = model.word;
      const bool done = action.act(next, page_);
      next.word = *word_;
      ++counts_[action.name][done ? 1 : 0];
      if (next == model) continue;
      moved = moved || !is_death(action);
      if (next == start) continue;
      origins_.try_emplace(next, model, action.name);
      open.push_back(next);
    }
    return moved;
  }

  std::string way_to(const Model& model) {
    std::string way;
    for (auto at = origins_.find(model); at != origins_.end();
         at = origins_.find(at->second.first)) {
      way.insert(0, at->second.second + "; ");
    }
    return way;
  }

  std::vector<Action> actions_;
  OwnerPage page_;
  uint64_t* word_ = nullptr;
  std::set<Model> seen_;
  std::map<Model, std::pair<Model, std::string>> origins_;
  std::map<std::string, std::array<size_t, 2>> counts_;
  size_t ends_ = 0;
};

class EveryOrder : public testing::TestWithParam<std::tuple<bool, bool>> {};

TEST_P(EveryOrder, has_one_owner_at_most_and_ends_with_one_or_a_vacant_page) {
  Explorer explorer(all_actions());
  Model start;
  start.releases = std::get<0>(GetParam());
  start.siblings = std::get<1>(GetParam());
  EXPECT_EQ(explorer.explore(start), "");
  EXPECT_GT(explorer.states(), 5000U);
  EXPECT_GT(explorer.ends(), 50U);
  RecordProperty("states", static_cast<int>(explorer.states()));
  // The orders that matter were among them: races were won and lost.
  for (const char* race :
       {"withdraw at the deadline", "activate", "inherit after a's death", "start clean", "c takes",
        "go on after b's death", "d activates", "d inherits after b's death", "b withdraws"}) {
    EXPECT_GT(explorer.times(race, true), 0U) << race;
    EXPECT_GT(explorer.times(race, false), 0U) << race;
  }
}

INSTANTIATE_TEST_SUITE_P(OwnerModel, EveryOrder, testing::Combine(testing::Bool(), testing::Bool()),
                         [](const auto& start) {
                           const std::string resources = std::get<0>(start.param)
                                                             ? "with_resources_released"
                                                             : "without_resources";
                           return resources +
                                  (std::get<1>(start.param) ? "_in_sibling_pid_namespaces" : "");
                         });

// ---- That the explorer finds mistakes: the same with one rule broken each -----------------------

Action& find(std::vector<Action>& actions, const std::string& name) {
  for (Action& action : actions) {
    if (action.name == name) return action;
  }
  ADD_FAILURE() << "no action " << name;
  return actions.front();
}

TEST(OwnerModel, explorer_finds_two_owners_where_death_is_not_awaited) {
  std::vector<Action> actions = all_actions();
  find(actions, "look before starting clean").enabled = [](const Model& m) {
    return !m.b_dead && m.b == Model::B::receives;
  };
  EXPECT_NE(Explorer(std::move(actions)).explore({}).find("two serve"), std::string::npos);
}

TEST(OwnerModel, explorer_finds_two_owners_where_a_successor_is_not_fenced) {
  std::vector<Action> actions = all_actions();
  find(actions, "go on after b's death").enabled = [](const Model& m) {
    return !m.a_dead && m.a == Model::A::fencing;
  };
  EXPECT_NE(Explorer(std::move(actions)).explore({}).find("two serve"), std::string::npos);
}

TEST(OwnerModel, explorer_finds_two_owners_where_the_keepers_word_counts_as_death) {
  std::vector<Action> actions = all_actions();
  find(actions, "go on after b's death").enabled = [](const Model& m) {
    return !m.a_dead && m.a == Model::A::fencing && m.kill_sent;
  };
  Model start;
  start.siblings = true;
  EXPECT_NE(Explorer(std::move(actions)).explore(start).find("two serve"), std::string::npos);
}

TEST(OwnerModel, explorer_finds_lost_changes_where_a_predecessor_just_goes_on) {
  std::vector<Action> actions = all_actions();
  find(actions, "withdraw at the deadline").act = [](Model& m, OwnerPage&) {
    serve_again(m);
    return true;
  };
  EXPECT_NE(Explorer(std::move(actions)).explore({}), "");
}

TEST(OwnerModel, explorer_finds_a_resource_that_is_held_twice) {
  std::vector<Action> actions = all_actions();
  find(actions, "withdraw at the deadline").act = [](Model& m, OwnerPage& page) {
    if (!page.withdraw(m.a_epoch, kA)) return false;
    ++m.a_epoch;
    serve_again(m);
    return true;
  };
  Model start;
  start.releases = true;
  EXPECT_NE(Explorer(std::move(actions)).explore(start).find("held twice"), std::string::npos);
}

TEST(OwnerModel, explorer_finds_a_service_that_nobody_serves) {
  std::vector<Action> actions = all_actions();
  std::erase_if(actions, [](const Action& action) {
    return action.name == "withdraw at the deadline" || action.name == "fence";
  });
  EXPECT_NE(Explorer(std::move(actions)).explore({}).find("0 owners"), std::string::npos);
}

}  // namespace
}  // namespace segue::handoff::test
