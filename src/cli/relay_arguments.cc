// SPDX-License-Identifier: Apache-2.0
#include "cli/relay_arguments.h"

#include <CLI/CLI.hpp>

namespace segue::cli {
namespace {

constexpr std::uint64_t kMaxMiB = std::uint64_t{1} << 30;

void add_site(CLI::App& app, control::RelayOptions& options) {
  app.add_option("--site", options.site, "The site that shares the line (default)")
      ->type_name("NAME");
  app.add_option("--name", options.name, "This relay's name among the members (the host's)")
      ->type_name("NAME");
  app.add_option("--member", options.members,
                 "A relay of the site, this one too, as the others reach it; the first that "
                 "answers, by name, fetches over the line. May be repeated; none: it is alone")
      ->allow_extra_args(false)
      ->type_name("NAME=URL");
  app.add_option("--members-file", options.members_file, "The same, one NAME=URL per line")
      ->type_name("FILE");
  app.add_option("--origin", options.origin, "The release library, over the line: http://…")
      ->type_name("URL");
}

void add_line(CLI::App& app, control::RelayOptions& options) {
  app.add_option("--line-rate", options.line_rates,
                 "Not faster over the line: RATE, or WINDOW=RATE, such as 1Mbit and "
                 "'Mon-Fri 08:00-18:00=256kbit'; may be repeated")
      ->allow_extra_args(false)
      ->type_name("RATE");
  app.add_option("--zone", options.zone, "The time zone of such windows (this host's)")
      ->type_name("ZONE");
}

void add_bounds(CLI::App& app, control::RelayOptions& options) {
  app.add_option("--cache", options.cache, "Where objects are kept (/var/lib/segue/relay)")
      ->type_name("DIR");
  app.add_option("--cache-max-mib", options.cache_max_mib,
                 "Then what was not asked for the longest goes (10,240)")
      ->check(CLI::Range(std::uint64_t{1}, kMaxMiB))
      ->type_name("N");
  app.add_option("--object-max-mib", options.object_max_mib, "No object may be longer (16,384)")
      ->check(CLI::Range(std::uint64_t{1}, kMaxMiB))
      ->type_name("N");
  app.add_option("--metadata-max-age-s", options.metadata_max_age_s,
                 "Ask for the library's newest metadata no more often (2)")
      ->check(CLI::Range(0, 3'600))
      ->type_name("N");
  app.add_option("--max-connections", options.max_connections,
                 "Others wait until one of so many ends (256)")
      ->check(CLI::Range(1, 15'000))
      ->type_name("N");
}

void add_agents(CLI::App& app, control::AgentRelayOptions& options) {
  app.add_option(
         "--join", options.join,
         "Become a relay of the fleet and the site that this token of `segue token --relay` "
         "is for")
      ->type_name("TOKEN");
  app.add_option("--name", options.name, "Its name in the fleet (the host's, and -relay)")
      ->type_name("NAME");
  app.add_option("--listen", options.listen, "Where agents attach (127.0.0.1:7445)")
      ->type_name("ADDRESS:PORT");
  app.add_option("--state", options.state, "What it keeps (/var/lib/segue/agent-relay)")
      ->type_name("DIR");
  app.add_option("--max-agents", options.max_agents, "Others have to try another relay (2,000)")
      ->check(CLI::Range(1, 15'000))
      ->type_name("N");
}

}  // namespace

void add_relay_commands(Arguments& arguments, const AddCommand& add) {
  control::RelayOptions& options = arguments.relay;
  CLI::App* app = add(Command::relay, "relay",
                      "Fetch releases over a site's line once, for all of its hosts", nullptr);
  add_site(*app, options);
  app->add_option("--listen", options.listen,
                  "Where: ADDRESS:PORT (127.0.0.1:7411); may be repeated")
      ->allow_extra_args(false)
      ->type_name("ADDRESS:PORT");
  add_line(*app, options);
  add_bounds(*app, options);
  app->add_flag("--dry-run", arguments.dry_run, "Open the cache and the ports, and end");
  add(Command::relay_status, "status", "How a site stands: its line, its relays, its hosts", app)
      ->add_option("URL", arguments.relay_url, "Any relay of it (http://127.0.0.1:7411)");
  CLI::App* agents = add(Command::relay_agents, "agents",
                         "Carry the lines of a site's agents to the fleet's server, over one", app);
  add_agents(*agents, arguments.agent_relay);
  agents->add_flag("--dry-run", arguments.dry_run, "Say whom it would speak to, and end");
}

}  // namespace segue::cli
