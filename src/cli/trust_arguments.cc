// SPDX-License-Identifier: Apache-2.0
#include "cli/trust_arguments.h"

#include <CLI/CLI.hpp>

namespace segue::cli {
namespace {

void add_list(CLI::App& app, const std::string& name, std::vector<std::string>& place,
              const std::string& type, const std::string& text) {
  app.add_option(name, place, text)->allow_extra_args(false)->type_name(type);
}

void add_dry_run(CLI::App& app, Arguments& arguments) {
  app.add_flag("--dry-run", arguments.dry_run, "Say what would be done, and write nothing");
}

void add_passphrase(CLI::App& app, TrustOptions& options) {
  app.add_option("--passphrase-file", options.passphrase_file,
                 "The first line of this file is the passphrase of the private keys")
      ->type_name("FILE");
}

void add_signers(CLI::App& app, TrustOptions& options) {
  add_list(app, "--sign-with", options.signers, "FILE", "Sign with this private key");
  add_passphrase(app, options);
}

void add_root_options(CLI::App& app, TrustOptions& options) {
  add_list(app, "--add-key", options.add, "ROLE=FILE",
           "A key for root, targets, snapshot or timestamp");
  add_list(app, "--threshold", options.thresholds, "ROLE=N", "How many of its keys have to sign");
  app.add_option("--expires-days", options.expires_days, "How long it is valid (365)")
      ->check(CLI::Range(1, 36'500))
      ->type_name("N");
  add_signers(app, options);
}

void add_key_commands(CLI::App& program, Arguments& arguments, const AddCommand& add) {
  TrustOptions& options = arguments.trust;
  CLI::App* key = program.add_subcommand("key", "The keys that sign releases, and the root");
  key->require_subcommand(1);

  CLI::App* make =
      add(Command::key_make, "make", "Make a private key, and FILE.pub beside it", key);
  make->add_option("FILE", options.file, "Where the private key goes; must not exist")->required();
  make->add_option("--type", options.type, "ed25519 (default), ecdsa, rsa")
      ->check(CLI::IsMember({"ed25519", "ecdsa", "rsa"}));
  add_passphrase(*make, options);
  add_dry_run(*make, arguments);

  CLI::App* inspect = add(Command::key_inspect, "inspect",
                          "Say what is in a key, or in a file of signed metadata", key);
  inspect->add_option("FILE", options.file, "A private or public key, or metadata")->required();
  add_passphrase(*inspect, options);

  CLI::App* root = add(Command::key_root, "root", "Make the first root of a release library", key);
  root->add_option("FILE", options.file, "Where it goes, such as 1.root.json")->required();
  add_root_options(*root, options);
  add_dry_run(*root, arguments);

  CLI::App* rotate = add(Command::key_rotate, "rotate",
                         "Make the next root: other keys, other thresholds, a later expiry", key);
  rotate->add_option("ROOT", options.file, "The root before it")->required();
  rotate->add_option("--out", options.out, "Where it goes (N.root.json beside ROOT)")
      ->type_name("FILE");
  add_list(*rotate, "--remove-key", options.remove, "ROLE=KEY",
           "A key that the role loses: its id or its file");
  add_root_options(*rotate, options);
  add_dry_run(*rotate, arguments);

  CLI::App* sign = add(Command::key_sign, "sign", "Add signatures to a file of metadata", key);
  sign->add_option("FILE", options.file, "The file, which is replaced")->required();
  sign->add_option("--previous", options.previous,
                   "Of a root: the one before it, to count the signatures by its keys too")
      ->type_name("FILE");
  add_signers(*sign, options);
  add_dry_run(*sign, arguments);
}

void add_client_commands(CLI::App& program, Arguments& arguments, const AddCommand& add) {
  TrustOptions& options = arguments.trust;
  CLI::App* client = program.add_subcommand(
      "tuf-client", "Update from a TUF repository, as any client of the specification would");
  client->require_subcommand(1);
  client->add_option("--metadata-dir", options.metadata_dir, "Where trusted metadata is kept")
      ->type_name("DIR");
  client->add_option("--metadata-url", options.metadata_url, "Where metadata comes from")
      ->type_name("URL");
  add_list(*client, "--target-name", options.target_names, "PATH", "What to download");
  client->add_option("--target-base-url", options.target_base_url, "Where targets come from")
      ->type_name("URL");
  client->add_option("--target-dir", options.target_dir, "Where targets go")->type_name("DIR");

  CLI::App* init = add(Command::tuf_init, "init", "Trust the root in FILE", client);
  init->add_option("FILE", options.file, "A root.json from a source that you trust")->required();
  add_dry_run(*init, arguments);
  add_dry_run(*add(Command::tuf_refresh, "refresh", "Bring the metadata up to date", client),
              arguments);
  add_dry_run(*add(Command::tuf_download, "download", "Refresh, then download the targets", client),
              arguments);
}

}  // namespace

void add_trust_commands(CLI::App& program, Arguments& arguments, const AddCommand& add) {
  add_key_commands(program, arguments, add);
  add_client_commands(program, arguments, add);
}

}  // namespace segue::cli
