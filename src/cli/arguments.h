// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/command_text.h"
#include "cli/fleet_options.h"
#include "cli/library_options.h"
#include "cli/plan_options.h"
#include "cli/service_options.h"
#include "cli/share_options.h"
#include "cli/staging_options.h"
#include "cli/trust_options.h"
#include "control/agent_options.h"
#include "control/build_options.h"
#include "control/container_options.h"
#include "control/exit_code.h"
#include "control/options.h"
#include "control/relay_options.h"
#include "control/server_options.h"

namespace segue::cli {

enum class Command {
  run,
  upgrade,
  rehearse,
  undo,
  status,
  history,
  stop,
  events,
  doctor,
  keeper_upgrade,
  completion,
  manual,
  adopt,
  release_unit,
  keeper_start,
  eject,
  metrics,
  key_make,
  key_inspect,
  key_root,
  key_rotate,
  key_sign,
  tuf_init,
  tuf_refresh,
  tuf_download,
  stage,
  go_live,
  verify,
  plan_create,
  plan_list,
  plan_show,
  plan_cancel,
  plan_fetch,
  agent,
  publish,
  releases,
  diff_releases,
  make_deltas,
  collect_garbage,
  pin_releases,
  renew_metadata,
  serve_library,
  write_image,
  build,
  relay,
  relay_status,
  relay_agents,
  check_file,
  import_compose,
  share,
  deploy,
  hosts,
  host_remove,
  instances,
  logs,
  drain,
  token_create,
  rollout_list,
  rollout_show,
  rollout_watch,
  rollout_pause,
  rollout_resume,
  rollout_promote,
  rollout_undo,
  rollout_approve,
  person_list,
  person_set,
  person_remove,
  webhook_list,
  webhook_add,
  webhook_remove,
  webhook_test,
  audit_list,
  audit_verify,
  emergency_stop,
};

// What the command line says.
struct Arguments {
  Command command = Command::status;
  std::string name;
  std::vector<std::string> program;  // as it was typed
  std::string cwd;                   // empty: this process's
  std::vector<std::string> env;
  std::vector<std::string> settings;  // KEY=VALUE, in place of what the options say
  control::AttemptOptions attempt;
  control::RunOptions run;
  control::ContractOptions contract;
  control::ContainerOptions container;  // image empty: none
  std::string start_link;      // the name by which its helper is started; empty: the helper's own
  std::string program_digest;  // of a process; empty: whichever file is there
  std::string file;            // segue.yaml; empty: none
  bool json = false;
  bool dry_run = false;
  bool foreground = false;
  bool watch = false;
  bool follow = false;
  std::optional<std::size_t> last;  // of history; nullopt: everything
  bool force = false;
  std::string keeper;                        // as it was typed; empty: that of this installation
  std::string shell;                         // completion: empty asks for the components' names
  std::string unit;                          // adopt, release-unit
  std::string unit_upgrade;                  // adopt: a contract
  std::vector<std::string> run_options;      // adopt
  std::vector<std::string> upgrade_options;  // …
  std::string root;  // … below which systemd's folders are; empty: this system
  std::string page;  // manual: empty asks for the names of all
  TrustOptions trust;
  PlanOptions plan;
  control::AgentOptions agent;
  LibraryOptions library;
  control::ServerOptions server;
  control::RelayOptions relay;
  control::AgentRelayOptions agent_relay;
  std::string relay_url = "http://127.0.0.1:7411";
  StagingOptions staging;
  control::BuildOptions build;
  ServiceOptions service;
  ShareOptions share;
  FleetOptions fleet;
};

struct Usage {
  control::ExitCode exit;  // done where help was asked for
  std::string text;
};
// Either the arguments, or what to print instead of doing anything.
struct ParsedArguments {
  std::optional<Arguments> arguments;
  Usage usage{control::ExitCode::done, ""};
  bool json = false;
};
// Without argv[0].
ParsedArguments parse_arguments(std::vector<std::string> words);

// Everything that parse_arguments takes.
CommandText describe_arguments();

}  // namespace segue::cli
