// SPDX-License-Identifier: Apache-2.0
// A component whose program does not link libsegue and is played by hand; for tests.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "keeper/contract/program_component.h"
#include "keeper/saved_state.h"

namespace segue::keeper {

inline constexpr RequestId kRun = 1;
inline constexpr RequestId kUpgrade = 2;
inline constexpr RequestId kUndo = 3;
inline constexpr RequestId kStop = 4;

class ProgramRig {
 public:
  explicit ProgramRig(const std::string& contract, control::ContractOptions options = {})
      : component(settings(contract, std::move(options))) {}

  static Decider::Settings settings(const std::string& contract, control::ContractOptions options) {
    options.upgrade = contract;
    if (contract != "signal") {
      options.listen = {{"web", control::Listen::Kind::tcp, "127.0.0.1", 80}};
    }
    return {.name = "web",
            .output_prefix = "",
            .run = {},
            .contract = std::move(options),
            .health = {}};
  }

  ProgramComponent component;
  std::vector<Command> commands;
  MonotonicTime now{std::chrono::hours(1)};

  void send(const Event& event) {
    for (auto& command : component.handle(event, {}, now)) commands.push_back(std::move(command));
  }
  void advance(base::Duration by) {
    const MonotonicTime until = now + by;
    while (component.next_deadline() <= until) {
      now = std::max(now, component.next_deadline());
      send(TimePassed{});
      ASSERT_GT(component.next_deadline(), now) << "a deadline that has passed stays";
    }
    now = until;
  }
  template <class T>
  [[nodiscard]] std::vector<T> all() const {
    std::vector<T> found;
    for (const auto& command : commands) {
      if (const T* typed = std::get_if<T>(&command)) found.push_back(*typed);
    }
    return found;
  }
  template <class T>
  [[nodiscard]] std::size_t orders() const {
    std::size_t count = 0;
    for (const auto& order : all<ProgramOrder>()) count += std::holds_alternative<T>(order.what);
    return count;
  }
  [[nodiscard]] std::vector<int> signals_to(Generation generation) const {
    std::vector<int> found;
    for (const auto& signal : all<Signal>()) {
      if (signal.generation == generation) found.push_back(signal.signal);
    }
    return found;
  }
  [[nodiscard]] std::optional<Finish> answer_to(RequestId request) const {
    for (const auto& finish : all<Finish>()) {
      if (finish.request == request) return finish;
    }
    return std::nullopt;
  }
  [[nodiscard]] std::string text_of(RequestId request) const {
    const auto answer = answer_to(request);
    return answer ? answer->text : "";
  }
  [[nodiscard]] Generation newest() const { return component.instances().rbegin()->first; }

  void tell(Generation generation, const Notice& notice) { send(ProgramTold{generation, notice}); }
  void ready(Generation generation) {
    send(Spawned{generation, static_cast<std::int32_t>(1'000 + generation)});
    Notice notice;
    notice.ready = true;
    tell(generation, notice);
  }
  void count(Generation generation, std::uint64_t established, std::uint64_t kept = 0) {
    send(ProgramTold{generation, ProgramTold::Counted{established, kept}});
  }
  void die(Generation generation, int signal = 0) {
    send(Exited{generation, signal == 0 ? "exited with 0" : "was killed", signal});
  }
  // Another keeper goes on from what this one's component has left, as it is written down.
  void resume_from(const ProgramRig& other) {
    SavedState state;
    state.name = "web";
    state.component = other.component.snapshot();
    state.programs.emplace().contract = other.component.settings().contract;
    const auto read = decode_state(encode_state(state));
    ASSERT_TRUE(read) << read.error().to_string();
    now = other.now;
    component.resume(read->component, now);
  }
  void to_serving() {
    send(RunRequested{kRun, {{"/bin/v1"}, "/", {}}});
    ready(1);
    ASSERT_EQ(component.phase(), Phase::serving);
  }
  void upgrade(control::AttemptOptions options = {}) {
    send(UpgradeRequested{kUpgrade, Kind::upgrade, {{"/bin/v2"}, "/", {}}, std::move(options)});
  }
};

}  // namespace segue::keeper
