// SPDX-License-Identifier: Apache-2.0
#include "cli/service_arguments.h"

#include <CLI/CLI.hpp>

namespace segue::cli {

void add_service_commands(Arguments& arguments, const AddCommand& add) {
  CLI::App* check = add(Command::check_file, "check",
                        "Whether a segue.yaml is right, and what it means", nullptr);
  check->add_option("FILE", arguments.service.file, "The file (segue.yaml)");
  check->footer(
      "Of a service's file it prints what would be deployed, with all that the file leaves to "
      "Segue. Everything that is wrong is said at once, each with its line. No server is asked.");

  CLI::App* import =
      add(Command::import_compose, "import", "Write a segue.yaml from a compose.yaml", nullptr);
  import->add_option("FILE", arguments.service.compose, "The compose.yaml")->required();
  import
      ->add_option("-o,--output", arguments.service.output,
                   "Where to write it, to a file that is not there yet; without it, on stdout")
      ->type_name("FILE");
  import->add_option("--name", arguments.service.name, "The service's name (the file's own)")
      ->type_name("NAME");
  import
      ->add_option("--volumes", arguments.service.volumes,
                   "The directory of the hosts in which the engine's named volumes are to be, each "
                   "under its name")
      ->type_name("DIR");
  import->add_flag("--dry-run", arguments.dry_run, "Say what would be written, and write nothing");
  import->footer(
      "Takes over what means the same to Segue. Every other key is refused with its line and why, "
      "all at once, and nothing is written.");
}

}  // namespace segue::cli
