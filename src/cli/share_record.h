// SPDX-License-Identifier: Apache-2.0
// The share that a component's canary is to have, as it is written down in the component's state
// folder.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/error.h"
#include "traffic/share.h"
#include "traffic/split_group.h"

namespace segue::cli {

struct ShareRecord {
  traffic::ShareRule rule;
  std::string set_at;                                 // UTC
  std::string boot_id;                                // `groups` hold until the host restarts
  std::map<std::string, traffic::KnownGroup> groups;  // by the listener's name

  bool operator==(const ShareRecord&) const = default;
};

std::string to_json(const ShareRecord& record);
// data_loss: damaged, or of another version.
base::Result<ShareRecord> parse_share_record(const std::string& text);

// Of the component with this state folder; nullopt: no share was ever set.
base::Result<std::optional<ShareRecord>> read_share_record(const std::string& folder);
base::Result<void> write_share_record(const std::string& folder, const ShareRecord& record);

}  // namespace segue::cli
