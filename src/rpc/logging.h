// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace segue::rpc {

// gRPC says on stderr what it also says in statuses, which is where errors are read here.
void keep_grpc_quiet();

}  // namespace segue::rpc
