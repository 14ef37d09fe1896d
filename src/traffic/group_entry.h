// SPDX-License-Identifier: Apache-2.0
// What makes a new member of a group harmless: all new connections go to the stable slot.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/time.h"

namespace segue::traffic {

// On a host a component has two slots, each with a keeper of its own: NAME and NAME.canary.
enum class Slot { stable, canary };
inline constexpr std::string_view kCanarySuffix = ".canary";
Slot slot_of(std::string_view component);
// The component without the suffix.
std::string stable_name(std::string_view component);
std::string canary_name(std::string_view component);

// One at a time enters groups of this user or changes their programs. `directory` is the runtime
// directory, where all components of this user have their folders.
std::string group_lock_path(const std::string& directory);
inline constexpr base::Duration kGroupLockLimit = std::chrono::seconds(5);

// Right after listen(2), under that lock: of stable, all connections come to this socket; of
// canary, none, unless it is alone.
base::Result<void> enter_group(int socket, Slot slot);

// How many sockets of `uid` listen on the address, out of the text of /proc/net/tcp or tcp6 (its
// listening sockets come first). `address` as it stands there: "0100007F:1F90".
std::uint32_t count_listeners(std::string_view table, std::string_view address, std::uint32_t uid);

}  // namespace segue::traffic
