// SPDX-License-Identifier: Apache-2.0
// Errors as gRPC carries them. https://grpc.github.io/grpc/core/md_doc_statuscodes.html
#pragma once

#include <grpcpp/support/status.h>

#include "base/error.h"

namespace segue::rpc {

grpc::Status status_of(const base::Error& error);
// Of a status that is not OK.
base::Error error_of(const grpc::Status& status);

}  // namespace segue::rpc
