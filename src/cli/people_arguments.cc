// SPDX-License-Identifier: Apache-2.0
#include "cli/people_arguments.h"

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

void add_persons(CLI::App& program, Arguments& arguments, const AddCommand& add) {
  FleetOptions& options = arguments.fleet;
  CLI::App* person = program.add_subcommand("person", "Who may do what in a fleet");
  person->require_subcommand(1);
  add_profile(*add(Command::person_list, "list", "All of them, and their rights", person), options);
  CLI::App* set = add(Command::person_set, "set",
                      "Give PERSON these rights, and a new token, which is printed once", person);
  set->add_option("PERSON", options.person, "A name; of a program, too")->required();
  set->add_option("--right", options.rights, "May be repeated; everybody may view")
      ->check(CLI::IsMember({"view", "deploy", "approve", "sign", "administer"}))
      ->allow_extra_args(false)
      ->type_name("RIGHT");
  set->add_option("--component", options.components,
                  "Only of this component; may be repeated (all of them)")
      ->allow_extra_args(false)
      ->type_name("COMPONENT");
  set->add_option("--key", options.keys,
                  "With --right sign: a public key that they sign with, FILE.pub of `segue key "
                  "make`; may be repeated")
      ->allow_extra_args(false)
      ->type_name("FILE");
  set->add_option("--write", options.write, "Write a profile for them instead of the token")
      ->type_name("FILE");
  add_profile(*set, options);
  add_dry_run(*set, arguments);
  CLI::App* remove =
      add(Command::person_remove, "remove", "The token of PERSON is nobody's from now on", person);
  remove->add_option("PERSON", options.person, "As `segue person list` names them")->required();
  add_profile(*remove, options);
  add_dry_run(*remove, arguments);
}

void add_webhooks(CLI::App& program, Arguments& arguments, const AddCommand& add) {
  FleetOptions& options = arguments.fleet;
  CLI::App* webhook = program.add_subcommand("webhook", "Who is told what happens in a fleet");
  webhook->require_subcommand(1);
  add_profile(*add(Command::webhook_list, "list", "All of them, and how it goes", webhook),
              options);
  CLI::App* added = add(Command::webhook_add, "add",
                        "POST to URL what happens; prints once the secret that signs it", webhook);
  added->add_option("WEBHOOK", options.webhook, "A name")->required();
  added->add_option("URL", options.url, "https://…")->required();
  added
      ->add_option("--kind", options.kinds,
                   "Only these, as 'rollout' or 'rollout.done'; may be repeated (all)")
      ->allow_extra_args(false)
      ->type_name("KIND");
  add_profile(*added, options);
  add_dry_run(*added, arguments);
  const auto add_named = [&](Command command, const char* name, const char* text) {
    CLI::App* app = add(command, name, text, webhook);
    app->add_option("WEBHOOK", options.webhook, "As `segue webhook list` names it")->required();
    add_profile(*app, options);
    return app;
  };
  add_dry_run(*add_named(Command::webhook_remove, "remove", "Tell it nothing more"), arguments);
  add_named(Command::webhook_test, "test", "Send one notification now, and say what came of it");
}

void add_audit(CLI::App& program, Arguments& arguments, const AddCommand& add) {
  FleetOptions& options = arguments.fleet;
  CLI::App* audit = program.add_subcommand("audit", "What was done in a fleet, and by whom");
  audit->require_subcommand(1);
  const auto add_source = [&](CLI::App& app) {
    add_profile(app, options);
    app.add_option("--store", options.store,
                   "Read this store and ask no server: sqlite:/DIR (nobody may lead with it "
                   "meanwhile), etcd://…")
        ->type_name("STORE");
  };
  CLI::App* list =
      add(Command::audit_list, "list", "The entries of the log, the newest last", audit);
  list->add_option("-n,--count", options.count, "The last N (50); 0: all")->type_name("N");
  add_source(*list);
  CLI::App* verify =
      add(Command::audit_verify, "verify",
          "Read all entries, and check that none was changed, taken out or put in between", audit);
  verify
      ->add_option("--expect", options.expect,
                   "A digest that was written down elsewhere: it has to be that of an entry")
      ->type_name("DIGEST");
  add_source(*verify);
}

}  // namespace

void add_fleet_view(CLI::App& app, FleetOptions& options) {
  app.add_flag("--fleet", options.fleet,
               "Of the fleet, not of a component on this host; without NAME it is that anyway");
  add_profile(app, options);
}

void add_people_commands(CLI::App& program, Arguments& arguments, const AddCommand& add) {
  FleetOptions& options = arguments.fleet;
  add_persons(program, arguments, add);
  add_webhooks(program, arguments, add);
  add_audit(program, arguments, add);
  CLI::App* stop = add(Command::emergency_stop, "emergency-stop",
                       "Order nothing more anywhere, not even back, until it is lifted", nullptr);
  stop->add_flag("--lift", options.off, "Go on");
  add_profile(*stop, options);
  add_dry_run(*stop, arguments);
}

}  // namespace segue::cli
