// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>

#include "base/error.h"

namespace segue::os {

struct Directories {
  std::string runtime;  // sockets and locks; gone after a reboot
  std::string state;    // what has to last
};

using EnvironmentLookup = std::function<std::optional<std::string>(const char* name)>;

// Where the user keeps Segue's files; makes none of them. In this order:
//   SEGUE_RUNTIME_DIR, SEGUE_STATE_DIR   (an absolute path, otherwise invalid_argument)
//   root: /run/segue, /var/lib/segue
//   XDG_RUNTIME_DIR/segue, otherwise /tmp/segue-UID
//   XDG_STATE_HOME/segue, otherwise HOME/.local/state/segue (XDG Base Directory 0.8)
base::Result<Directories> directories_of(uid_t user, const EnvironmentLookup& environment);

// Those of this process.
base::Result<Directories> directories();

}  // namespace segue::os
