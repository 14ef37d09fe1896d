// SPDX-License-Identifier: Apache-2.0
#include "cli/plan_arguments.h"

#include <CLI/CLI.hpp>

#include "cli/library_arguments.h"

namespace segue::cli {
namespace {

constexpr int kMaxSpanS = 31 * 86'400;

void add_directory(CLI::App& app, PlanOptions& options) {
  app.add_option("--state", options.directory, "Where plans are kept (/var/lib/segue/plans)")
      ->type_name("DIR");
}

// Where plans are read from, a directory or a library.
void add_reading(CLI::App& app, Arguments& arguments) {
  add_directory(app, arguments.plan);
  LibraryOptions& options = arguments.library;
  app.add_option("--library", options.library, "… in this release library instead")
      ->type_name("URL|DIR");
  app.add_option("--root", options.root,
                 "The root.json to trust, from a source that you trust; for a URL, the first time")
      ->type_name("FILE");
}

// … and written to.
void add_changing(CLI::App& app, Arguments& arguments) {
  add_directory(app, arguments.plan);
  LibraryOptions& options = arguments.library;
  app.add_option("--library", options.library,
                 "… in this release library instead, signed, for every host that reads it")
      ->type_name("DIR");
  add_root(app, options);
  add_signing(app, options);
  add_writing(app, arguments);
}

void add_list(CLI::App& app, const std::string& name, std::vector<std::string>& place,
              const std::string& type, const std::string& text) {
  app.add_option(name, place, text)->allow_extra_args(false)->type_name(type);
}

void add_span(CLI::App& app, const std::string& name, std::uint32_t& place,
              const std::string& text) {
  app.add_option(name, place, text)->check(CLI::Range(0, kMaxSpanS))->type_name("S");
}

void add_create(CLI::App& plan, Arguments& arguments, const AddCommand& add) {
  PlanOptions& options = arguments.plan;
  CLI::App* create = add(Command::plan_create, "create",
                         "Let a version go live at a preset time; show the steps", &plan);
  create->add_option("--component", options.component, "What goes live")
      ->required()
      ->type_name("C");
  create->add_option("--version", options.version, "Its version, which need not be built yet")
      ->required()
      ->type_name("V");
  create
      ->add_option("--at", options.at,
                   "When: '2026-12-01T02:00 Asia/Shanghai', '02:00 local' (each site's own time), "
                   "'2026-12-01T02:00:00+08:00', '+30m'")
      ->required()
      ->type_name("TIME");
  add_list(*create, "--site", options.sites, "NAME=ZONE",
           "A site and its time zone (default: one site 'default' in this host's zone)");
  add_list(*create, "--window", options.windows, "WINDOW",
           "Only then, on the site's clocks: 'Mon-Fri 01:00-05:00'; may be repeated");
  add_list(*create, "--freeze", options.freezes, "FROM..TO=REASON",
           "Not then: '2026-12-24T00:00 local..2027-01-02T00:00 local=holidays'");
  create
      ->add_option("--missed", options.missed,
                   "If a host cannot act in time: skip (default), next-window, at-once")
      ->check(CLI::IsMember({"skip", "next-window", "at-once"}));
  add_span(*create, "--late-limit-s", options.late_limit_s, "So late is not missed (600)");
  add_span(*create, "--staging-takes-s", options.staging_estimate_s,
           "How long staging takes, for the alarm that it will be late (1,800)");
  add_span(*create, "--publishing-freeze-s", options.publishing_freeze_s,
           "So long before, nothing of the component is published (600)");
  add_span(*create, "--go-live-limit-s", options.go_live_limit_s,
           "An interrupted go-live older than this is undone (900)");
  create->add_option("--id", options.id, "The plan's name (default: component, version and time)");
  create->add_flag("--delegate", arguments.library.delegate,
                   "Plans get the keys of --sign-with plans=…, in place of those they have");
  add_changing(*create, arguments);
}

void add_fetch(CLI::App& plan, Arguments& arguments, const AddCommand& add) {
  PlanOptions& options = arguments.plan;
  LibraryOptions& library = arguments.library;
  CLI::App* fetch = add(Command::plan_fetch, "fetch",
                        "Fetch the plans of a release library, verified, into a directory", &plan);
  fetch->add_option("--library", library.library, "The release library")
      ->required()
      ->type_name("URL|DIR");
  fetch->add_option("--into", options.into, "The directory, which holds nothing else")
      ->required()
      ->type_name("DIR");
  fetch
      ->add_option("--root", library.root,
                   "The root.json to trust, from a source that you trust; needed the first time")
      ->type_name("FILE");
  add_list(*fetch, "--component", options.components, "C",
           "Only its plans; may be repeated (default: those of all)");
  fetch->add_flag("--dry-run", arguments.dry_run, "Say what would be done, and write no plan");
}

}  // namespace

void add_plan_commands(CLI::App& program, Arguments& arguments, const AddCommand& add) {
  PlanOptions& options = arguments.plan;
  CLI::App* plan = program.add_subcommand("plan", "What goes live where and when");
  plan->require_subcommand(1);
  add_create(*plan, arguments, add);

  CLI::App* list = add(Command::plan_list, "list", "The plans, in the order of their times", plan);
  list->add_option("--component", options.component, "Those of one component")->type_name("C");
  add_reading(*list, arguments);

  CLI::App* show =
      add(Command::plan_show, "show", "The steps of a plan, and what hosts told about it", plan);
  show->add_option("ID", options.id, "The plan")->required();
  add_reading(*show, arguments);

  CLI::App* cancel = add(Command::plan_cancel, "cancel",
                         "Call a plan off, at every host where it has not begun", plan);
  cancel->add_option("ID", options.id, "The plan")->required();
  cancel->add_option("--reason", options.reason, "Why, for whoever looks later")->type_name("TEXT");
  add_changing(*cancel, arguments);
  add_fetch(*plan, arguments, add);
}

}  // namespace segue::cli
