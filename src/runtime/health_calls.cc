// SPDX-License-Identifier: Apache-2.0
#include "runtime/health_calls.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "runtime/grpc_health.h"

namespace segue::runtime {
namespace {

using base::Result;
using health::HealthCheck;

constexpr std::size_t kShownBytes = 200;
constexpr std::size_t kMaxAnswerBytes = std::size_t{16} << 10;

// As one line.
std::string shown(std::string text) {
  if (text.size() > kShownBytes) text.resize(kShownBytes);
  std::ranges::replace_if(text, [](unsigned char c) { return c < 0x20 || c == 0x7F; }, ' ');
  while (text.ends_with(' ')) text.pop_back();
  return text;
}

class GrpcCall final : public Call {
 public:
  void start(http::Client& client, const std::string& text, base::Duration limit,
             HealthCheck::OnResult on_result) {
    http::Handlers handlers;
    handlers.on_end = [text, on_result = std::move(on_result)](const Result<http::Answer>& answer) {
      if (!answer) return on_result({false, answer.error().to_string()});
      GrpcHealth health = read_grpc_health(answer->status, answer->fields, answer->body);
      on_result({health.is_serving, fmt::format("{}: {}", text, health.text)});
    };
    const auto target = parse_grpc_target(text);
    if (!target) {
      exchange_ = client.refuse(target.error(), std::move(handlers));
      return;
    }
    http::Request request{
        .method = "POST",
        .url = fmt::format("http://{}/grpc.health.v1.Health/Check", target->address),
        .fields = {"Content-Type: application/grpc", "TE: trailers"},
        .body = grpc_health_request(target->service),
        .changes_nothing = true,
        .version = http::Version::http2_as_known};
    request.limits = {.connect = limit, .total = limit, .answer_bytes = kMaxAnswerBytes};
    exchange_ = client.start(std::move(request), std::move(handlers));
  }

 private:
  std::unique_ptr<http::Exchange> exchange_;
};

}  // namespace

CallHandle check_by_exec(ContainerEngine& engine, const std::string& container,
                         const std::vector<std::string>& arguments, base::Duration limit,
                         HealthCheck::OnResult on_result) {
  const std::string command = arguments.empty() ? std::string() : arguments.front();
  return engine.exec(container, {.arguments = arguments, .limit = limit},
                     [command, on_result = std::move(on_result)](const Result<ExecResult>& result) {
                       if (!result) return on_result({false, result.error().to_string()});
                       const bool is_good = result->exit_code == 0;
                       if (is_good)
                         return on_result({true, fmt::format("'{}' is content", command)});
                       on_result({false, fmt::format("'{}' exited with {}: {}", command,
                                                     result->exit_code, shown(result->output))});
                     });
}

CallHandle check_grpc(http::Client& client, const std::string& target, base::Duration limit,
                      HealthCheck::OnResult on_result) {
  auto call = std::make_unique<GrpcCall>();
  call->start(client, target, limit, std::move(on_result));
  return call;
}

}  // namespace segue::runtime
