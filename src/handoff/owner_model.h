// SPDX-License-Identifier: Apache-2.0
// For tests only: who knows and does what around one ownership page (protocol/handoff.md, "The
// ownership page"), as actions that can follow each other in any order. The operations on the page
// are the real ones.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "handoff/owner_page.h"

namespace segue::handoff::test {

inline constexpr OwnerName kA = 1;  // predecessor
inline constexpr OwnerName kB = 2;  // its successor
inline constexpr OwnerName kC = 3;  // a first instance, after the page was vacated
inline constexpr OwnerName kD = 4;  // to whom b hands over while it is in probation itself

// Everything there is, the page's word included. Small enough to remember all that were seen.
struct Model {
  enum class A : uint8_t {
    serves,
    frozen,
    offered_silently,  // FINAL is not sent yet
    offered,
    taken_back,  // withdrawn, but not serving before DECLINE or b's death
    probation,
    fencing,
    gave_up
  };
  enum class B : uint8_t { receives, has_final, acquired, looked, active, offered, idle };
  enum class D : uint8_t { waits, has_final, active };

  A a = A::serves;
  B b = B::receives;
  D d = D::waits;
  bool a_dead = false, b_dead = false, c_dead = false, d_dead = false, keeper_dead = false;
  // Believe that they may serve.
  bool a_owns = true, b_owns = false, c_owns = false, d_owns = false;
  // Hold what only one process can hold; `releases`: the service has such a thing.
  bool releases = false;
  bool a_holds = true, b_holds = false;
  bool kill_sent = false;  // to b
  // a cannot end b itself, only the keeper, or the next one, can.
  bool siblings = false;
  bool fence_asked = false;
  uint8_t keepers = 1;       // that there were
  bool declined = false;     // by b, unread
  bool commit_sent = false;  // by b
  uint8_t freezes = 0;
  uint32_t a_epoch = 1;
  uint32_t b_epoch = 0;         // of the FINAL that b holds, or of what it looked at; then its own
  uint32_t final_epoch = 0;     // of the newest FINAL on the link; 0: none
  bool final_is_stale = false;  // a has served since it sent that
  bool took_stale = false;      // b serves from a stale FINAL
  uint64_t word = Ownership{1, OwnerState::serving, kA}.word();

  auto operator<=>(const Model&) const = default;
};

struct Action {
  std::string name;
  std::function<bool(const Model&)> enabled;
  // True if the operation on the page, where there is one, succeeded.
  std::function<bool(Model&, OwnerPage&)> act;
};

std::vector<Action> all_actions();
// a serves once more; for tests that break a rule.
void serve_again(Model& model);

}  // namespace segue::handoff::test
