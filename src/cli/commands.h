// SPDX-License-Identifier: Apache-2.0
// What each command does. All return the exit code; what they say goes through `output`.
#pragma once

#include "cli/arguments.h"
#include "cli/component_folder.h"
#include "cli/output.h"

namespace segue::cli {

struct Context {
  const Arguments& arguments;
  const ComponentFolders& folders;
  Output& output;
};

control::ExitCode run(const Context& context);     // also keeper start
control::ExitCode change(const Context& context);  // upgrade, rehearse, undo, stop
control::ExitCode show_status(const Context& context);
control::ExitCode show_history(const Context& context);
control::ExitCode show_events(const Context& context);
control::ExitCode doctor(const Context& context);
control::ExitCode survey(const Context& context);  // doctor NAME|PID
control::ExitCode upgrade_keeper(const Context& context);
control::ExitCode print_completion(const Context& context);
control::ExitCode print_manual(const Context& context);
control::ExitCode adopt(const Context& context);
control::ExitCode release_unit(const Context& context);
control::ExitCode eject(const Context& context);
control::ExitCode show_metrics(const Context& context);
control::ExitCode manage_keys(const Context& context);  // key …
control::ExitCode tuf_client(const Context& context);   // tuf-client …
control::ExitCode stage_release(const Context& context);
control::ExitCode go_live(const Context& context);
control::ExitCode verify_place(const Context& context);
control::ExitCode manage_plans(const Context& context);  // plan …
control::ExitCode agent(const Context& context, const control::RunAgent& run);
control::ExitCode publish(const Context& context);
control::ExitCode make_deltas(const Context& context);  // deltas
control::ExitCode show_releases(const Context& context);
control::ExitCode diff_releases(const Context& context);
control::ExitCode collect_garbage(const Context& context);                               // gc
control::ExitCode pin_releases(const Context& context);                                  // pin
control::ExitCode renew_metadata(const Context& context);                                // renew
control::ExitCode write_image(const Context& context);                                   // image
control::ExitCode serve_library(const Context& context, const control::RunServer& run);  // server
control::ExitCode relay_agents(const Context& context, const control::RunAgentRelay& run);
control::ExitCode relay_status(const Context& context);
control::ExitCode check_file(const Context& context);      // check
control::ExitCode import_compose(const Context& context);  // import
control::ExitCode relay(const Context& context, const control::RunRelay& run);
control::ExitCode deploy(const Context& context);
control::ExitCode ask_fleet(const Context& context);     // rollout …, hosts, ps, drain, token
control::ExitCode show_rollout(const Context& context);  // rollout show, rollout watch
control::ExitCode share(const Context& context);
control::ExitCode share_by_proxy(const Context& context);                       // … of HAProxy
control::ExitCode build(const Context& context, const control::RunBuild& run);  // build …
control::ExitCode show_logs(const Context& context);
control::ExitCode show_fleet(const Context& context);     // events, history of the fleet
control::ExitCode audit(const Context& context);          // audit …
control::ExitCode manage_people(const Context& context);  // person …, webhook …, emergency-stop

// The state of one component, for checks before a change.
base::Result<Json> ask_status(const ComponentFolders& folders, const std::string& name);

}  // namespace segue::cli
