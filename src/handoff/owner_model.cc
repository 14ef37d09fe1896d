// SPDX-License-Identifier: Apache-2.0
#include "handoff/owner_model.h"

namespace segue::handoff::test {
namespace {

using A = Model::A;
using B = Model::B;
using D = Model::D;

constexpr uint8_t kMaxFreezes = 2;
constexpr uint8_t kMaxKeepers = 2;

// An action that does not touch the page.
template <typename Enabled, typename Change>
Action plain(std::string name, Enabled enabled, Change change) {
  return {std::move(name), enabled, [change](Model& m, OwnerPage&) {
            change(m);
            return true;
          }};
}

template <typename Enabled, typename Act>
Action on_page(std::string name, Enabled enabled, Act act) {
  return {std::move(name), enabled, act};
}

bool withdraw(Model& m, OwnerPage& page) {
  if (!page.withdraw(m.a_epoch, kA)) {
    m.a = m.a == A::offered ? A::probation : A::gave_up;
    return false;
  }
  ++m.a_epoch;
  // b may hold by now what a released: it gives that up, or is ended, first.
  if (m.releases && m.a == A::offered) {
    m.a = A::taken_back;
  } else {
    serve_again(m);
  }
  return true;
}

bool go_on_after_death(Model& m, OwnerPage& page) {
  const Ownership now = page.look();
  if (now.owner == kA) {  // withdrawn before
    serve_again(m);
    return true;
  }
  if (now.owner != kB || !page.reclaim(now.epoch, kB, kA)) {
    m.a = A::gave_up;
    return false;
  }
  m.a_epoch = now.epoch + 1;
  serve_again(m);
  return true;
}

void fence(Model& m) {
  m.a = A::fencing;
  (m.siblings ? m.fence_asked : m.kill_sent) = true;
}

std::vector<Action> actions_of_a() {
  const auto in = [](A state) {
    return [state](const Model& m) { return !m.a_dead && m.a == state; };
  };
  const auto die = [](Model& m) {
    m.a_dead = true;
    m.a_owns = false;
    m.a_holds = false;
  };
  return {
      plain(
          "freeze and release",
          [](const Model& m) { return !m.a_dead && m.a == A::serves && m.freezes < kMaxFreezes; },
          [](Model& m) {
            m.a = A::frozen;
            m.a_owns = false;
            m.a_holds = m.a_holds && !m.releases;
            m.declined = false;
            ++m.freezes;
          }),
      on_page("offer", in(A::frozen),
              [](Model& m, OwnerPage& page) {
                const bool done = page.offer(m.a_epoch, kA);
                m.a = done ? A::offered_silently : A::gave_up;
                return done;
              }),
      plain("send FINAL", in(A::offered_silently),
            [](Model& m) {
              m.a = A::offered;
              m.final_epoch = m.a_epoch;
              m.final_is_stale = false;
            }),
      on_page(
          "withdraw before FINAL",
          [](const Model& m) {
            return !m.a_dead && (m.a == A::frozen || m.a == A::offered_silently);
          },
          withdraw),
      on_page("withdraw at the deadline", in(A::offered), withdraw),
      on_page(
          "see DECLINE",
          [](const Model& m) {
            return !m.a_dead && m.declined && (m.a == A::offered || m.a == A::taken_back);
          },
          [](Model& m, OwnerPage& page) {
            m.declined = false;
            if (m.a == A::offered && !page.withdraw(m.a_epoch, kA)) {
              fence(m);  // it has what it declined
              return false;
            }
            if (m.a == A::offered) ++m.a_epoch;
            serve_again(m);
            return true;
          }),
      plain(
          "see ACTIVATED",
          [](const Model& m) { return !m.a_dead && m.a == A::offered && m.b == B::active; },
          [](Model& m) { m.a = A::probation; }),
      plain(
          "fence",
          [](const Model& m) { return !m.a_dead && (m.a == A::probation || m.a == A::taken_back); },
          fence),
      plain(
          "give up where no keeper ends b",
          [](const Model& m) { return !m.a_dead && m.siblings && m.a == A::fencing && !m.b_dead; },
          die),
      on_page(
          "go on after b's death",
          [](const Model& m) { return !m.a_dead && m.a == A::fencing && m.b_dead; },
          go_on_after_death),
      plain(
          "end at COMMIT",
          [](const Model& m) { return !m.a_dead && m.a == A::probation && m.commit_sent; }, die),
      plain(
          "a dies", [](const Model& m) { return !m.a_dead; }, die),
  };
}

void b_serves(Model& m, bool owns) {
  m.b = owns ? B::active : B::idle;
  m.b_owns = owns;
  m.b_holds = owns && m.b_holds;
  if (owns) ++m.b_epoch;
}

// a has served since it made the FINAL that b holds.
bool is_stale(const Model& m) {
  return m.final_is_stale || m.b_epoch != m.final_epoch;
}

std::vector<Action> actions_of_b() {
  const auto in = [](B state) {
    return [state](const Model& m) { return !m.b_dead && m.b == state; };
  };
  const auto die = [](Model& m) {
    m.b_dead = true;
    m.b_owns = false;
    m.b_holds = false;
  };
  return {
      plain(
          "read FINAL",
          [](const Model& m) {
            return !m.b_dead && m.final_epoch != 0 && m.b_epoch != m.final_epoch &&
                   (m.b == B::receives || m.b == B::idle);
          },
          [](Model& m) {
            m.b = B::has_final;
            m.b_epoch = m.final_epoch;
          }),
      plain("acquire", in(B::has_final),
            [](Model& m) {
              m.b = B::acquired;
              m.b_holds = m.releases && !m.a_holds;  // the kernel allows one holder
            }),
      on_page("activate", in(B::acquired),
              [](Model& m, OwnerPage& page) {
                const bool done = page.activate(m.b_epoch, kA, kB);
                m.took_stale = done && is_stale(m);
                m.declined = !done;
                b_serves(m, done);
                return done;
              }),
      on_page(
          "inherit after a's death",
          [](const Model& m) { return !m.b_dead && m.b == B::acquired && m.a_dead; },
          [](Model& m, OwnerPage& page) {
            const bool done = page.inherit(m.b_epoch, kA, kB);
            m.took_stale = done && is_stale(m);
            b_serves(m, done);
            return done;
          }),
      // Two steps, as the library does it: anything may come between.
      on_page(
          "look before starting clean",
          [](const Model& m) {
            return !m.b_dead && m.a_dead && (m.b == B::receives || m.b == B::idle);
          },
          [](Model& m, OwnerPage& page) {
            const Ownership now = page.look();
            if (now.owner != kA) return false;
            m.b = B::looked;
            m.b_epoch = now.epoch;
            return true;
          }),
      on_page("start clean", in(B::looked),
              [](Model& m, OwnerPage& page) {
                const bool done = page.inherit(m.b_epoch, kA, kB);
                b_serves(m, done);
                return done;
              }),
      plain(
          "send COMMIT",
          [](const Model& m) { return !m.b_dead && m.b == B::active && !m.commit_sent; },
          [](Model& m) { m.commit_sent = true; }),
      on_page(
          "b offers to d",
          [](const Model& m) { return !m.b_dead && m.b == B::active && m.d == D::waits; },
          [](Model& m, OwnerPage& page) {
            m.b_owns = false;
            const bool done = page.offer(m.b_epoch, kB);
            m.b = done ? B::offered : B::idle;
            m.d = done ? D::has_final : D::waits;
            return done;
          }),
      on_page("b withdraws", in(B::offered),
              [](Model& m, OwnerPage& page) {
                const bool done = page.withdraw(m.b_epoch, kB);
                b_serves(m, done);
                return done;
              }),
      plain(
          "b is killed", [](const Model& m) { return !m.b_dead && m.kill_sent; }, die),
      plain(
          "b dies", [](const Model& m) { return !m.b_dead; }, die),
  };
}

std::vector<Action> actions_of_d() {
  const auto serve = [](Model& m, bool owns) {
    m.d_owns = owns;
    m.d = owns ? D::active : m.d;
    return owns;
  };
  // b's epoch when it offered; b does not change it before it withdraws.
  return {
      on_page(
          "d activates", [](const Model& m) { return !m.d_dead && m.d == D::has_final; },
          [serve](Model& m, OwnerPage& page) {
            return serve(m, page.activate(m.b_epoch, kB, kD));
          }),
      on_page(
          "d inherits after b's death",
          [](const Model& m) { return !m.d_dead && m.d == D::has_final && m.b_dead; },
          [serve](Model& m, OwnerPage& page) { return serve(m, page.inherit(m.b_epoch, kB, kD)); }),
      plain(
          "d dies", [](const Model& m) { return !m.d_dead && m.d != D::waits; },
          [](Model& m) {
            m.d_dead = true;
            m.d_owns = false;
          }),
  };
}

std::vector<Action> actions_of_keeper() {
  // More often than the keeper would: any dead owner, whoever could inherit or reclaim.
  const auto vacate = [](OwnerName owner, bool Model::* dead) {
    return on_page(
        "vacate " + std::to_string(owner),
        [dead, owner](const Model& m) {
          return !m.keeper_dead && m.*dead && Ownership::of(m.word).owner == owner;
        },
        [owner](Model&, OwnerPage& page) { return page.vacate(owner); });
  };
  return {
      vacate(kA, &Model::a_dead),
      vacate(kB, &Model::b_dead),
      vacate(kC, &Model::c_dead),
      vacate(kD, &Model::d_dead),
      on_page(
          "c takes", [](const Model& m) { return !m.c_dead && !m.c_owns; },
          [](Model& m, OwnerPage& page) {
            uint32_t epoch = 0;
            m.c_owns = page.take(kC, epoch);
            return m.c_owns;
          }),
      plain(
          "c dies", [](const Model& m) { return m.c_owns; },
          [](Model& m) {
            m.c_dead = true;
            m.c_owns = false;
          }),
      plain(
          "keeper dies", [](const Model& m) { return !m.keeper_dead; },
          [](Model& m) { m.keeper_dead = true; }),
      plain(
          "keeper ends b",
          [](const Model& m) { return !m.keeper_dead && m.fence_asked && !m.kill_sent; },
          [](Model& m) { m.kill_sent = true; }),
      plain(
          "the next keeper comes",
          [](const Model& m) { return m.siblings && m.keeper_dead && m.keepers < kMaxKeepers; },
          [](Model& m) {
            m.keeper_dead = false;
            ++m.keepers;
          }),
  };
}

}  // namespace

void serve_again(Model& model) {
  model.a = A::serves;
  model.a_owns = true;
  model.a_holds = true;
  model.final_is_stale = model.final_epoch != 0;
}

std::vector<Action> all_actions() {
  std::vector<Action> all;
  for (const auto& part : {actions_of_a(), actions_of_b(), actions_of_d(), actions_of_keeper()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

}  // namespace segue::handoff::test
