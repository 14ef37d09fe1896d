// SPDX-License-Identifier: Apache-2.0
#include "fleet/joint_check.h"

#include <algorithm>
#include <set>
#include <string>

namespace segue::fleet {
namespace {

class Checker {
 public:
  Checker(const ComponentSpec& spec, const Strategy& strategy) : spec_(spec), strategy_(strategy) {}

  std::vector<ComponentProblem> run() {
    container();
    split();
    definitions();
    gates("rollout.gates", strategy_.limits.gates);
    gates("rollout.late_gates", strategy_.late_gates);
    for (std::size_t i = 0; i < strategy_.waves.size(); ++i) {
      const auto& limits = strategy_.waves[i].limits;
      if (limits) gates(fmt::format("rollout.waves[{}].gates", i), limits->gates);
    }
    for (std::size_t i = 0; i < strategy_.canary.steps.size(); ++i) {
      gates(fmt::format("rollout.canary.steps[{}].gates", i),
            strategy_.canary.steps[i].limits.gates);
    }
    return std::move(problems_);
  }

 private:
  void add(std::string field, std::string text) {
    problems_.push_back({std::move(field), std::move(text)});
  }

  // An engine passes no descriptors on: who does not ask for them can only be started again.
  void container() {
    const auto contract = control::parse_contract(spec_.contract.upgrade);
    if (spec_.driver != Driver::container || !contract) return;
    using control::Contract;
    const bool asks = *contract == Contract::libsegue || *contract == Contract::automatic;
    if (!asks && *contract != Contract::restart) {
      add("upgrade",
          fmt::format("'{}' is a process's: a program in a container links libsegue ('libsegue', "
                      "the default), or is restarted ('restart')",
                      spec_.contract.upgrade));
    } else if (!asks && !spec_.contract.listen.empty()) {
      add("listen",
          "only programs that link libsegue are given sockets into a container: leave it out, and "
          "take 'network: host', or 'bridge' with 'ports'");
    }
    if (asks && spec_.network == Network::bridge) of_the_bridge();
  }

  // A container's own network goes with it, and two cannot publish one port.
  void of_the_bridge() {
    constexpr const char* kInstead =
        "take 'listen: {NAME: \"tcp:0.0.0.0:8080\"}', which the keeper binds on the host, or "
        "'upgrade: restart'";
    if (!spec_.ports.empty()) {
      add("ports", fmt::format("a published port cannot be handed over, as two containers cannot "
                               "have it at one time: {}",
                               kInstead));
    } else if (spec_.contract.listen.empty()) {
      add("network", fmt::format("what is bound in a bridge's network cannot be handed over, as it "
                                 "ends with its container: {}",
                                 kInstead));
    }
  }

  void split() {
    const bool splits =
        strategy_.kind == StrategyKind::canary || strategy_.kind == StrategyKind::blue_green;
    if (!splits || strategy_.canary.split == Split::hosts) return;
    const bool by_kernel = strategy_.canary.split == Split::kernel;
    const auto wanted = by_kernel ? Sharing::Kind::kernel : Sharing::Kind::haproxy;
    if (spec_.sharing.kind != wanted) {
      const bool is_proxied = spec_.sharing.kind == Sharing::Kind::haproxy;
      return add("rollout.canary.split",
                 fmt::format("'{}' needs 'sharing: {{kind: {}}}'; {}",
                             to_string(strategy_.canary.split), to_string(wanted),
                             is_proxied ? "HAProxy gives the share with 'split: proxy'"
                                        : "without it take 'split: hosts', where a share is one "
                                          "of hosts"));
    }
    const auto& listen = spec_.contract.listen;
    if (by_kernel && std::none_of(listen.begin(), listen.end(),
                                  [](const control::Listen& one) { return one.group; })) {
      add("listen",
          "both slots share what is bound for them: name it, as {web: \"tcp:0.0.0.0:8080,group\"}; "
          "a program that links libsegue declares a listener of that name");
    }
    if (!by_kernel) own_addresses();
  }

  // The proxy tells the slots apart by where they listen.
  void own_addresses() {
    constexpr const char* kSuggestion =
        "a proxy needs an address of each slot's own: let the program bind it itself, by "
        "$SEGUE_NAME, which is the component's name or, of the canary, ends in .canary";
    const auto& listen = spec_.contract.listen;
    if (std::any_of(listen.begin(), listen.end(), [](const control::Listen& one) {
          return one.kind == control::Listen::Kind::tcp;
        })) {
      add("listen", fmt::format("it binds one address for both slots: {}", kSuggestion));
    }
    if (!spec_.ports.empty()) {
      add("ports",
          "both slots would publish the same port, and a proxy tells them apart by it: "
          "take 'network: host'");
    }
  }

  void definitions() {
    for (const Gate& gate : strategy_.gates) {
      known_.insert(gate.name);
      if (gate.kind == GateKind::health && spec_.health.kind == HealthCheck::Kind::none) {
        add("gates." + gate.name, "the component has no 'health' that it could look at");
      }
    }
  }

  void gates(const std::string& field, const std::vector<std::string>& names) {
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (known_.contains(names[i])) continue;
      std::string all;
      for (const auto& one : known_) all += (all.empty() ? "" : ", ") + one;
      add(fmt::format("{}[{}]", field, i),
          fmt::format("there is no gate '{}'; 'gates' defines {}", names[i].substr(0, 80),
                      all.empty() ? "none" : all));
    }
  }

  const ComponentSpec& spec_;
  const Strategy& strategy_;
  std::set<std::string> known_;
  std::vector<ComponentProblem> problems_;
};

}  // namespace

std::vector<ComponentProblem> problems_between(const ComponentSpec& spec,
                                               const Strategy& strategy) {
  return Checker(spec, strategy).run();
}

base::Result<void> check_together(const ComponentSpec& spec, const Strategy& strategy) {
  const auto problems = problems_between(spec, strategy);
  if (problems.empty()) return {};
  return base::fail(base::ErrorCode::invalid_argument, "{}: {}", problems.front().field,
                    problems.front().text);
}

}  // namespace segue::fleet
