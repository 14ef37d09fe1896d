// SPDX-License-Identifier: Apache-2.0
// Where systemd keeps units: systemd.unit(5).
#pragma once

#include <string>

#include "cli/adoption.h"

namespace segue::cli {

class UnitFolders {
 public:
  // `root` is put before every path; "" is this system.
  explicit UnitFolders(std::string root) : root_(std::move(root)) {}

  // The unit's file and drop-ins as systemd would take them, without `segue.conf`. not_found: there
  // is no such unit; failed_precondition: it is masked, or another name of a unit.
  [[nodiscard]] base::Result<UnitFacts> read(const std::string& unit) const;

  // The drop-in that adopting the unit writes.
  [[nodiscard]] std::string drop_in_path(const std::string& unit) const;
  // Its text; not_found where it is missing.
  [[nodiscard]] base::Result<std::string> read_drop_in(const std::string& unit) const;
  [[nodiscard]] base::Result<void> write_drop_in(const std::string& unit,
                                                 const std::string& text) const;
  // And its folder, if that is empty then.
  [[nodiscard]] base::Result<void> remove_drop_in(const std::string& unit) const;

 private:
  [[nodiscard]] base::Result<UnitSource> read_main(const std::string& unit) const;
  [[nodiscard]] base::Result<std::vector<UnitSource>> read_drop_ins(const std::string& unit) const;
  [[nodiscard]] base::Result<std::vector<std::string>> sockets_of(const std::string& unit) const;

  std::string root_;
};

}  // namespace segue::cli
