// SPDX-License-Identifier: Apache-2.0
#include "cli/fleet_arguments.h"

#include <CLI/CLI.hpp>

namespace segue::cli {
namespace {

void add_profile(CLI::App& app, FleetOptions& options) {
  app.add_option("--profile", options.profile,
                 "Which server, and who asks ($SEGUE_PROFILE, or the server's of this host)")
      ->type_name("FILE");
}

void add_dry_run(CLI::App& app, Arguments& arguments) {
  app.add_flag("--dry-run", arguments.dry_run, "Say what would be done, and do nothing");
}

void add_rollout(CLI::App& app, FleetOptions& options) {
  app.add_option("ROLLOUT", options.rollout, "Which, as `segue rollout list` names it")->required();
  add_profile(app, options);
}

void add_signing(CLI::App& deploy, FleetOptions& options) {
  CLI::Option* sign = deploy
                          .add_option("--sign-with", options.signers,
                                      "Sign what is deployed with this private key; may be "
                                      "repeated")
                          ->allow_extra_args(false)
                          ->type_name("FILE");
  deploy
      .add_option("--passphrase-file", options.passphrase_file,
                  "The first line of this file is the passphrase of the private keys")
      ->type_name("FILE")
      ->needs(sign);
  deploy
      .add_option("--signatures", options.signatures,
                  "Deploy with the signatures that --write-signatures wrote")
      ->type_name("FILE");
  deploy
      .add_option("--write-signatures", options.write_signatures,
                  "Write the signatures there for who deploys, and deploy nothing")
      ->type_name("FILE")
      ->needs(sign);
}

void add_rollout_commands(CLI::App& program, Arguments& arguments, const AddCommand& add) {
  FleetOptions& options = arguments.fleet;
  CLI::App* rollout = program.add_subcommand("rollout", "How changes reach the hosts of a fleet");
  rollout->require_subcommand(1);
  add_profile(*add(Command::rollout_list, "list", "All of them, the newest last", rollout),
              options);
  add_rollout(*add(Command::rollout_show, "show", "How far one is, and what it waits for", rollout),
              options);
  CLI::App* watch =
      add(Command::rollout_watch, "watch", "The same, live until it is over", rollout);
  add_rollout(*watch, options);
  watch->add_flag("--log", options.log,
                  "A line for each change, also where stdout is a terminal, instead of a tree");
  const auto add_change = [&](Command command, const char* name, const char* text) {
    CLI::App* app = add(command, name, text, rollout);
    add_rollout(*app, options);
    app->add_option("--why", options.why, "For those who read the log")->type_name("TEXT");
    add_dry_run(*app, arguments);
    return app;
  };
  add_change(Command::rollout_pause, "pause", "Order nothing more until it is resumed");
  add_change(Command::rollout_resume, "resume", "Go on, also in spite of what stopped it");
  add_change(Command::rollout_promote, "promote", "Go on to the next step without waiting")
      ->add_flag("--all", options.all, "… and through all that follow");
  add_change(Command::rollout_undo, "undo", "Hand everything back to what ran before")
      ->alias("abort");
  add_change(Command::rollout_approve, "approve", "Let a step begin that asks for it");
}

}  // namespace

void add_fleet_commands(CLI::App& program, Arguments& arguments, const AddCommand& add) {
  FleetOptions& options = arguments.fleet;
  CLI::App* deploy =
      add(Command::deploy, "deploy", "Roll out what a segue.yaml says to its hosts", nullptr);
  deploy->add_option("FILE", options.file, "The file (segue.yaml)");
  deploy->add_option("--component", options.component, "Only this one of it")->type_name("NAME");
  deploy->add_option("--title", options.title, "What it is about, for people")->type_name("TEXT");
  add_signing(*deploy, options);
  deploy->add_flag("--dry-run", arguments.dry_run,
                   "Say what would be rolled out to which hosts, and change nothing");
  add_profile(*deploy, options);
  add_rollout_commands(program, arguments, add);
  CLI::App* hosts = add(Command::hosts, "hosts", "The hosts of the fleet", nullptr);
  add_profile(*hosts, options);
  CLI::App* remove =
      add(Command::host_remove, "remove",
          "Take HOST, or a relay, out of the fleet: its certificate counts no more", hosts);
  remove->add_option("HOST", options.host, "Which, as `segue hosts` names it")->required();
  remove->add_flag("--force", options.force,
                   "Also while components run there: they go on with nobody to lead them");
  add_dry_run(*remove, arguments);
  add_profile(*remove, options);
  add_profile(*add(Command::instances, "ps", "What runs on the hosts of the fleet", nullptr),
              options);
  CLI::App* logs =
      add(Command::logs, "logs", "What the instances of COMPONENT have printed", nullptr);
  logs->add_option("COMPONENT", options.component, "Which, as `segue ps` names it")->required();
  logs->add_option("--host", options.host, "Only on this one")->type_name("NAME");
  logs->add_flag("--canary", options.canary, "Only of the canary's slot");
  logs->add_option("-n,--lines", options.lines, "The last so many of each instance (100)")
      ->check(CLI::Range(1, 1'000))
      ->type_name("N");
  logs->add_flag("-f,--follow", arguments.follow, "Go on as more is printed");
  add_profile(*logs, options);
  CLI::App* drain = add(Command::drain, "drain", "Roll out nothing more to HOST", nullptr);
  drain->add_option("HOST", options.host, "Which, as `segue hosts` names it")->required();
  drain->add_flag("--off", options.off, "From now on again");
  add_profile(*drain, options);
  add_dry_run(*drain, arguments);
  CLI::App* token =
      add(Command::token_create, "token", "A token that lets a host join the fleet", nullptr);
  token->add_option("--site", options.site, "Its hosts are of this site (they say so themselves)")
      ->type_name("NAME");
  token->add_flag("--relay", options.relay,
                  "It lets relays join, which speak for the site's hosts (`segue relay agents`)");
  token->add_option("--uses", options.uses, "For so many hosts (1)")
      ->check(CLI::Range(1, 100'000))
      ->type_name("N");
  token->add_option("--lifetime-s", options.lifetime_s, "Valid for so long (3,600)")
      ->check(CLI::Range(1, 30 * 86'400))
      ->type_name("N");
  add_profile(*token, options);
  add_dry_run(*token, arguments);
}

}  // namespace segue::cli
