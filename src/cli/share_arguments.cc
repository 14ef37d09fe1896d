// SPDX-License-Identifier: Apache-2.0
#include "cli/share_arguments.h"

#include <CLI/CLI.hpp>

namespace segue::cli {

namespace {

void add_haproxy(CLI::App& app, ShareOptions& options) {
  app.add_option("--haproxy", options.haproxy,
                 "HAProxy does it: its stats socket, of level admin; remembered for NAME")
      ->type_name("PATH|HOST:PORT");
  app.add_option("--backend", options.backend, "… the backend of haproxy.cfg")->type_name("NAME");
  const auto add_many = [&](const char* name, std::vector<std::string>& place, const char* what,
                            const char* type) {
    app.add_option(name, place, what)->allow_extra_args(false)->type_name(type);
  };
  add_many("--canary-server", options.canary_servers,
           "… a server of it that is a canary; with an address it is added where it is missing; "
           "may be repeated",
           "NAME[=HOST:PORT]");
  add_many("--drain-server", options.drain_servers,
           "… a server that gets no new connections; may be repeated", "NAME");
  add_many("--remove-server", options.remove_servers,
           "… a server that is removed once its sessions have ended; may be repeated", "NAME");
  app.add_flag("--check", options.check, "… with health checks of servers that are added");
  app.add_option("--map", options.map,
                 "… a map file that haproxy.cfg looks headers or cookies up in")
      ->type_name("FILE");
  add_many("--route", options.routes,
           "… an entry of that map; all others are removed; may be repeated", "KEY=VALUE");
  app.add_flag("--forget", options.forget,
               "Remember nothing of HAProxy for NAME any more; nothing is changed there");
}

}  // namespace

void add_share_command(Arguments& arguments, const AddCommand& add) {
  ShareOptions& options = arguments.share;
  CLI::App* app =
      add(Command::share, "share",
          "Which part of new connections NAME.canary gets; set it, or show it", nullptr);
  app->add_option("NAME", arguments.name, "The component; its canary is NAME.canary")->required();
  app->add_option("SHARE", options.share, "From 0% to 100%, as 10% or 0.1%; without it: show");
  app->add_option("--sticky", options.sticky,
                  "source: the same clients again and again, by their address")
      ->check(CLI::IsMember({"source"}));
  app->add_option_function<std::uint64_t>(
         "--salt", [&options](std::uint64_t salt) { options.salt = salt; },
         "With --sticky: which clients are first (default: others in each rollout)")
      ->type_name("N");
  app->add_option("--listener", options.listener, "Only this one of its listening sockets")
      ->type_name("NAME");
  app->add_option("--probes", options.probes,
                  "How many segments measure the share that is shown (1,000; 0: none)")
      ->check(CLI::Range(0U, 1'000'000U))
      ->type_name("N");
  app->add_option("--keep-s", options.keep_s,
                  "Go on, look every S seconds, and set it again where it was lost")
      ->check(CLI::Range(0.1, 3'600.0))
      ->type_name("S");
  add_haproxy(*app, options);
  app->add_flag("--dry-run", arguments.dry_run, "Say what would be done, and do nothing");
}

}  // namespace segue::cli
