// SPDX-License-Identifier: Apache-2.0
#include "cli/agent_arguments.h"

#include <CLI/CLI.hpp>

namespace segue::cli {
namespace {

void add_commands(CLI::App& app, control::PlaceOptions& place) {
  app.add_option("--stop", place.stop, "A shell command that closes what runs")->type_name("CMD");
  app.add_option("--start", place.start, "… that starts what is live")->type_name("CMD");
  app.add_option("--upgrade", place.upgrade,
                 "… instead of both: hands over to what is live, as 'segue upgrade NAME PROGRAM'")
      ->type_name("CMD");
  app.add_option("--step-limit-s", place.step_limit_s, "Limit of each command (120)")
      ->check(CLI::Range(1, 86'400))
      ->type_name("S");
}

void add_health(CLI::App& app, control::PlaceOptions& place) {
  app.add_option("--health-cmd", place.health_command, "A shell command that has to exit with 0")
      ->type_name("CMD");
  app.add_option("--health-tcp", place.health_tcp, "HOST:PORT that has to accept");
  app.add_option("--health-http", place.health_http,
                 "http://ADDRESS:PORT/PATH that has to answer with 2xx or 3xx")
      ->type_name("URL");
  app.add_option("--health-within-s", place.health_within_s,
                 "By when it has to be good after the start (60)")
      ->check(CLI::Range(1, 86'400))
      ->type_name("S");
  app.add_option("--health-good", place.health_good_in_row, "… so many times in a row (3)")
      ->check(CLI::Range(1, 1'000))
      ->type_name("N");
  app.add_flag_callback(
      "--no-undo", [&place] { place.undoes = false; },
      "Leave the new version live where starting it or the health check fails");
}

void add_plans(CLI::App& app, control::AgentOptions& options) {
  app.add_option("--plans", options.plans,
                 "Take plans from here alone (default: from the library, and from "
                 "/var/lib/segue/plans of this host)")
      ->type_name("DIR");
  app.add_option("--fetch-plans-s", options.fetch_plans_s,
                 "Ask the library for plans each so many seconds (60)")
      ->check(CLI::Range(1, 86'400))
      ->type_name("S");
  app.add_option("--plans-alarm-s", options.plans_alarm_s,
                 "Raise an alarm when that has failed for so long (3,600)")
      ->check(CLI::Range(1, 31 * 86'400))
      ->type_name("S");
}

void add_fleet(CLI::App& app, control::AgentOptions& options) {
  app.add_option("--join", options.join,
                 "Become part of the fleet that this token of `segue token` is for, and "
                 "obey its server from now on")
      ->type_name("TOKEN");
  app.add_option("--name", options.name, "This host's name in the fleet (the host's own)")
      ->type_name("NAME");
  app.add_option("--label", options.labels, "NAME=VALUE, for choosing hosts; may be repeated")
      ->allow_extra_args(false)
      ->type_name("NAME=VALUE");
  app.add_option("--user", options.user,
                 "User that the part of the agent runs as which talks with the server "
                 "(segue-agent, or nobody where there is no such user)")
      ->type_name("USER");
  app.add_option("--relay", options.relays,
                 "Reach the server through this relay of the site (`segue relay agents`); may be "
                 "repeated: the next one where one cannot be reached")
      ->allow_extra_args(false)
      ->type_name("HOST:PORT");
  app.add_flag("--direct", options.direct, "… and the server itself where no relay can be reached");
  app.add_option("--engine", options.engine,
                 "The Docker Engine API for its containers (Podman's or Docker's usual socket)")
      ->type_name("unix:///PATH");
  app.add_flag("--observe-only", options.observe_only, "Report to the server, and act on nothing");
}

}  // namespace

void add_agent_command(CLI::App& program, Arguments& arguments, const AddCommand& add) {
  control::AgentOptions& options = arguments.agent;
  control::PlaceOptions& place = options.place;
  CLI::App* agent =
      add(Command::agent, "agent",
          "Keep this host as its fleet's server and its plans want it, also while they are away",
          &program);
  agent
      ->add_option("--places", options.places,
                   "The places of this host, as places.json; instead of the options for one")
      ->type_name("FILE");
  agent->add_option("--component", place.component, "What goes live")->type_name("C");
  agent->add_option("--place", place.place, "Where its trees stand")->type_name("DIR");
  agent->add_option("--site", place.site, "The site in plans that this host belongs to (default)")
      ->type_name("NAME");
  agent
      ->add_option("--library", place.library,
                   "Where releases and plans come from: a URL or a directory")
      ->type_name("URL");
  agent
      ->add_option("--root", place.root,
                   "The library's root.json to trust, from a source that you trust; needed the "
                   "first time")
      ->type_name("FILE");
  agent
      ->add_option("--stage-option", place.stage_options,
                   "One more option of `segue stage`, as --stage-option=--root=root.json")
      ->allow_extra_args(false)
      ->type_name("OPTION");
  add_commands(*agent, place);
  add_health(*agent, place);
  add_plans(*agent, options);
  add_fleet(*agent, options);
  agent->add_option("--state", options.state, "What the agent keeps (/var/lib/segue/agent)")
      ->type_name("DIR");
  agent
      ->add_option("--report-cmd", options.report_command,
                   "A shell command that delivers the report in $SEGUE_REPORT (default: it is "
                   "copied to the plans directory)")
      ->type_name("CMD");
  agent->add_option("--unsafe-fault", options.unsafe_fault,
                    "UNSAFE, for tests: the agent kills itself (STEP:before|after)");
  agent->add_flag("--dry-run", arguments.dry_run, "Say what it would do, and do nothing");
}

}  // namespace segue::cli
