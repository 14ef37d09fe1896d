// SPDX-License-Identifier: Apache-2.0
#include "cli/container_arguments.h"

#include <string>
#include <vector>

#include "control/confinement_options.h"

namespace segue::cli {
namespace {

CLI::Option* add(CLI::App& app, Arguments& arguments, const std::string& key,
                 const std::string& text, const std::string& type) {
  return app
      .add_option_function<std::vector<std::string>>(
          "--" + key,
          [&arguments, key](const std::vector<std::string>& values) {
            for (const auto& value : values) {
              const auto assigned =
                  control::assign_container_option(key, value, arguments.container);
              if (!assigned) {
                throw CLI::ValidationError("--" + key, assigned.error().message());
              }
            }
          },
          text)
      ->allow_extra_args(false)
      ->type_name(type);
}

}  // namespace

void add_container_options(CLI::App& app, Arguments& arguments) {
  app.add_option(
         "--container", arguments.container.image,
         "Run it in a container of this image; behind -- stand the arguments of its program")
      ->type_name("IMAGE");
  std::vector<CLI::Option*> options = {
      add(app, arguments, "engine", "The Docker Engine API (Podman's or Docker's usual socket)",
          "unix:///PATH"),
      add(app, arguments, "network",
          "none (default: what it listens on comes from --listen), host, bridge", "MODE"),
      add(app, arguments, "cap-drop", "All capabilities are dropped, said or not", "all"),
      add(app, arguments, "cap-add", "One that it keeps, as NET_BIND_SERVICE; may be repeated",
          "NAME"),
      add(app, arguments, "publish", "A port of the host on a bridge; may be repeated",
          "ADDRESS:HOST_PORT:PORT"),
      add(app, arguments, "image-id", "What IMAGE was when it was chosen, if not what it is now",
          "sha256:…"),
      add(app, arguments, "mount", "A path of the host, as /srv/data:/data:ro; may be repeated",
          "SOURCE:TARGET[:ro]"),
      add(app, arguments, "user", "Another user than the image's", "USER[:GROUP]")};
  options.push_back(app.add_flag("--writable-root", arguments.container.is_root_writable,
                                 "Its own copy of the image's files may be changed"));
  for (CLI::Option* option : options) option->needs("--container");
  // Of a process, too.
  add(app, arguments, "memory", "Its limit of memory, as 512m", "BYTES");
  add(app, arguments, "cpus", "Its limit of CPU time, as 0.5", "N");
  add(app, arguments, "nofile", "How many descriptors it may have open (a container: 16,384)", "N");
  add(app, arguments, "pids", "How many processes it may have", "N");
  add(app, arguments, "secret",
      "A file of the host, mode 0400, that is at $SEGUE_SECRETS/NAME, in a container at "
      "/run/secrets/NAME; may be repeated",
      "NAME=/PATH");
  app.add_option("--program-digest", arguments.program_digest,
                 "Of a process: start PROGRAM, also after a crash, only while its file is this one")
      ->excludes("--container")
      ->check([](const std::string& digest) {
        const auto checked = control::check_program_digest(digest);
        return checked ? std::string() : checked.error().message();
      })
      ->type_name("sha256:…");
  app.add_option("--start-link", arguments.start_link,
                 "Make FILE a link to what starts it, and start it by that name: by it this "
                 "program is told from others")
      ->type_name("FILE");
}

}  // namespace segue::cli
