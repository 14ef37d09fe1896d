// SPDX-License-Identifier: Apache-2.0
// The part of a repository's segue.yaml that says how a commit becomes a release. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "config/yaml_reader.h"

namespace segue::builder {

inline constexpr std::size_t kMaxBuildFileBytes = std::size_t{64} << 10;
inline constexpr std::size_t kMaxCommands = 64;

// Bounds of one command of a build.
struct Limits {
  std::uint32_t time_s = 3'600;      // from its start to its end
  std::uint64_t memory_mib = 4'096;  // all of its processes together
  std::uint32_t processes = 512;     // at one time
  std::uint64_t log_mib = 16;        // what it prints
  std::uint64_t file_mib = 4'096;    // each file it writes

  friend bool operator==(const Limits&, const Limits&) = default;
};

// The keys of `node` that are there take the place of those in `limits`; `prefix` is as in
// YamlReader::check_keys().
base::Result<void> read_limits(const YAML::Node& node, const config::YamlReader& yaml,
                               const std::string& prefix, Limits& limits);
// The smaller of each.
Limits within(const Limits& asked, const Limits& allowed);

struct BuildFile {
  std::string component;
  std::vector<std::string> build;  // shell commands, one after the other
  std::vector<std::string> test;
  std::string output;   // the tree to publish, below the working copy; "." is all of it
  std::string version;  // a rule, see version_rule.h
  std::vector<std::string> environment;  // NAME=value
  Limits limits;
};

// `path` is for messages. The keys of a component (config::kComponentKeys) are left alone.
base::Result<BuildFile> parse_build_file(const std::string& path, const std::string& text);

}  // namespace segue::builder
