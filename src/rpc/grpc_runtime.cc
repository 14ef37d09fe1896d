// SPDX-License-Identifier: Apache-2.0
#include "rpc/grpc_runtime.h"

#include <grpc/support/log.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include "fleet.grpc.pb.h"

namespace segue::rpc {
namespace {

namespace wire = segue::fleet::v1;

// A channel that has called once keeps the threads of all callbacks. It leads nowhere, and lasts.
struct KeptCall {
  KeptCall() {
    gpr_set_log_function([](gpr_log_func_args* /*line*/) {});
    stub = wire::Fleet::NewStub(
        grpc::CreateChannel("unix:/nonexistent", grpc::InsecureChannelCredentials()));
    context.set_deadline(std::chrono::system_clock::time_point{});
    stub->async()->Renew(&context, &request, &answer, [](const grpc::Status&) {});
  }

  std::unique_ptr<wire::Fleet::Stub> stub;
  grpc::ClientContext context;
  wire::RenewRequest request;
  wire::Credentials answer;
};

}  // namespace

void prepare_grpc() {
  static const KeptCall* const kKept = new KeptCall();
  (void)kKept;
}

}  // namespace segue::rpc
