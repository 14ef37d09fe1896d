// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include "base/error.h"
#include "delta/manifest.h"
#include "tree/beneath.h"

namespace segue::tree {

// Extended attributes that belong to a tree: user.*, security.capability, and POSIX access control
// lists. Others describe the host (security.selinux, trusted.*) and stay where they are. A symlink
// has none of these (xattr(7)).
bool is_kept(std::string_view attribute_name);

// By name. A filesystem without attributes has none.
base::Result<std::vector<delta::ExtendedAttribute>> read_attributes(int fd, const Beneath& beneath,
                                                                    std::string_view path);
// Sets them, sorted by name, on a file or directory that has none of its own, and that its owner
// may write to. permission_denied: a capability may
// only be set by root.
base::Result<void> write_attributes(int fd, const std::vector<delta::ExtendedAttribute>& attributes,
                                    const Beneath& beneath, std::string_view path);

}  // namespace segue::tree
