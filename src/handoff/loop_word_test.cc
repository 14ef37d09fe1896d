// SPDX-License-Identifier: Apache-2.0
// Every order in which a loop's thread and the instance's thread can act on one loop's word, and
// the real threads at full speed.
#include "handoff/loop_word.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace segue::handoff::test {
namespace {

// Where each thread stands; what it believes is what it acts on.
struct Model {
  enum class Loop : uint8_t { waits_at_start, serves, saw_asked, parked, timed_out, left };
  enum class Owner : uint8_t { idle, waits, works, gone };

  Loop loop = Loop::waits_at_start;
  Owner owner = Owner::works;  // before the first activation
  LoopState word = LoopState::taken;
  uint8_t borrows = 0;

  auto operator<=>(const Model&) const = default;
};

struct Action {
  std::string name;
  std::function<bool(const Model&)> enabled;
  std::function<bool(Model&, LoopWord&)> act;  // true if the operation on the word succeeded
};

constexpr uint8_t kMaxBorrows = 3;

bool may_go_on(LoopState state) {
  return state == LoopState::running || state == LoopState::asked;
}

std::vector<Action> actions_of_loop() {
  using Loop = Model::Loop;
  const auto in = [](Loop at) { return [at](const Model& m) { return m.loop == at; }; };
  const auto look = [](Model& m, LoopWord& word) {
    const LoopState state = word.look();
    if (state == LoopState::ended) m.loop = Loop::left;
    if (may_go_on(state)) m.loop = Loop::serves;
    return m.loop == Loop::serves;
  };
  return {
      {"look at the start", in(Loop::waits_at_start), look},
      {"look at the boundary", in(Loop::serves),
       [](Model& m, LoopWord& word) {
         const LoopState state = word.look();
         if (state == LoopState::asked) m.loop = Loop::saw_asked;
         if (state == LoopState::ended) m.loop = Loop::left;
         return state == LoopState::asked;
       }},
      {"offer", in(Loop::saw_asked),
       [](Model& m, LoopWord& word) {
         const bool done = word.offer();
         m.loop = Loop::parked;  // whatever happened: the word says what comes next
         return done;
       }},
      {"look while parked", in(Loop::parked), look},
      {"lose patience", in(Loop::parked),
       [](Model& m, LoopWord& word) {
         if (word.look() == LoopState::offered) m.loop = Loop::timed_out;
         return m.loop == Loop::timed_out;
       }},
      {"withdraw", in(Loop::timed_out),
       [](Model& m, LoopWord& word) {
         const bool done = word.withdraw();
         m.loop = done ? Loop::serves : Loop::parked;
         return done;
       }},
  };
}

std::vector<Action> actions_of_owner() {
  using Owner = Model::Owner;
  const auto in = [](Owner at) { return [at](const Model& m) { return m.owner == at; }; };
  return {
      {"ask",
       [](const Model& m) {
         return (m.owner == Owner::idle && m.borrows < kMaxBorrows) || m.owner == Owner::waits;
       },
       [](Model& m, LoopWord& word) {
         m.owner = Owner::waits;
         return word.ask();
       }},
      {"take", in(Owner::waits),
       [](Model& m, LoopWord& word) {
         const bool done = word.take();
         if (done) m.owner = Owner::works;
         return done;
       }},
      {"give up waiting", in(Owner::waits),
       [](Model& m, LoopWord&) {
         m.owner = Owner::idle;
         ++m.borrows;
         return true;
       }},
      {"give back", in(Owner::works),
       [](Model& m, LoopWord& word) {
         m.owner = Owner::idle;
         m.borrows = static_cast<uint8_t>(std::min<int>(m.borrows + 1, kMaxBorrows));
         return word.give_back();
       }},
      {"end", [](const Model& m) { return m.owner != Owner::gone; },
       [](Model& m, LoopWord& word) {
         m.owner = Owner::gone;
         word.end();
         return true;
       }},
  };
}

bool loop_touches(const Model& m) {
  return m.loop == Model::Loop::serves || m.loop == Model::Loop::saw_asked;
}

std::string wrong_in(const Model& m) {
  if (loop_touches(m) && m.owner == Model::Owner::works) return "both touch what is bound";
  return "";
}

// Nothing moves any more.
std::string wrong_at_end(const Model& m) {
  return m.loop == Model::Loop::left ? "" : "the loop's thread waits for ever";
}

class Explorer {
 public:
  explicit Explorer(std::vector<Action> actions) : actions_(std::move(actions)) {}

  std::string explore() {
    std::vector<Model> open{Model{}};
    while (!open.empty()) {
      const Model model = open.back();
      open.pop_back();
      if (!seen_.insert(model).second) continue;
      std::string wrong = wrong_in(model);
      if (!follow(model, open) && wrong.empty()) wrong = wrong_at_end(model);
      if (!wrong.empty()) return wrong + " after: " + way_to(model);
    }
    return "";
  }
  [[nodiscard]] size_t states() const { return seen_.size(); }
  size_t times(const std::string& action, bool done) { return counts_[{action, done}]; }

 private:
  bool follow(const Model& model, std::vector<Model>& open) {
    bool moved = false;
    for (const Action& action : actions_) {
      if (!action.enabled(model)) continue;
      Model next = model;
      LoopWord word(model.word);
      const bool done = action.act(next, word);
      next.word = word.look();
      ++counts_[{action.name, done}];
      if (next == model) continue;
      moved = true;
      if (next == Model{}) continue;
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
  std::set<Model> seen_;
  std::map<Model, std::pair<Model, std::string>> origins_;
  std::map<std::pair<std::string, bool>, size_t> counts_;
};

std::vector<Action> all_actions() {
  std::vector<Action> all = actions_of_loop();
  for (Action& action : actions_of_owner()) all.push_back(std::move(action));
  return all;
}

TEST(LoopWord, every_order_leaves_one_toucher_at_most_and_ends) {
  Explorer explorer(all_actions());
  EXPECT_EQ(explorer.explore(), "");
  EXPECT_GT(explorer.states(), 40U);
  for (const char* race : {"offer", "take", "withdraw", "ask"}) {
    EXPECT_GT(explorer.times(race, true), 0U) << race;
    EXPECT_GT(explorer.times(race, false), 0U) << race;
  }
}

TEST(LoopWord, explorer_finds_a_loop_that_goes_on_without_withdrawing) {
  std::vector<Action> actions = all_actions();
  for (Action& action : actions) {
    if (action.name != "withdraw") continue;
    action.act = [](Model& m, LoopWord& word) {
      word.withdraw();
      m.loop = Model::Loop::serves;
      return true;
    };
  }
  EXPECT_NE(Explorer(std::move(actions)).explore().find("both touch"), std::string::npos);
}

TEST(LoopWord, explorer_finds_an_instance_that_does_not_wait_for_the_offer) {
  std::vector<Action> actions = all_actions();
  for (Action& action : actions) {
    if (action.name != "take") continue;
    action.act = [](Model& m, LoopWord&) {
      m.owner = Model::Owner::works;
      return true;
    };
  }
  EXPECT_NE(Explorer(std::move(actions)).explore().find("both touch"), std::string::npos);
}

// Both threads count in one plain variable: a thread sanitizer sees any overlap, and so does the
// sum.
TEST(LoopWord, two_threads_never_touch_at_once) {
  constexpr uint64_t kBorrows = 500;
  LoopWord word(LoopState::running);
  uint64_t touched = 0;
  uint64_t by_loop = 0;
  std::thread loop([&] {
    while (true) {
      switch (word.look()) {
        case LoopState::running:
          ++touched;
          ++by_loop;
          break;
        case LoopState::asked:
          word.offer();
          break;
        case LoopState::offered:
          if (!word.wait_while(LoopState::offered, 20'000)) word.withdraw();
          break;
        case LoopState::taken:
          word.wait_while(LoopState::taken, UINT64_MAX);
          break;
        case LoopState::ended:
          return;
      }
    }
  });
  uint64_t borrowed = 0;
  while (borrowed < kBorrows) {
    word.ask();
    if (!word.take()) {
      std::this_thread::yield();
      continue;
    }
    ++touched;
    ++borrowed;
    word.give_back();
    word.wake();
  }
  word.end();
  word.wake();
  loop.join();
  EXPECT_EQ(touched, borrowed + by_loop);
}

}  // namespace
}  // namespace segue::handoff::test
