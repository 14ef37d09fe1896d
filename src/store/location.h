// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "base/error.h"
#include "store/etcd_client.h"
#include "store/store.h"

namespace segue::store {

struct MemoryLocation {};
struct SqliteLocation {
  std::string directory;
};
using Location = std::variant<MemoryLocation, SqliteLocation, EtcdSettings>;

// Where a store is, as people write it:
//   memory:                                   gone with the process
//   sqlite:/var/lib/segue/server              a directory of this host; absolute
//   etcd://10.0.0.1:2379,10.0.0.2:2379/segue  every member; the path stands before each key
//   etcds://host:port,…/segue?ca=FILE&cert=FILE&key=FILE   over TLS
// invalid_argument says what is wrong and what is possible.
base::Result<Location> parse_location(std::string_view text);

// Opens it. Errors: those of SqliteStore::open. An etcd cluster is not asked anything yet.
base::Result<std::unique_ptr<Store>> open_store(const Location& location, LoopScheduler& scheduler,
                                                os::EpollLoop& loop, const os::Clock& clock);

}  // namespace segue::store
