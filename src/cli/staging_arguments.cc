// SPDX-License-Identifier: Apache-2.0
#include "cli/staging_arguments.h"

#include <CLI/CLI.hpp>

namespace segue::cli {
namespace {

void add_wait(CLI::App& app, StagingOptions& options) {
  app.add_option("--wait-s", options.wait_s, "How long to wait for another who works on it (30)")
      ->check(CLI::Range(0, 86'400))
      ->type_name("N");
}

void add_dry_run(CLI::App& app, Arguments& arguments) {
  app.add_flag("--dry-run", arguments.dry_run, "Say what would be done, and change nothing");
}

void add_stage(Arguments& arguments, const AddCommand& add) {
  StagingOptions& options = arguments.staging;
  CLI::App* app = add(Command::stage, "stage",
                      "Fetch a release and put it beside the live tree, ready to go live", nullptr);
  app->add_option("COMPONENT", options.component, "What it is a release of")->required();
  app->add_option("VERSION", options.version, "Which release")->required();
  app->add_option("--library", options.library, "The release library")
      ->required()
      ->type_name("URL|DIR");
  app->add_option("--place", options.place, "The directory that holds the live tree as DIR/live")
      ->required()
      ->type_name("DIR");
  app->add_option("--root", options.root,
                  "The root.json to trust, from a source that you trust; needed the first time")
      ->type_name("FILE");
  app->add_option("--writable", options.writable,
                  "Files that the application writes to in place: never shared with the live tree. "
                  "A path, a folder, or a pattern; may be repeated")
      ->allow_extra_args(false)
      ->type_name("PATH");
  app->add_option("--share", options.share,
                  "What becomes of files that do not change: hardlink (default; a reflink where "
                  "there are any), reflink (else a copy), copy")
      ->check(CLI::IsMember({"hardlink", "reflink", "copy"}));
  app->add_option("--delta-wait-s", options.delta_wait_s,
                  "How long to wait, at most, for a delta that is being made; then chunks (900)")
      ->check(CLI::Range(0, 86'400))
      ->type_name("N");
  app->add_option("--max-bytes-per-s", options.max_bytes_per_s, "Not faster than this")
      ->type_name("N");
  app->add_option("--go-live-at", options.go_live_at,
                  "When it is to go live: relays fetch first what goes live first")
      ->type_name("TIME");
  add_wait(*app, options);
  add_dry_run(*app, arguments);
}

void add_go_live(Arguments& arguments, const AddCommand& add) {
  StagingOptions& options = arguments.staging;
  CLI::App* app = add(Command::go_live, "go-live",
                      "Make a staged tree the live one, by one rename; or take that back", nullptr);
  app->add_option("DIR", options.place, "The place")->required();
  app->add_option("VERSION", options.version, "Which one, if several wait");
  app->add_option("--component", options.component, "Of which component");
  app->add_flag("--undo", options.undo, "Back to the tree that was live before");
  app->add_option("--if-live", options.if_live,
                  "With --undo: only if VERSION is live, so that it can be repeated")
      ->type_name("VERSION");
  app->add_option(
         "--check", options.check,
         "What to read again before: changed (default; files that were touched), all, none")
      ->check(CLI::IsMember({"changed", "all", "none"}));
  app->add_option("--program", options.program,
                  "With --json: say which digest the release has for this file of it, for "
                  "`segue run --program-digest`")
      ->type_name("PATH");
  add_wait(*app, options);
  add_dry_run(*app, arguments);
}

}  // namespace

void add_staging_commands(Arguments& arguments, const AddCommand& add) {
  StagingOptions& options = arguments.staging;
  add_stage(arguments, add);
  add_go_live(arguments, add);
  CLI::App* verify =
      add(Command::verify, "verify", "Compare the trees of a place with what was signed", nullptr);
  verify->add_option("DIR", options.place, "The place")->required();
  verify->add_flag("--quick", options.quick, "Read only files that were touched since");
  add_wait(*verify, options);
}

}  // namespace segue::cli
