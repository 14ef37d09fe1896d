// SPDX-License-Identifier: Apache-2.0
// A compose.yaml as a service, as far as the two mean the same: a named subset of the Compose
// specification (https://github.com/compose-spec/compose-spec), docs/services.md. Every other key
// is refused, each with its line and why, and then there is no service. Pure but for `read_file`.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "service/service.h"
#include "service/service_text.h"

namespace segue::service {

inline constexpr std::size_t kMaxComposeFileBytes = std::size_t{256} << 10;
inline constexpr std::size_t kMaxEnvironmentFileBytes = std::size_t{64} << 10;

struct ComposeOptions {
  std::string service;    // its name; empty: the file's own `name`, or that of the directory
  std::string directory;  // the file's, absolute: relative paths begin there
  std::string volumes;    // a directory of the host for named volumes; empty: they are refused
  // The files that env_file names.
  std::function<base::Result<std::string>(const std::string& path)> read_file;
};

struct ComposeReading {
  std::optional<Service> service;     // only where nothing is wrong
  TextOptions text;                   // what a person has to know, as comments
  std::vector<std::string> problems;  // as of a ServiceReading
};

// `path` is for messages.
ComposeReading read_compose(const std::string& path, const std::string& text,
                            const ComposeOptions& options);

}  // namespace segue::service
