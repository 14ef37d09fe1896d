// SPDX-License-Identifier: Apache-2.0
#include "cli/build_arguments.h"

#include <CLI/CLI.hpp>

namespace segue::cli {

using control::BuildCommand;

void add_build_commands(CLI::App& program, Arguments& arguments, const AddCommand& add) {
  control::BuildOptions& options = arguments.build;
  CLI::App* build = program.add_subcommand(
      "build", "Watch git repositories; build, test and publish what is committed");
  build->require_subcommand(1);
  const auto add_one = [&](BuildCommand command, const char* name, const char* text) {
    CLI::App* app = add(Command::build, name, text, build);
    app->parse_complete_callback([&options, command] { options.command = command; });
    app->add_option("--config", options.config,
                    "The builder's configuration (/etc/segue/builder.yaml)")
        ->type_name("FILE");
    app->add_option("--state", options.state, "The builder's folder (as configured)")
        ->type_name("DIR");
    return app;
  };
  const auto add_dry_run = [&](CLI::App* app) {
    app->add_flag("--dry-run", arguments.dry_run, "Say what would be done, and do nothing");
  };

  CLI::App* run =
      add_one(BuildCommand::run, "run", "Watch the repositories and build, until ended");
  run->add_flag("--once", options.once, "End as soon as nothing is left to build");
  run->add_option("--unsafe-kill-at", options.unsafe_kill_at,
                  "UNSAFE, for tests: the builder is killed before its so many-th change")
      ->type_name("N");
  add_dry_run(run);

  add_one(BuildCommand::status, "status", "The builds, and what became of them")
      ->add_option("REPOSITORY", options.repository, "Only of this one");

  CLI::App* log = add_one(BuildCommand::log, "log", "What the build of a commit printed");
  log->add_option("COMMIT", options.commit, "Its first digits, or the build's number")->required();
  log->add_flag("-f,--follow", options.follow, "Go on until it ends");

  CLI::App* notify =
      add_one(BuildCommand::notify, "notify", "Tell the builder that something was pushed");
  notify->add_option("REPOSITORY", options.repository, "Its name in the configuration")->required();
  notify->add_option("REF", options.ref, "Such as refs/heads/main");
  notify->add_option("COMMIT", options.commit, "The whole of it; without it what the refs name");
  add_dry_run(notify);

  CLI::App* hook = add_one(BuildCommand::hook, "hook",
                           "Let the post-receive hook of a repository tell the builder");
  hook->add_option("FOLDER", options.repository, "The repository, bare or not")->required();
  hook->add_option("--name", options.name, "Its name in the builder's configuration")
      ->type_name("REPOSITORY")
      ->required();
  hook->add_flag("--force", arguments.force, "Also over another hook");
  add_dry_run(hook);
}

}  // namespace segue::cli
