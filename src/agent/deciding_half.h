// SPDX-License-Identifier: Apache-2.0
// The half of a fleet's agent that talks with the server and decides. It runs as a user that owns
// nothing but the directory of what it keeps, starts nothing, and reaches nothing else of the host
// (where the kernel can see to it, also by Landlock and seccomp).
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

#include "base/error.h"
#include "os/process.h"
#include "os/unique_fd.h"

namespace segue::agent {

// Whom it runs as.
struct HalfUser {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;
};
// Of `name`, or, where that is not known on this host, of nobody(5). This process's own where it
// could not become another.
base::Result<HalfUser> half_user(const std::string& name);

// Its directory; what was made by another user before becomes the user's, once.
base::Result<void> prepare_half_directory(const std::string& path, const HalfUser& user);

struct DecidingHalf {
  os::Child child;
  os::UniqueFd socket;  // a stream, to it
};
// `work` runs in a forked process whose working directory is `directory`, with the other end of the
// socket, and has told itself why it ends before it returns. The process dies with this one. Only
// before any thread was started.
using HalfWork = std::function<void(os::UniqueFd socket)>;
base::Result<DecidingHalf> start_deciding_half(const std::string& directory, const HalfUser& user,
                                               const HalfWork& work);

// Gives up everything else, for good, of this process. Apart for tests.
base::Result<void> confine_half();

}  // namespace segue::agent
