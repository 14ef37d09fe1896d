// SPDX-License-Identifier: Apache-2.0
#include "server/command.h"

#include <fmt/format.h>

#include "base/json_writer.h"
#include "control/listen_address.h"
#include "server/file_server.h"
#include "server/fleet_command.h"

namespace segue::server {

using base::Result;

Result<control::ServerEnd> run_command(const control::ServerOptions& options,
                                       const control::SayServer& say) {
  if (options.library.empty()) return run_fleet_server(options, say);
  const std::string listen = options.listen.empty() ? control::kLibraryListen : options.listen;
  SEGUE_ASSIGN(const auto endpoint, control::parse_listen_address("--listen", listen));
  ServerSettings settings;
  settings.library = options.library;
  settings.address = endpoint.address;
  settings.port = endpoint.port;
  settings.max_connections = options.max_connections;
  settings.idle = std::chrono::seconds(options.idle_s);
  SEGUE_ASSIGN(const auto server, FileServer::open(settings));
  if (options.dry_run) {
    return control::ServerEnd{.text =
                                  fmt::format("{} would be served on {}", options.library, listen)};
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
