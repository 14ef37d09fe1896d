// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <segue/segue.h>

#include "server.h"

namespace respkv {

// The tables "keyspace", one record per key, and "service", one record with the counters.
segue_table* open_keyspace_table(segue_instance* handle, Server& server, bool break_form,
                                 bool break_rehearsal);
segue_table* open_service_table(segue_instance* handle, Server& server);

}  // namespace respkv
