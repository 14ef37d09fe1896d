// SPDX-License-Identifier: Apache-2.0
// Every order in which a predecessor, a successor, a keeper and a new first instance can act on one
// ownership page, deaths at every point included. The page and its operations are the real ones;
// around them stands a model of who knows and does what (protocol/handoff.md, "The ownership
// page").
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <array>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "handoff/owner_page.h"

namespace segue::handoff {
namespace {

constexpr OwnerName kA = 1;  // predecessor
constexpr OwnerName kB = 2;  // successor
constexpr OwnerName kC = 3;  // a first instance after the page was vacated
constexpr uint8_t kMaxFreezes = 2;

// Everything but the page. Small enough to remember all that were seen.
struct Model {
  enum P : uint8_t { serves, frozen, sent, offered, taken_back, probation, fencing, gave_up };
  enum S : uint8_t { receives, has_final, looked, active, idle };

  P p = serves;
  S s = receives;
  bool p_dead = false, s_dead = false, c_dead = false, k_dead = false;
  // Believes that it may serve.
  bool p_owns = true, s_owns = false, c_owns = false;
  bool releases = false;     // the predecessor gave resources up: it fences before it serves again
  bool kill_sent = false;    // to the successor
  bool commit_sent = false;  // by the successor
  uint8_t freezes = 0;
  uint32_t p_epoch = 1;
  uint32_t final_epoch = 0;     // newest FINAL on the link; 0: none
  uint32_t s_epoch = 0;         // of the FINAL that the successor holds, or of what it looked at
  bool took_stale = false;      // a successor serves from a stale FINAL
  bool final_is_stale = false;  // the predecessor has served since that FINAL
  uint64_t word = Ownership{1, OwnerState::serving, kA}.word();

  auto operator<=>(const Model&) const = default;
};

struct Action {
  std::string name;
  std::function<bool(const Model&)> enabled;
  // True if the operation on the page, where there is one, succeeded.
  std::function<bool(Model&, OwnerPage&)> act;
};

bool s_acts(const Model& m) {
  return !m.s_dead;
}
bool p_acts(const Model& m) {
  return !m.p_dead;
}

// The predecessor has served since it made the FINAL that the successor holds.
bool is_stale(const Model& m) {
  return m.final_is_stale || m.s_epoch != m.final_epoch;
}

void p_serves_again(Model& m) {
  m.p = Model::serves;
  m.p_owns = true;
  m.final_is_stale = m.final_epoch != 0;
}

std::vector<Action> predecessor_actions() {
  const auto withdraw = [](Model& m, OwnerPage& page) {
    if (!page.withdraw(m.p_epoch, kA)) {
      m.p = m.p == Model::offered ? Model::probation : Model::gave_up;
      return false;
    }
    ++m.p_epoch;
    // What was released may be held by a successor that has the FINAL: it is ended first.
    if (m.releases && m.p != Model::frozen) {
      m.p = Model::taken_back;
    } else {
      p_serves_again(m);
    }
    return true;
  };
  return {
      {"freeze",
       [](const Model& m) { return p_acts(m) && m.p == Model::serves && m.freezes < kMaxFreezes; },
       [](Model& m, OwnerPage&) {
         m.p = Model::frozen;
         m.p_owns = false;
         ++m.freezes;
         return true;
       }},
      {"send FINAL", [](const Model& m) { return p_acts(m) && m.p == Model::frozen; },
       [](Model& m, OwnerPage&) {
         m.p = Model::sent;
         m.final_epoch = m.p_epoch;
         m.final_is_stale = false;
         return true;
       }},
      {"offer", [](const Model& m) { return p_acts(m) && m.p == Model::sent; },
       [](Model& m, OwnerPage& page) {
         const bool done = page.offer(m.p_epoch, kA);
         m.p = done ? Model::offered : Model::gave_up;
         return done;
       }},
      {"withdraw before the offer",
       [](const Model& m) { return p_acts(m) && (m.p == Model::frozen || m.p == Model::sent); },
       withdraw},
      {"withdraw at the deadline",
       [](const Model& m) { return p_acts(m) && m.p == Model::offered; }, withdraw},
      {"fence",
       [](const Model& m) {
         return p_acts(m) && (m.p == Model::probation || m.p == Model::taken_back);
       },
       [](Model& m, OwnerPage&) {
         m.kill_sent = true;
         m.p = Model::fencing;
         return true;
       }},
      {"go on after its death",
       [](const Model& m) { return p_acts(m) && m.p == Model::fencing && m.s_dead; },
       [](Model& m, OwnerPage& page) {
         const Ownership now = page.look();
         if (now.owner == kA) {  // withdrawn before
           p_serves_again(m);
           return true;
         }
         if (now.owner != kB || !page.reclaim(now.epoch, kB, kA)) {
           m.p = Model::gave_up;
           return false;
         }
         m.p_epoch = now.epoch + 1;
         p_serves_again(m);
         return true;
       }},
      {"see ACTIVATED",
       [](const Model& m) { return p_acts(m) && m.p == Model::offered && m.s == Model::active; },
       [](Model& m, OwnerPage&) {
         m.p = Model::probation;
         return true;
       }},
      {"end at COMMIT",
       [](const Model& m) { return p_acts(m) && m.p == Model::probation && m.commit_sent; },
       [](Model& m, OwnerPage&) {
         m.p_dead = true;
         return true;
       }},
      {"predecessor dies", p_acts,
       [](Model& m, OwnerPage&) {
         m.p_dead = true;
         m.p_owns = false;
         return true;
       }},
  };
}

std::vector<Action> successor_actions() {
  const auto serve = [](Model& m, bool owns) {
    m.s = owns ? Model::active : Model::idle;
    m.s_owns = owns;
    return owns;
  };
  return {
      {"read FINAL",
       [](const Model& m) {
         return s_acts(m) && m.final_epoch != 0 && m.s_epoch != m.final_epoch &&
                (m.s == Model::receives || m.s == Model::has_final || m.s == Model::idle);
       },
       [](Model& m, OwnerPage&) {
         m.s = Model::has_final;
         m.s_epoch = m.final_epoch;
         return true;
       }},
      {"activate", [](const Model& m) { return s_acts(m) && m.s == Model::has_final; },
       [serve](Model& m, OwnerPage& page) {
         if (!page.activate(m.s_epoch, kA, kB)) return false;
         m.took_stale = is_stale(m);
         return serve(m, true);
       }},
      {"inherit after the predecessor's death",
       [](const Model& m) { return s_acts(m) && m.s == Model::has_final && m.p_dead; },
       [serve](Model& m, OwnerPage& page) {
         const bool done = page.inherit(m.s_epoch, kA, kB);
         m.took_stale = done && is_stale(m);
         return serve(m, done);
       }},
      // Two steps, as the library does it: anything may come between.
      {"look before starting clean",
       [](const Model& m) {
         return s_acts(m) && m.p_dead && (m.s == Model::receives || m.s == Model::idle);
       },
       [](Model& m, OwnerPage& page) {
         const Ownership now = page.look();
         m.s = now.owner == kA ? Model::looked : m.s;
         m.s_epoch = now.owner == kA ? now.epoch : m.s_epoch;
         return now.owner == kA;
       }},
      {"start clean", [](const Model& m) { return s_acts(m) && m.s == Model::looked; },
       [serve](Model& m, OwnerPage& page) { return serve(m, page.inherit(m.s_epoch, kA, kB)); }},
      {"send COMMIT",
       [](const Model& m) { return s_acts(m) && m.s == Model::active && !m.commit_sent; },
       [](Model& m, OwnerPage&) {
         m.commit_sent = true;
         return true;
       }},
      {"successor is killed", [](const Model& m) { return s_acts(m) && m.kill_sent; },
       [](Model& m, OwnerPage&) {
         m.s_dead = true;
         m.s_owns = false;
         return true;
       }},
      {"successor dies", s_acts,
       [](Model& m, OwnerPage&) {
         m.s_dead = true;
         m.s_owns = false;
         return true;
       }},
  };
}

std::vector<Action> keeper_actions() {
  // More often than the keeper would: any dead owner, whoever could inherit or reclaim.
  const auto vacate = [](OwnerName owner, bool Model::* dead) {
    return Action{"vacate " + std::to_string(owner),
                  [dead, owner](const Model& m) {
                    return !m.k_dead && m.*dead && Ownership::of(m.word).owner == owner;
                  },
                  [owner](Model&, OwnerPage& page) { return page.vacate(owner); }};
  };
  return {
      vacate(kA, &Model::p_dead),
      vacate(kB, &Model::s_dead),
      vacate(kC, &Model::c_dead),
      {"take", [](const Model& m) { return !m.c_dead && !m.c_owns; },
       [](Model& m, OwnerPage& page) {
         uint32_t epoch = 0;
         m.c_owns = page.take(kC, epoch);
         return m.c_owns;
       }},
      {"first instance dies", [](const Model& m) { return m.c_owns; },
       [](Model& m, OwnerPage&) {
         m.c_dead = true;
         m.c_owns = false;
         return true;
       }},
      {"keeper dies", [](const Model& m) { return !m.k_dead; },
       [](Model& m, OwnerPage&) {
         m.k_dead = true;
         return true;
       }},
  };
}

bool is_death(const Action& action) {
  return action.name.ends_with(" dies");
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

  void explore(const Model& start) {
    std::vector<Model> open{start};
    while (!open.empty() && !found_) {
      const Model model = open.back();
      open.pop_back();
      if (!seen_.insert(model).second) continue;
      check(model);
      bool moved = false;
      for (const Action& action : actions_) {
        if (!action.enabled(model)) continue;
        Model next = model;
        *word_ = model.word;
        const bool done = action.act(next, page_);
        next.word = *word_;
        counts_[action.name][done ? 1 : 0] += 1;
        moved = moved || (next != model && !is_death(action));
        if (next == model || next == start) continue;
        origins_.try_emplace(next, model, action.name);
        open.push_back(next);
      }
      if (!moved) check_end(model);
    }
  }

  [[nodiscard]] size_t states() const { return seen_.size(); }
  [[nodiscard]] size_t ends() const { return ends_; }
  [[nodiscard]] size_t times(const std::string& action, bool done) {
    return counts_[action][done ? 1 : 0];
  }
  [[nodiscard]] const std::string& found() const { return what_; }

 private:
  void check(const Model& m) {
    const int owners = int{m.p_owns} + int{m.s_owns} + int{m.c_owns};
    if (owners > 1) return report(m, "two serve at once");
    const Ownership now = Ownership::of(m.word);
    const bool right = (!m.p_owns || now.owner == kA) && (!m.s_owns || now.owner == kB) &&
                       (!m.c_owns || now.owner == kC);
    // A predecessor owns until it offers; a serving side always sees its own name.
    if (!right) return report(m, "one serves that the page does not name");
    if (m.took_stale) report(m, "what the predecessor did after FINAL is lost");
  }
  // Nothing can happen any more, but deaths.
  void check_end(const Model& m) {
    ++ends_;
    const Ownership now = Ownership::of(m.word);
    const int owners = int{m.p_owns} + int{m.s_owns} + int{m.c_owns};
    const bool vacated = now.state == OwnerState::vacant;
    const bool nobody_is_left = m.k_dead && dead(m, now.owner);
    if (owners == 1 || vacated || nobody_is_left) return;
    report(m, "it ended with " + std::to_string(owners) + " owners");
  }
  static bool dead(const Model& m, OwnerName owner) {
    return (owner == kA && m.p_dead) || (owner == kB && m.s_dead) || (owner == kC && m.c_dead);
  }
  void report(const Model& m, const std::string& what) {
    found_ = true;
    std::string path;
    for (auto at = origins_.find(m); at != origins_.end(); at = origins_.find(at->second.first)) {
      path.insert(0, at->second.second + "; ");
    }
    what_ = what + " after: " + path;
  }

  std::vector<Action> actions_;
  OwnerPage page_;
  uint64_t* word_ = nullptr;
  std::set<Model> seen_;
  std::map<Model, std::pair<Model, std::string>> origins_;
  std::map<std::string, std::array<size_t, 2>> counts_;
  size_t ends_ = 0;
  bool found_ = false;
  std::string what_;
};

std::vector<Action> all_actions() {
  std::vector<Action> all = predecessor_actions();
  for (const auto& more : {successor_actions(), keeper_actions()}) {
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

class EveryOrder : public testing::TestWithParam<bool> {};

TEST_P(EveryOrder, has_one_owner_at_most_and_ends_with_one_or_a_vacant_page) {
  Explorer explorer(all_actions());
  Model start;
  start.releases = GetParam();
  explorer.explore(start);
  EXPECT_EQ(explorer.found(), "");
  EXPECT_GT(explorer.states(), 1000U);
  EXPECT_GT(explorer.ends(), 10U);
  RecordProperty("states", static_cast<int>(explorer.states()));
  // The orders that matter were among them: races were won and lost.
  for (const char* race :
       {"withdraw at the deadline", "activate", "inherit after the predecessor's death",
        "start clean", "take", "go on after its death"}) {
    EXPECT_GT(explorer.times(race, true), 0U) << race;
    EXPECT_GT(explorer.times(race, false), 0U) << race;
  }
}

INSTANTIATE_TEST_SUITE_P(OwnerModel, EveryOrder, testing::Bool(), [](const auto& releases) {
  return releases.param ? "with_resources_released" : "without_resources";
});

// That the explorer finds mistakes: the same with one rule broken each.
void replace(std::vector<Action>& actions, const std::string& name,
             const std::function<bool(const Model&)>& enabled,
             const std::function<bool(Model&, OwnerPage&)>& act) {
  for (Action& action : actions) {
    if (action.name != name) continue;
    if (enabled) action.enabled = enabled;
    if (act) action.act = act;
  }
}

TEST(OwnerModel, explorer_finds_two_owners_where_death_is_not_awaited) {
  std::vector<Action> actions = all_actions();
  replace(
      actions, "look before starting clean",
      [](const Model& m) { return s_acts(m) && m.s == Model::receives; }, nullptr);
  Explorer explorer(std::move(actions));
  explorer.explore({});
  EXPECT_NE(explorer.found(), "");
}

TEST(OwnerModel, explorer_finds_two_owners_where_a_successor_is_not_fenced) {
  std::vector<Action> actions = all_actions();
  replace(
      actions, "go on after its death",
      [](const Model& m) { return p_acts(m) && m.p == Model::fencing; }, nullptr);
  Explorer explorer(std::move(actions));
  explorer.explore({});
  EXPECT_NE(explorer.found(), "");
}

TEST(OwnerModel, explorer_finds_two_owners_where_a_predecessor_just_goes_on) {
  std::vector<Action> actions = all_actions();
  replace(actions, "withdraw at the deadline", nullptr, [](Model& m, OwnerPage&) {
    p_serves_again(m);
    return true;
  });
  Explorer explorer(std::move(actions));
  explorer.explore({});
  EXPECT_NE(explorer.found(), "");
}

TEST(OwnerModel, explorer_finds_a_service_that_nobody_serves) {
  std::vector<Action> actions = all_actions();
  std::erase_if(actions, [](const Action& action) {
    return action.name == "withdraw at the deadline" || action.name == "fence";
  });
  Explorer explorer(std::move(actions));
  explorer.explore({});
  EXPECT_NE(explorer.found(), "");
}

}  // namespace
}  // namespace segue::handoff
