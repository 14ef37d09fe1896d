// SPDX-License-Identifier: Apache-2.0
// The directory that plans are kept in, one file each: ID.json. Reports of hosts stand below it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "plan/plan.h"

namespace segue::plans {

inline constexpr std::size_t kMaxPlanFiles = 2'000;

class PlanFolder {
 public:
  explicit PlanFolder(std::string directory) : directory_(std::move(directory)) {}

  struct Unreadable {
    std::string file;
    base::Error error;
  };
  struct Contents {
    std::vector<plan::Plan> plans;  // by their first site's time
    std::vector<Unreadable> unreadable;
  };
  // Everything that there is; a directory that is missing is empty. One file that cannot be read
  // does not hide the others.
  [[nodiscard]] base::Result<Contents> read() const;
  // Of all files there, whatever they hold.
  [[nodiscard]] base::Result<std::vector<std::string>> ids() const;
  // not_found names plans with similar beginnings, if there are any.
  [[nodiscard]] base::Result<plan::Plan> read(const std::string& id) const;
  // already_exists: another has its id.
  [[nodiscard]] base::Result<void> add(const plan::Plan& plan) const;
  [[nodiscard]] base::Result<void> replace(const plan::Plan& plan) const;

  // What hosts told about a plan: whole documents, in the order of their files' names.
  [[nodiscard]] base::Result<std::vector<std::string>> reports(const std::string& id) const;

  [[nodiscard]] const std::string& directory() const { return directory_; }
  [[nodiscard]] std::string report_directory() const { return directory_ + "/reports"; }

 private:
  [[nodiscard]] std::string path_of(const std::string& id) const;

  std::string directory_;
};

// By their first sites' times.
void sort_by_time(std::vector<plan::Plan>& plans);

// PLAN,SITE,HOST.json: no name holds a comma, nor is one so long that three are too long for a
// file.
std::string report_file_name(const std::string& plan, const std::string& site,
                             const std::string& host);

}  // namespace segue::plans
