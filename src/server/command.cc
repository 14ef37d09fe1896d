// SPDX-License-Identifier: Apache-2.0
#include "server/command.h"

#include <fmt/format.h>

#include <charconv>

#include "base/json_writer.h"
#include "server/file_server.h"

namespace segue::server {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

struct Endpoint {
  std::string address;
  std::uint16_t port = 0;
};

// ADDRESS:PORT, the address of IPv6 in brackets.
Result<Endpoint> parse_endpoint(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  Endpoint endpoint;
  const char* end = text.data() + text.size();
  const char* begin = colon == std::string::npos ? end : text.data() + colon + 1;
  const auto [read, problem] = std::from_chars(begin, end, endpoint.port);
  if (colon == std::string::npos || begin == end || problem != std::errc() || read != end) {
    return fail(ErrorCode::invalid_argument,
                "--listen {}: write ADDRESS:PORT, such as 0.0.0.0:8080 or [::]:8080", text);
  }
  endpoint.address = text.substr(0, colon);
  if (endpoint.address.starts_with('[') && endpoint.address.ends_with(']')) {
    endpoint.address = endpoint.address.substr(1, endpoint.address.size() - 2);
  }
  return endpoint;
}

}  // namespace

Result<control::ServerEnd> run_command(const control::ServerOptions& options,
                                       const control::SayServer& say) {
  SEGUE_ASSIGN(const Endpoint endpoint, parse_endpoint(options.listen));
  ServerSettings settings;
  settings.library = options.library;
  settings.address = endpoint.address;
  settings.port = endpoint.port;
  settings.max_connections = options.max_connections;
  settings.idle = std::chrono::seconds(options.idle_s);
  SEGUE_ASSIGN(const auto server, FileServer::open(settings));
  if (options.dry_run) {
    return control::ServerEnd{
        .text = fmt::format("{} would be served on {}", options.library, options.listen)};
  }
  base::JsonWriter object;
  object.begin_object()
      .field("event", "listening")
      .field("library", options.library)
      .field("address", endpoint.address)
      .field("port", server->port())
      .end();
  say(fmt::format("serving {} on {}, port {}", options.library, endpoint.address, server->port()),
      std::move(object).take());
  server->run(true);
  const ServerFigures figures = server->figures();
  return control::ServerEnd{
      .text =
          fmt::format("{} requests on {} connections, {} refused; {} bytes sent", figures.requests,
                      figures.connections, figures.refused, figures.body_bytes)};
}

}  // namespace segue::server
