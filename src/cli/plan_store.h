// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/arguments.h"
#include "plans/plan_folder.h"

namespace segue::cli {

// Where plans are kept: a directory of this host, or a release library.
class PlanStore {
 public:
  virtual ~PlanStore() = default;

  [[nodiscard]] virtual base::Result<plans::PlanFolder::Contents> read() const = 0;
  // not_found says where to look.
  [[nodiscard]] virtual base::Result<plan::Plan> read(const std::string& id) const = 0;
  virtual base::Result<void> add(const plan::Plan& plan, bool dry_run) = 0;
  // failed_precondition: it is cancelled already. The plan as it is then.
  virtual base::Result<plan::Plan> cancel(const std::string& id,
                                          const plan::Cancellation& cancellation, bool dry_run) = 0;
  // What hosts told, as far as it came to this host.
  [[nodiscard]] virtual base::Result<std::vector<std::string>> reports(
      const std::string& id) const = 0;
  [[nodiscard]] virtual std::string where() const = 0;  // for a person
};

// By --library, or else --state. A library at a URL is to read only, and what it has is fetched
// first.
base::Result<std::unique_ptr<PlanStore>> open_plan_store(const Arguments& arguments);

}  // namespace segue::cli
