// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace segue::rpc {

// Before anything else of gRPC's; again is harmless. From then on it says nothing on stderr, as
// errors are read from statuses here, and its threads last as long as the process: ending them with
// the last connection, and making them anew with the next, is a double free now and then
// (gRPC 1.51, seen with the address sanitizer in a third of the runs of a program that does it
// often).
void prepare_grpc();

}  // namespace segue::rpc
