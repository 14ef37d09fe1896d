// SPDX-License-Identifier: Apache-2.0
// What has changed between two looks at a rollout, for a log: one line for each, nothing twice.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "cli/output.h"

namespace segue::cli {

struct RolloutChange {
  std::string what;     // rollout, waits, step, host, gate, share
  std::string subject;  // the step's, host's, gate's or proxy's name; empty: the rollout
  std::string text;     // one line, as shown_text()
  Json now;             // the part of the answer that has changed

  [[nodiscard]] std::string line(std::uint64_t now_ms) const;  // "01:15:07 host berlin-1: good, …"
  [[nodiscard]] Json json(std::uint64_t now_ms) const;
};

// Figures that move all the time (connections, seconds, requests) are no change by themselves: they
// are told when something else is. Pure.
class RolloutChanges {
 public:
  // `progress` is the answer to GET /v1/rollouts/ROLLOUT?instances=1000. The first time everything
  // is told that is not as it was before the rollout.
  std::vector<RolloutChange> look(const Json& progress);

 private:
  void tell(std::string what, std::string subject, std::string key, std::string text, Json now);
  void whole(const Json& progress);
  void steps(const Json& progress);
  void instances(const Json& progress);

  std::map<std::pair<std::string, std::string>, std::string> told_;
  std::vector<RolloutChange> changes_;
};

}  // namespace segue::cli
