// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "cli/component_folder.h"

namespace segue::cli {

enum class Health { ok, warn, fail };

struct Finding {
  std::string what;  // "pidfd"
  Health health = Health::ok;
  std::string found;
  std::string remedy;  // empty where nothing is wrong
};

// Tries, on this host and as this user, what a handoff needs. Changes nothing that lasts.
std::vector<Finding> examine_host(const ComponentFolders& folders);

// ---- Judgements apart from the probes, for tests
Finding judge_descriptors(std::uint64_t soft, std::uint64_t hard);
Finding judge_kernel(const std::string& release);
Finding judge_memory(std::uint64_t available_bytes);

}  // namespace segue::cli
