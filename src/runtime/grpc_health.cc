// SPDX-License-Identifier: Apache-2.0
#include "runtime/grpc_health.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>

#include "control/options.h"

namespace segue::runtime {
namespace {

using base::ErrorCode;
using base::fail;

constexpr std::size_t kMaxServiceBytes = 200;
constexpr std::size_t kFrameBytes = 5;  // compressed or not, and a length
constexpr int kOk = 200;

// Of Protocol Buffers' encoding.
std::optional<std::uint64_t> take_varint(std::string_view& bytes) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (bytes.empty()) return std::nullopt;
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    value |= std::uint64_t{byte & 0x7FU} << shift;
    if ((byte & 0x80) == 0) return value;
  }
  return std::nullopt;
}

bool skip(std::string_view& bytes, std::uint64_t wire_type) {
  std::uint64_t size = 0;
  switch (wire_type) {
    case 0:
      return take_varint(bytes).has_value();
    case 1:
      size = 8;
      break;
    case 2: {
      const auto length = take_varint(bytes);
      if (!length) return false;
      size = *length;
      break;
    }
    case 5:
      size = 4;
      break;
    default:
      return false;
  }
  if (size > bytes.size()) return false;
  bytes.remove_prefix(size);
  return true;
}

// HealthCheckResponse.status, member 1; 0 when it is missing.
std::optional<std::uint64_t> serving_status(std::string_view message) {
  constexpr std::uint64_t kStatusKey = 1U << 3;  // as a varint
  std::uint64_t status = 0;
  while (!message.empty()) {
    const auto key = take_varint(message);
    if (!key) return std::nullopt;
    if (*key == kStatusKey) {
      const auto value = take_varint(message);
      if (!value) return std::nullopt;
      status = *value;
    } else if (!skip(message, *key & 7U)) {
      return std::nullopt;
    }
  }
  return status;
}

// The one message of the body.
std::optional<std::string_view> only_message(std::string_view body) {
  if (body.size() < kFrameBytes || body[0] != 0) return std::nullopt;
  std::uint32_t size = 0;
  for (std::size_t i = 1; i < kFrameBytes; ++i) {
    size = size << 8 | static_cast<unsigned char>(body[i]);
  }
  if (size != body.size() - kFrameBytes) return std::nullopt;
  return body.substr(kFrameBytes);
}

std::string field(const std::map<std::string, std::string>& fields, const std::string& name) {
  const auto found = fields.find(name);
  return found == fields.end() ? std::string() : found->second.substr(0, kMaxServiceBytes);
}

std::string refused_text(const std::string& code, const std::string& message) {
  if (code == "12") return "the server has no service grpc.health.v1.Health";
  if (code == "5") return "the server knows no service of this name";
  return fmt::format("the server refuses the check with code {}{}", code,
                     message.empty() ? "" : ": " + message);
}

}  // namespace

base::Result<GrpcTarget> parse_grpc_target(std::string_view text) {
  const auto slash = std::min(text.find('/'), text.size());
  GrpcTarget target{std::string(text.substr(0, slash)),
                    std::string(text.substr(std::min(slash + 1, text.size())))};
  SEGUE_TRY(control::parse_host_port(target.address));
  const bool is_name =
      target.service.size() <= kMaxServiceBytes &&
      std::ranges::all_of(target.service, [](unsigned char c) { return c > 0x20 && c < 0x7F; });
  if (is_name) return target;
  return fail(ErrorCode::invalid_argument, "'{}' is no name of a gRPC service",
              target.service.substr(0, kMaxServiceBytes));
}

std::string grpc_health_request(std::string_view service) {
  std::string message;
  if (!service.empty()) {
    constexpr char kServiceKey = 1 << 3 | 2;  // member 1, with a length
    message += kServiceKey;
    for (std::size_t size = service.size();; size >>= 7) {
      message += static_cast<char>((size & 0x7FU) | (size > 0x7F ? 0x80U : 0U));
      if (size <= 0x7F) break;
    }
    message += service;
  }
  std::string frame(1, '\0');
  for (const int shift : {24, 16, 8, 0}) frame += static_cast<char>(message.size() >> shift & 0xFF);
  return frame + message;
}

GrpcHealth read_grpc_health(int status, const std::map<std::string, std::string>& fields,
                            std::string_view body) {
  if (status != kOk) return {false, fmt::format("the server answers with status {}", status)};
  const std::string code = field(fields, "grpc-status");
  if (code.empty()) return {false, "the server does not answer as gRPC does"};
  if (code != "0") return {false, refused_text(code, field(fields, "grpc-message"))};
  const auto message = only_message(body);
  const auto serving = message ? serving_status(*message) : std::nullopt;
  if (!serving) return {false, "the server's answer is damaged"};
  switch (*serving) {
    case 1:
      return {true, "the server says SERVING"};
    case 2:
      return {false, "the server says NOT_SERVING"};
    case 3:
      return {false, "the server says SERVICE_UNKNOWN"};
    default:
      return {false, "the server says UNKNOWN"};
  }
}

}  // namespace segue::runtime
