// SPDX-License-Identifier: Apache-2.0
#include "cli/program.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>

#include "cli/commands.h"
#include "cli/component_file.h"
#include "cli/confined_program.h"
#include "cli/container_program.h"

namespace segue::cli {
namespace {

using control::ExitCode;

// Whether events or a history are asked of the fleet, and not of a component on this host.
bool is_of_fleet(const Arguments& arguments) {
  const FleetOptions& fleet = arguments.fleet;
  return arguments.name.empty() || fleet.fleet || !fleet.profile.empty() || !fleet.object.empty();
}

ExitCode dispatch(const Context& context, const Services& services) {
  switch (context.arguments.command) {
    case Command::run:
      return run(context);
    case Command::upgrade:
    case Command::rehearse:
    case Command::undo:
    case Command::stop:
      return change(context);
    case Command::status:
      return show_status(context);
    case Command::history:
      return is_of_fleet(context.arguments) ? show_fleet(context) : show_history(context);
    case Command::events:
      return is_of_fleet(context.arguments) ? show_fleet(context) : show_events(context);
    case Command::doctor:
      return context.arguments.name.empty() ? doctor(context) : survey(context);
    case Command::keeper_upgrade:
      return upgrade_keeper(context);
    case Command::completion:
      return print_completion(context);
    case Command::manual:
      return print_manual(context);
    case Command::adopt:
      return adopt(context);
    case Command::release_unit:
      return release_unit(context);
    case Command::keeper_start:
      return run(context);
    case Command::eject:
      return eject(context);
    case Command::metrics:
      return show_metrics(context);
    case Command::key_make:
    case Command::key_inspect:
    case Command::key_root:
    case Command::key_rotate:
    case Command::key_sign:
      return manage_keys(context);
    case Command::tuf_init:
    case Command::tuf_refresh:
    case Command::tuf_download:
      return tuf_client(context);
    case Command::stage:
      return stage_release(context);
    case Command::go_live:
      return go_live(context);
    case Command::verify:
      return verify_place(context);
    case Command::plan_create:
    case Command::plan_list:
    case Command::plan_show:
    case Command::plan_cancel:
    case Command::plan_fetch:
      return manage_plans(context);
    case Command::agent:
      return agent(context, services.agent);
    case Command::publish:
      return publish(context);
    case Command::releases:
      return show_releases(context);
    case Command::diff_releases:
      return diff_releases(context);
    case Command::make_deltas:
      return make_deltas(context);
    case Command::collect_garbage:
      return collect_garbage(context);
    case Command::pin_releases:
      return pin_releases(context);
    case Command::renew_metadata:
      return renew_metadata(context);
    case Command::write_image:
      return write_image(context);
    case Command::serve_library:
      return serve_library(context, services.serve);
    case Command::deploy:
      return deploy(context);
    case Command::hosts:
    case Command::host_remove:
    case Command::instances:
    case Command::drain:
    case Command::token_create:
    case Command::rollout_list:
    case Command::rollout_pause:
    case Command::rollout_resume:
    case Command::rollout_promote:
    case Command::rollout_undo:
    case Command::rollout_approve:
      return ask_fleet(context);
    case Command::rollout_show:
    case Command::rollout_watch:
      return show_rollout(context);
    case Command::logs:
      return show_logs(context);
    case Command::person_list:
    case Command::person_set:
    case Command::person_remove:
    case Command::webhook_list:
    case Command::webhook_add:
    case Command::webhook_remove:
    case Command::webhook_test:
    case Command::emergency_stop:
      return manage_people(context);
    case Command::audit_list:
    case Command::audit_verify:
      return audit(context);
    case Command::share:
      return share(context);
    case Command::build:
      return build(context, services.build);
    case Command::relay:
      return relay(context, services.relay);
    case Command::relay_agents:
      return relay_agents(context, services.agent_relay);
    case Command::relay_status:
      return relay_status(context);
    case Command::check_file:
      return check_file(context);
    case Command::import_compose:
      return import_compose(context);
  }
  return ExitCode::usage;
}

// What redraws itself does so where it prints: the status on stdout, the progress on stderr.
bool draws_on_terminal(const Arguments& arguments) {
  return ::isatty(arguments.command == Command::status ? STDOUT_FILENO : STDERR_FILENO) == 1;
}

}  // namespace

int run_program(int argc, char** argv, const Services& services) {
  ::signal(SIGPIPE, SIG_IGN);
  const ParsedArguments parsed = parse_arguments(std::vector<std::string>(argv + 1, argv + argc));
  if (!parsed.arguments) {
    if (parsed.usage.exit == ExitCode::done) {
      fmt::print("{}\n", parsed.usage.text);
      return 0;
    }
    return static_cast<int>(
        Output({.json = parsed.json}).finish(parsed.usage.exit, parsed.usage.text));
  }
  Arguments arguments = *parsed.arguments;
  Output output({.json = arguments.json, .is_terminal = draws_on_terminal(arguments)});
  if (const auto applied = apply_component_file(arguments); !applied) {
    return static_cast<int>(output.finish(ExitCode::usage, applied.error().message()));
  }
  if (const auto expanded = expand_container(arguments); !expanded) {
    return static_cast<int>(output.fail(expanded.error()));
  }
  if (const auto expanded = expand_confinement(arguments); !expanded) {
    return static_cast<int>(output.fail(expanded.error()));
  }
  const auto folders = ComponentFolders::of_this_user();
  if (!folders) return static_cast<int>(output.fail(folders.error()));
  return static_cast<int>(dispatch({arguments, *folders, output}, services));
}

}  // namespace segue::cli
