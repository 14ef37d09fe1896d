// SPDX-License-Identifier: Apache-2.0
// segue.yaml of a service, docs/services.md. Read strictly, and everything that is wrong is said at
// once. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "service/service.h"

namespace segue::service {

inline constexpr std::size_t kMaxServiceFileBytes = std::size_t{256} << 10;
inline constexpr std::size_t kMaxComponents = 200;

struct ServiceReading {
  std::optional<Service> service;     // only where nothing is wrong
  std::vector<std::string> problems;  // each "PATH:LINE: WHERE: TEXT", by line, not all of too many
};

// `path` is for messages.
ServiceReading read_service(const std::string& path, const std::string& text);

// Whether it is one component's for `segue run --file`, or for `segue build`: it has a `name` and
// no `components`.
bool is_component_file(const std::string& text);

// Every key there is, as docs/services.md has to name it: "components.NAME.limits.memory".
std::vector<std::string> service_file_keys();

}  // namespace segue::service
