// SPDX-License-Identifier: Apache-2.0
#include "rpc/logging.h"

#include <grpc/support/log.h>

namespace segue::rpc {

void keep_grpc_quiet() {
  gpr_set_log_function([](gpr_log_func_args* /*line*/) {});
}

}  // namespace segue::rpc
