// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace respkv {

// What this process alone could know, told to libsegue: a predecessor that does again what its dead
// successor did is given the same. Numbers are never used for something else.
enum class Note : std::uint32_t {
  turn = 1,         // of the event loop: its time
  due = 2,          // keys and waits end now
  clock = 3,        // the time, looked at once more
  information = 4,  // the answer to INFO
  choice = 5,       // a key or a member, chosen at random
};

}  // namespace respkv
