// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <utility>

#include "base/error.h"
#include "fleet/component.h"
#include "fleet/host.h"

namespace segue::agent {

// What the revisions that this host has to do with say, kept in a directory; and whose they are.
class SpecFiles {
 public:
  using Key = std::pair<std::string, fleet::Revision>;

  // data_loss: a file of it is damaged.
  static base::Result<SpecFiles> open(const std::string& directory);
  // Of each component, beside those of the newest document.
  static constexpr std::size_t kKeptRevisions = 16;

  // Keeps those of `desired` that are new. failed_precondition: it is of another fleet than all
  // before it. Others: one of them cannot be read, or not be kept.
  base::Result<void> keep(const fleet::DesiredHost& desired);
  [[nodiscard]] const fleet::ComponentSpec* find(const std::string& component,
                                                 fleet::Revision revision) const;
  [[nodiscard]] const std::map<Key, fleet::ComponentSpec>& all() const { return specs_; }
  // Empty: none so far.
  [[nodiscard]] const std::string& fleet() const { return fleet_; }

 private:
  explicit SpecFiles(std::string directory) : directory_(std::move(directory)) {}
  [[nodiscard]] std::string path(const Key& key) const;
  void forget_old(const fleet::DesiredHost& desired);

  std::string directory_;
  std::string fleet_;
  std::map<Key, fleet::ComponentSpec> specs_;
};

}  // namespace segue::agent
