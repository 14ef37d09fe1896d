// SPDX-License-Identifier: Apache-2.0
#include "handoff/status.h"

#include <cerrno>
#include <cstring>

namespace segue::handoff {

Status Status::system(const std::string& what) {
  const int error = errno;
  return {SEGUE_SYSTEM, what + ": " + strerror(error)};
}

}  // namespace segue::handoff
