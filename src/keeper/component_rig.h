// SPDX-License-Identifier: Apache-2.0
// A Component under test, with its instances played by hand. For tests only.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "keeper/component.h"
#include "segue/segue.h"

namespace segue::keeper {

class Rig {
 public:
  explicit Rig(control::RunOptions run = {})
      : component({.name = "kv", .output_prefix = "", .run = std::move(run)}) {}

  // Everything it commanded since the last clear().
  std::vector<Command> commands;
  Component component;
  Ownership page;
  MonotonicTime now{std::chrono::hours(1)};

  void send(const Event& event) {
    for (auto& command : component.handle(event, page, now)) commands.push_back(std::move(command));
  }
  // Lets time pass, deadline by deadline.
  void advance(base::Duration by) {
    const MonotonicTime until = now + by;
    while (component.next_deadline() <= until) {
      now = std::max(now, component.next_deadline());
      send(TimePassed{});
      ASSERT_GT(component.next_deadline(), now) << "a deadline that has passed stays";
    }
    now = until;
  }
  void clear() { commands.clear(); }

  template <class T>
  [[nodiscard]] std::vector<T> all() const {
    std::vector<T> found;
    for (const auto& command : commands) {
      if (const T* typed = std::get_if<T>(&command)) found.push_back(*typed);
    }
    return found;
  }
  template <class T>
  [[nodiscard]] bool has() const {
    return !all<T>().empty();
  }
  [[nodiscard]] std::optional<Finish> answer_to(RequestId request) const {
    for (const auto& finish : all<Finish>()) {
      if (finish.request == request) return finish;
    }
    return std::nullopt;
  }
  [[nodiscard]] bool stepped(const std::string& name) const {
    for (const auto& step : all<Step>()) {
      if (step.name == name) return true;
    }
    return false;
  }

  // ---- What instances do
  [[nodiscard]] const Attempt& attempt() const { return *component.attempt(); }
  [[nodiscard]] Generation owner() const { return component.owner(); }
  [[nodiscard]] Generation newest() const { return component.instances().rbegin()->first; }

  void hello(Generation generation, const std::string& version, const std::string& service = "kv") {
    send(Spawned{generation, static_cast<std::int32_t>(1000 + generation)});
    send(HelloReceived{generation, 1, 1, service, version});
  }
  void say(Generation generation, Said said, std::uint64_t number = 0,
           const std::string& text = "") {
    const AttemptId attempt = component.attempt() ? component.attempt()->id : 0;
    send(EventReceived{generation, attempt, said, text, number});
  }
  void report_phase(std::uint32_t segue_phase) {
    send(ProgressReceived{attempt().predecessor, attempt().id, {.phase = segue_phase}});
  }
  void activate(Generation generation) {
    page = {page.epoch + 1, false, generation};
    say(generation, Said::activated, 80'000);
  }
  void reclaim(Generation generation) {
    page = {page.epoch + 1, false, generation};
    say(generation, Said::resumed, SEGUE_RESUME_RECLAIMED);
  }
  void die(Generation generation, int signal = 9) {
    send(Exited{generation, signal == 0 ? "exited with 0" : "was killed by signal 9 (Killed)",
                signal});
  }
  // Answers pings and lets time pass, as a sound component does.
  void live(base::Duration by) {
    const MonotonicTime until = now + by;
    while (now < until) {
      advance(std::min<base::Duration>(std::chrono::milliseconds(500), until - now));
      for (const auto& [generation, instance] : component.instances()) {
        if (instance.said_hello) pongs_.push_back(generation);
      }
      for (const Generation generation : std::exchange(pongs_, {}))
        send(PongReceived{generation, 7});
    }
  }

  // ---- Ways into each phase
  void to_starting() { send(RunRequested{kRun, launch("/v1")}); }
  void to_serving() {
    to_starting();
    hello(newest(), "1");
    activate(newest());
  }
  void to_backoff() {
    to_serving();
    die(owner());
  }
  void upgrade(control::AttemptOptions options = {}, RequestId request = kUpgrade,
               Kind kind = Kind::upgrade) {
    send(UpgradeRequested{request, kind, launch("/v2"), std::move(options)});
  }
  void to_preparing(const control::AttemptOptions& options = {}) {
    to_serving();
    upgrade(options);
  }
  void to_attempting(const control::AttemptOptions& options = {}) {
    to_preparing(options);
    hello(newest(), "2");
  }
  void to_aborting() {
    to_attempting();
    say(attempt().successor, Said::failed, 0, "the rehearsal found a difference");
  }
  void to_retrying() {
    control::AttemptOptions options;
    options.retries = 1;
    to_attempting(options);
    const Generation successor = attempt().successor;
    say(owner(), Said::resumed, SEGUE_RESUME_LATE);
    report_phase(SEGUE_PHASE_BACKGROUND);
    say(owner(), Said::failed, 0, "over budget");
    die(successor, 0);
  }
  void to_probation(const control::AttemptOptions& options = {}) {
    to_attempting(options);
    activate(attempt().successor);
  }
  void to_committing() {
    to_probation();
    live(std::chrono::milliseconds(2'100));
  }
  void to_committed() {
    to_committing();
    const Generation predecessor = attempt().predecessor;
    say(predecessor, Said::committed);
    die(predecessor, 0);
  }
  void to_recovering() {
    to_probation();
    die(attempt().successor);
  }
  void to_hand_back() {
    to_probation();
    send(UndoRequested{kUndo, {}});
  }
  void to_stopping() {
    to_serving();
    send(StopRequested{kStop});
  }
  void to_stopped() {
    to_stopping();
    die(owner(), 0);
  }

  static control::Launch launch(const std::string& program) { return {{program}, "/", {}}; }

  static constexpr RequestId kRun = 1;
  static constexpr RequestId kUpgrade = 2;
  static constexpr RequestId kUndo = 3;
  static constexpr RequestId kStop = 4;
  static constexpr RequestId kSecond = 5;

 private:
  std::vector<Generation> pongs_;
};

}  // namespace segue::keeper
