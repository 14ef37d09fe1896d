// SPDX-License-Identifier: Apache-2.0
#include "rpc/grpc_runtime.h"

#include <fmt/format.h>
#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <cstdio>
#include <mutex>
#include <string>

#include "fleet.grpc.pb.h"

namespace segue::rpc {
namespace {

namespace wire = segue::fleet::v1;

// Of each text that is not UTF-8 there is a line, and a peer may send any number of them: its
// session ends for it, which is said there.
void forget_line(google::protobuf::LogLevel level, const char* file, int line,
                 const std::string& text) {
  if (level != google::protobuf::LOGLEVEL_FATAL) return;
  fmt::print(stderr, "protobuf: {}:{}: {}\n", file, line, text);
}

// A channel that has called once keeps the threads of all callbacks. It leads nowhere, and lasts.
struct KeptCall {
  KeptCall() {
    gpr_set_log_function([](gpr_log_func_args* /*line*/) {});
    google::protobuf::SetLogHandler(&forget_line);
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

// Nobody reads it; it is what says that the call is not lost.
[[gnu::used]] KeptCall* kept_call = nullptr;
std::once_flag kept_once;

}  // namespace

void prepare_grpc() {
  std::call_once(kept_once, [] { kept_call = new KeptCall(); });
}

}  // namespace segue::rpc
