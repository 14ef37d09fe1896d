// SPDX-License-Identifier: Apache-2.0
#include "agent/tree_commands.h"

#include "tuf/metadata.h"

namespace segue::agent {

std::vector<std::string> TreeCommands::stage(const std::string& version,
                                             std::optional<plan::Instant> go_live_at) const {
  std::vector<std::string> words = {segue_,    "stage",      place_.component,
                                    version,   "--library",  place_.library,
                                    "--place", place_.place, "--json"};
  if (go_live_at) {
    words.insert(words.end(), {"--go-live-at", tuf::to_string(*go_live_at)});
  }
  if (!place_.root.empty()) words.insert(words.end(), {"--root", place_.root});
  words.insert(words.end(), place_.stage_options.begin(), place_.stage_options.end());
  return words;
}

std::vector<std::string> TreeCommands::go_live(const std::string& version) const {
  return {segue_, "go-live", place_.place, version, "--component", place_.component, "--json"};
}

std::vector<std::string> TreeCommands::go_back(const std::string& version) const {
  // However the old tree is by now, it is better than one that was found bad.
  return {segue_,  "go-live", place_.place, "--undo", "--if-live",
          version, "--check", "none",       "--json"};
}

}  // namespace segue::agent
