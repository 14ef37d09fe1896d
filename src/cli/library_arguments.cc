// SPDX-License-Identifier: Apache-2.0
#include "cli/library_arguments.h"

#include <CLI/CLI.hpp>

namespace segue::cli {
namespace {

void add_library(CLI::App& app, LibraryOptions& options) {
  app.add_option("--library", options.library, "The directory of the release library")
      ->required()
      ->type_name("DIR");
}

void add_number(CLI::App& app, const std::string& name, std::uint32_t& place, std::uint32_t min,
                std::uint32_t max, const std::string& text) {
  app.add_option(name, place, text)->check(CLI::Range(min, max))->type_name("N");
}

void add_number(CLI::App& app, const std::string& name, std::optional<std::uint32_t>& place,
                std::uint32_t min, std::uint32_t max, const std::string& text) {
  app.add_option_function<std::uint32_t>(
         name, [&place](std::uint32_t n) { place = n; }, text)
      ->check(CLI::Range(min, max))
      ->type_name("N");
}

void add_threads(CLI::App& app, LibraryOptions& options) {
  add_number(app, "--threads", options.threads, 1, 64,
             "Threads at work; a delta holds up to 500 MiB in each (one per processor)");
}

void add_publish(Arguments& arguments, const AddCommand& add) {
  LibraryOptions& options = arguments.library;
  CLI::App* app = add(Command::publish, "publish",
                      "Add a tree or a container image to a release library", nullptr);
  app->add_option("TREE|IMAGE", options.source,
                  "A directory, or an archive: `podman save`, `docker save`, OCI, a rootfs tar")
      ->required();
  app->add_option("--component", options.component, "What it is a release of")->required();
  app->add_option("--version", options.version, "The release's name, once and for ever")
      ->required();
  app->add_option("--commit", options.commit, "What it was built from");
  app->add_option("--plans", options.plans,
                  "Refuse while a plan of COMPONENT in this directory goes live, as while one in "
                  "the library does")
      ->type_name("DIR");
  add_root(*app, options);
  add_number(*app, "--deltas", options.deltas, 0, 16,
             "Make deltas from so many of the releases before it (3)");
  app->add_flag("--background-deltas", options.background_deltas,
                "End when the release is announced; a process of its own makes the deltas then");
  app->add_flag("--delegate", options.delegate,
                "COMPONENT gets the keys of --sign-with COMPONENT=…, in place of those it has");
  add_threads(*app, options);
  add_library(*app, options);
  add_signing(*app, options);
  add_writing(*app, arguments);
}

void add_server(Arguments& arguments, const AddCommand& add) {
  control::ServerOptions& options = arguments.server;
  CLI::App* app =
      add(Command::serve_library, "server",
          "Lead a fleet of hosts; with --library: serve a release library over HTTP", nullptr);
  app->add_option("--library", options.library,
                  "Serve the release library in this directory, and nothing else")
      ->type_name("DIR");
  app->add_option("--listen", options.listen,
                  "Where: ADDRESS:PORT (127.0.0.1:7444, of a library 127.0.0.1:8080); port 0: any")
      ->type_name("ADDRESS:PORT");
  app->add_option("--agents", options.agents, "Where agents attach (127.0.0.1:7443)")
      ->type_name("ADDRESS:PORT");
  app->add_option("--advertise", options.advertise,
                  "How agents reach this host: a name or an address (its own name)")
      ->type_name("HOST");
  app->add_option("--name", options.name, "This server among several (the host's name)")
      ->type_name("NAME");
  app->add_option("--state", options.state,
                  "Where its keys are, and what it knows (/var/lib/segue/server)")
      ->type_name("DIR");
  app->add_option("--store", options.store,
                  "Keep what it knows elsewhere: etcd://HOST:PORT,…/PREFIX for several servers")
      ->type_name("STORE");
  add_number(*app, "--certificate-hours", options.certificate_hours, 1, 8'760,
             "How long a host's certificate is valid; it renews at half of that (24)");
  add_number(*app, "--max-connections", options.max_connections, 1, 15'000,
             "Others wait until one of so many ends (256)");
  add_number(*app, "--idle-s", options.idle_s, 1, 3'600,
             "Cut off who sends no request for so long (30)");
  app->add_flag("--dry-run", arguments.dry_run, "Open the library and the port, and end");
}

}  // namespace

void add_writing(CLI::App& app, Arguments& arguments) {
  LibraryOptions& options = arguments.library;
  add_number(app, "--wait-s", options.wait_s, 0, 86'400,
             "How long to wait for another publisher (600)");
  app.add_flag("--dry-run", arguments.dry_run, "Say what would be done, and change nothing");
}

void add_signing(CLI::App& app, LibraryOptions& options) {
  app.add_option("--sign-with", options.signers,
                 "A private key: for COMPONENT, plans, targets, snapshot or timestamp")
      ->allow_extra_args(false)
      ->type_name("ROLE=FILE");
  app.add_option("--passphrase-file", options.passphrase_file,
                 "The first line of this file is the passphrase of the private keys")
      ->type_name("FILE");
  add_number(app, "--expires-days", options.expires_days, 1, 36'500,
             "How long releases and snapshot are valid (365)");
  add_number(app, "--timestamp-days", options.timestamp_days, 1, 36'500,
             "How long the timestamp is valid (7)");
}

void add_root(CLI::App& app, LibraryOptions& options) {
  app.add_option("--root", options.root,
                 "The root of a new library, or the next root of an old one (N.root.json)")
      ->type_name("FILE");
}

void add_library_commands(Arguments& arguments, const AddCommand& add) {
  LibraryOptions& options = arguments.library;
  add_publish(arguments, add);

  CLI::App* releases = add(Command::releases, "releases", "What a release library holds", nullptr);
  releases->add_option("COMPONENT", options.component, "Only this one's");
  add_library(*releases, options);

  CLI::App* diff = add(Command::diff_releases, "diff",
                       "What would travel from one release to another, per file, and why", nullptr);
  diff->add_option("COMPONENT", options.component, "The component")->required();
  diff->add_option("FROM", options.version, "The version that a host has")->required();
  diff->add_option("TO", options.to_version, "The version that it needs")->required();
  add_library(*diff, options);

  CLI::App* gc = add(Command::collect_garbage, "gc",
                     "Retire old releases, and remove what nobody needs any more", nullptr);
  add_number(*gc, "--keep", options.keep, 1, 1'000'000,
             "Retire releases beyond so many of each component (without it and --keep-days: none)");
  add_number(*gc, "--keep-days", options.keep_days, 0, 36'500,
             "Retire no release that is younger (without --keep: and all others but the newest)");
  add_number(*gc, "--grace-hours", options.grace_hours, 0, 87'600,
             "What was replaced stays so long, for who began to read before (24)");
  gc->add_option("--plans", options.plans,
                 "Keep what plans in this directory need, as what those in the library do")
      ->type_name("DIR");
  add_library(*gc, options);
  add_signing(*gc, options);
  add_writing(*gc, arguments);

  CLI::App* deltas = add(Command::make_deltas, "deltas",
                         "Make what `segue publish` has left of the deltas", nullptr);
  add_threads(*deltas, options);
  add_library(*deltas, options);
  add_signing(*deltas, options);
  add_writing(*deltas, arguments);

  CLI::App* pin =
      add(Command::pin_releases, "pin", "Keep releases from being retired, under a name", nullptr);
  pin->add_option("NAME", options.pin, "Who needs them: a plan, a host")->required();
  pin->add_option("RELEASE", options.releases, "COMPONENT/VERSION, in place of those it had");
  pin->add_flag("--remove", options.remove, "Nobody needs them any more");
  add_library(*pin, options);
  add_writing(*pin, arguments);

  add_server(arguments, add);

  CLI::App* image =
      add(Command::write_image, "image",
          "Make the container image that the tree of a release holds, or get one from a registry",
          nullptr);
  image
      ->add_option("DIR", options.source,
                   "The tree, as it was staged; or with --version the place that it waits in")
      ->required();
  image->add_option("--version", options.version, "The tree of this version in the place")
      ->type_name("V");
  image->add_option("--output", options.output, "Write what `podman load` reads; must not exist")
      ->type_name("FILE");
  image->add_flag("--load", options.load, "Load it into the container engine, if it is not there");
  image->add_flag("--pull", options.pull,
                  "DIR is the name of an image: get it from its registry, if it is not there");
  image
      ->add_option("--engine", options.engine,
                   "The Docker Engine API (Podman's or Docker's usual socket)")
      ->type_name("unix:///PATH");
  image->add_flag("--dry-run", arguments.dry_run,
                  "Put it together and check it, and write nothing");

  CLI::App* renew = add(Command::renew_metadata, "renew",
                        "Sign the timestamp anew, and the roles whose keys are at hand, before "
                        "they expire",
                        nullptr);
  add_library(*renew, options);
  add_signing(*renew, options);
  add_writing(*renew, arguments);
}

}  // namespace segue::cli
