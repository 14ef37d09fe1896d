// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <segue/segue.h>

#include "server.h"

namespace respkv {

// The class "client": each connection's session and buffers.
segue_class* open_client_class(segue_instance* handle, Server& server);

}  // namespace respkv
