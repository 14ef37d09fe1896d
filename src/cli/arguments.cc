// SPDX-License-Identifier: Apache-2.0
#include "cli/arguments.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>

#include "cli/agent_arguments.h"
#include "cli/build_arguments.h"
#include "cli/container_arguments.h"
#include "cli/fleet_arguments.h"
#include "cli/library_arguments.h"
#include "cli/people_arguments.h"
#include "cli/plan_arguments.h"
#include "cli/relay_arguments.h"
#include "cli/service_arguments.h"
#include "cli/share_arguments.h"
#include "cli/staging_arguments.h"
#include "cli/trust_arguments.h"
#include "config/near_names.h"

namespace segue::cli {
namespace {

using control::ExitCode;

constexpr const char* kRestOfLine =
    "Everything behind PROGRAM belongs to it. Options of segue stand before NAME.";

// Numbers that people give in seconds and the keeper takes in milliseconds.
CLI::Option* add_seconds(CLI::App& app, const std::string& name, std::uint32_t& milliseconds,
                         const std::string& text) {
  return app
      .add_option_function<double>(
          name, [&milliseconds](double s) { milliseconds = static_cast<std::uint32_t>(s * 1000); },
          text)
      ->check(CLI::Range(0.0, 86'400.0))
      ->type_name("S");
}

void add_number(CLI::App& app, const std::string& name, std::optional<std::uint32_t>& place,
                std::uint32_t min, std::uint32_t max, const std::string& text) {
  app.add_option_function<std::uint32_t>(
         name, [&place](std::uint32_t n) { place = n; }, text)
      ->check(CLI::Range(min, max))
      ->type_name("N");
}

class Parser {
 public:
  Parser() : app_("Upgrades running services without dropping a connection.", "segue") {
    app_.require_subcommand(1);
    app_.set_version_flag("--version", "segue " SEGUE_VERSION);
    add_run();
    add_change(Command::upgrade, "upgrade", "Hand NAME over to PROGRAM, the next version of it");
    add_change(Command::rehearse, "rehearse",
               "Try the handoff up to the switch, with the live state, and change nothing");
    add_undo();
    add_plain(Command::stop, "stop", "End NAME and its keeper", true)
        ->add_flag("--dry-run", arguments_.dry_run, "Say what would be done, and do nothing");
    CLI::App* status =
        add_plain(Command::status, "status", "What runs, and how an upgrade goes", false);
    status->add_flag("-w,--watch", arguments_.watch, "Go on showing it");
    CLI::App* history =
        add_plain(Command::history, "history",
                  "The upgrades of NAME on this host, or the rollouts of the fleet", false);
    history->add_option("--last", arguments_.last, "Only the newest N of them")
        ->type_name("N")
        ->check(CLI::PositiveNumber);
    add_fleet_view(*history, arguments_.fleet);
    CLI::App* events =
        add_plain(Command::events, "events",
                  "What the keeper of NAME did, or what happens in the fleet", false);
    events->add_flag("-f,--follow", arguments_.follow, "Go on as more happens");
    add_fleet_view(*events, arguments_.fleet);
    events
        ->add_option("--object", arguments_.fleet.object,
                     "Of the fleet only what is about this rollout or host")
        ->type_name("ID");
    add_plain(Command::metrics, "metrics", "The keeper's figures, for Prometheus", true);
    add_keeper();
    add_eject();
    add_plain(Command::doctor, "doctor",
              "What this host lacks; with a component or a process, what of it would not survive "
              "an upgrade",
              false, false)
        ->add_option("NAME|PID", arguments_.name, "A component, or the number of a process");
    add_unit_commands();
    const AddCommand add = [this](Command command, const std::string& name, const std::string& text,
                                  CLI::App* parent) {
      return add_plain(command, name, text, false, false, parent);
    };
    add_trust_commands(app_, arguments_, add);
    add_plan_commands(app_, arguments_, add);
    add_agent_command(app_, arguments_, add);
    add_library_commands(arguments_, add);
    add_staging_commands(arguments_, add);
    add_relay_commands(arguments_, add);
    add_build_commands(app_, arguments_, add);
    add_service_commands(arguments_, add);
    add_share_command(arguments_, add);
    add_fleet_commands(app_, arguments_, add);
    add_people_commands(app_, arguments_, add);
    add_texts();
  }

  [[nodiscard]] CommandText describe() const { return cli::describe(app_); }

  ParsedArguments parse(std::vector<std::string> words) {
    // `--` may stand before PROGRAM; CLI11 does not see what is behind it.
    const auto mark = std::find(words.begin(), words.end(), "--");
    std::vector<std::string> behind;
    const bool marked = mark != words.end();
    if (marked) {
      behind.assign(mark + 1, words.end());
      words.erase(mark, words.end());
    }
    ParsedArguments parsed;
    parsed.json = std::find(words.begin(), words.end(), "--json") != words.end();
    if (!words.empty() && !words.front().starts_with('-') && !is_command(words.front())) {
      parsed.usage = {ExitCode::usage, unknown_command(words.front())};
      return parsed;
    }
    if (std::any_of(words.begin(), words.end(), names_file)) {
      for (const auto& [app, command] : commands_) {
        if (takes_file(command)) app->get_option("NAME")->required(false);
      }
    }
    try {
      std::reverse(words.begin(), words.end());
      app_.parse(words);
    } catch (const CLI::Success& asked) {  // --help, --version
      parsed.usage = {ExitCode::done, help_for(asked)};
      return parsed;
    } catch (const CLI::ParseError& error) {
      parsed.usage = {ExitCode::usage, usage_error(error.what())};
      return parsed;
    }
    CLI::App* chosen = app_.get_subcommands().front();
    while (!chosen->get_subcommands().empty()) chosen = chosen->get_subcommands().front();
    arguments_.command = commands_.at(chosen);
    const auto problem = take_program(*chosen, marked, behind);
    if (!problem.empty()) {
      parsed.usage = {ExitCode::usage, usage_error(problem)};
      return parsed;
    }
    parsed.arguments = arguments_;
    return parsed;
  }

 private:
  CLI::App* add_plain(Command command, const std::string& name, const std::string& text,
                      bool name_required, bool has_name = true, CLI::App* parent = nullptr) {
    CLI::App* app = (parent == nullptr ? &app_ : parent)->add_subcommand(name, text);
    commands_[app] = command;
    app->add_flag("--json", arguments_.json, "Answer with JSON, one object per line");
    if (has_name) {
      CLI::Option* option = app->add_option("NAME", arguments_.name, "The component");
      if (name_required) option->required();
    }
    return app;
  }

  static bool takes_file(Command command) {
    return command == Command::run || command == Command::upgrade;
  }
  static bool names_file(const std::string& word) {
    return word == "--file" || word.starts_with("--file=");
  }

  [[nodiscard]] bool is_command(const std::string& word) const {
    const auto commands = app_.get_subcommands({});
    return word == "rollback" ||
           std::any_of(commands.begin(), commands.end(),
                       [&](const CLI::App* command) { return command->get_name() == word; });
  }

  [[nodiscard]] std::string unknown_command(const std::string& word) const {
    std::vector<std::string> names;
    names.reserve(commands_.size());
    for (const CLI::App* app : app_.get_subcommands({})) names.push_back(app->get_name());
    const auto near = config::near_names(word, names);
    return fmt::format("there is no command '{}'{}; see `segue --help`", word,
                       near.empty() ? "" : ", did you mean " + near.front() + "?");
  }

  void add_launch(CLI::App& app) {
    app.prefix_command();
    app.footer(kRestOfLine);
    app.add_option("--cwd", arguments_.cwd, "Working directory of PROGRAM (default: this one)");
    app.add_option("--env", arguments_.env, "One more variable of its environment, NAME=value")
        ->take_last()
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->expected(1)
        ->type_name("NAME=value");
    app.add_flag("--dry-run", arguments_.dry_run, "Check, say what would be done, and do nothing");
    app.add_option("--set", arguments_.settings,
                   "KEY=VALUE as on the keeper's command line, for programs that write ours")
        ->allow_extra_args(false)
        ->type_name("KEY=VALUE");
    add_container_options(app, arguments_);
  }

  void add_file(CLI::App& app) {
    app.add_option("--file", arguments_.file,
                   "Name, program and options stand in this file, as segue.yaml")
        ->type_name("FILE");
  }

  void add_run() {
    CLI::App* app =
        add_plain(Command::run, "run", "Start PROGRAM as component NAME, with a keeper", true);
    add_launch(*app);
    add_file(*app);
    app->add_flag("--foreground", arguments_.foreground, "Stay, and print what PROGRAM prints");
    add_seconds(*app, "--timeout", arguments_.run.start_ms,
                "How long it may take to be ready (30)");
    app->add_option("--max-restarts", arguments_.run.max_restarts,
                    "Given up after so many crashes in a row (10)");
    add_seconds(*app, "--grace-s", arguments_.run.grace_ms,
                "stop: asked, then SIGTERM, and after as long again SIGKILL (5)");
    app->add_option("--metrics-listen", arguments_.run.metrics_listen,
                    "Serve the keeper's /metrics there too (127.0.0.1:PORT)")
        ->type_name("HOST:PORT");
    app->add_option("--unsafe-fault", arguments_.run.unsafe_fault,
                    "UNSAFE, for tests: the keeper fails at a point (POINT:kill|stop|error)");
    add_contract_options(*app);
    add_health_options(*app);
  }

  // What a program that does not link libsegue can do: docs/programs.md.
  void add_contract_options(CLI::App& app) {
    control::ContractOptions& options = arguments_.contract;
    app.add_option("--upgrade", options.upgrade,
                   "What PROGRAM can do: libsegue (default), listeners, fdstore, signal, restart, "
                   "auto");
    app.add_option_function<std::vector<std::string>>(
           "--listen",
           [&options](const std::vector<std::string>& texts) {
             for (const auto& text : texts) {
               auto listen = control::parse_listen(text);
               if (!listen) throw CLI::ValidationError("--listen", listen.error().message());
               options.listen.push_back(*std::move(listen));
             }
           },
           "A socket that the keeper holds, as web=tcp:127.0.0.1:8080; may be repeated")
        ->allow_extra_args(false)
        ->type_name("NAME=ADDRESS");
    app.add_flag("--nonblocking", options.nonblocking,
                 "Those sockets are O_NONBLOCK, for programs that expect it (nginx's NGINX=)");
    app.add_option("--ready", options.ready,
                   "What shows that it serves: auto, notify, accepting, health, started");
    app.add_option("--stop-signal", options.stop_signal, "Asks it to end (TERM)");
    app.add_option_function<double>(
           "--drain-s",
           [&options](double s) { options.drain_ms = static_cast<std::uint32_t>(s * 1000); },
           "How long the old process may take to end (30; restart, fdstore: 5)")
        ->check(CLI::Range(0.0, 86'400.0))
        ->type_name("S");
    app.add_option("--reconnect-per-second", options.reconnect_per_second,
                   "At that limit, end so many connections a second (0: all at once)");
    app.add_option("--fd-store-max", options.fd_store_max, "Descriptors that it may store (128)");
    add_seconds(app, "--watchdog-s", options.watchdog_ms,
                "It has to say WATCHDOG=1 within S seconds, again and again");
    app.add_option("--upgrade-signal", options.upgrade_signal, "signal: starts the new binary");
    app.add_option("--new-pid", options.new_pid,
                   "signal: MAINPID, or the file where the new pid stands");
    app.add_option("--retire-signal", options.retire_signal,
                   "signal: the old process accepts nothing more");
    app.add_option("--resume-signal", options.resume_signal, "signal: it accepts again");
    app.add_option("--then-signal", options.then_signal, "signal: it ends (--stop-signal)");
  }

  void add_attempt_options(CLI::App& app) {
    control::AttemptOptions& options = arguments_.attempt;
    add_number(app, "--budget-us", options.budget_us, 10, 60'000'000,
               "The longest blackout in microseconds (10,000)");
    app.add_option_function<double>(
           "--budget-ms",
           [&options](double ms) { options.budget_us = static_cast<std::uint32_t>(ms * 1000); },
           "… in milliseconds (10)")
        ->check(CLI::Range(0.01, 60'000.0))
        ->type_name("MS");
    add_number(app, "--max-rounds", options.max_rounds, 1, 10'000, "Background rounds (30)");
    add_number(app, "--max-attempts", options.max_attempts, 1, 1'000, "Freezes (5)");
    add_number(app, "--background-ms", options.background_ms, 1, 86'400'000,
               "Limit of the background phase (300,000)");
    add_number(app, "--rehearsal-ms", options.rehearsal_ms, 1, 86'400'000,
               "… of the rehearsal (60,000)");
    add_number(app, "--answer-ms", options.answer_ms, 1, 86'400'000, "… of one answer (5,000)");
    add_number(app, "--hang-ms", options.hang_ms, 8, 86'400'000,
               "A successor silent for so long in probation is ended (3,000)");
    add_seconds(app, "--start-s", options.start_ms, "How long PROGRAM may take to be ready (30)");
    add_seconds(app, "--timeout", options.timeout_ms,
                "Give up if it is not active within S seconds");
    app.add_option("--retries", options.retries,
                   "Try again so often, where the failure may pass (0)")
        ->check(CLI::Range(0, 100))
        ->type_name("N");
    app.add_flag("--no-rehearsal", options.no_rehearsal, "Leave the rehearsal out");
    app.add_flag("--refuse-loss", options.refuse_loss,
                 "Refused where the other version cannot hold all of the state");
    app.add_flag("--queue", options.queue, "Wait for an upgrade under way");
    app.add_flag("--relay", options.relay, "Let the state go through the keeper");
    app.add_flag("--force", options.force,
                 "Also where old and new do not seem to fit on this host together");
    app.add_option("--max-parallel", options.max_parallel,
                   "How many attempts of all components may run here at once (2)")
        ->check(CLI::Range(1, 64))
        ->type_name("N");
    add_seconds(app, "--turn-s", options.turn_ms, "How long to wait for its turn then (600)");
    app.add_option_function<double>(
           "--max-load",
           [&options](double load) {
             options.max_load_percent = static_cast<std::uint32_t>(load * 100);
           },
           "Refused beyond so many runnable processes per CPU (20)")
        ->check(CLI::Range(0.0, 10'000.0))
        ->type_name("L");
  }

  void add_probation_options(CLI::App& app) {
    control::AttemptOptions& options = arguments_.attempt;
    add_seconds(app, "--probation-s", options.probation_ms,
                "How long the predecessor waits, frozen, to take over again (2)");
    app.add_option("--on-crash", options.on_crash,
                   "If PROGRAM dies or hangs in probation: resume, replay, arenas or restart "
                   "(default: as the program says)");
    add_health_options(app);
    app.add_flag("--vote", options.vote, "The program itself has to vote for itself");
  }

  void add_health_options(CLI::App& app) {
    control::AttemptOptions& options = arguments_.attempt;
    app.add_option("--health-cmd", options.health_cmd,
                   "A shell command that has to exit with 0, again and again, in probation");
    app.add_option("--health-tcp", options.health_tcp, "HOST:PORT that has to accept, likewise");
    add_number_ms(app, "--health-timeout-ms", options.health_timeout_ms);
  }

  static void add_number_ms(CLI::App& app, const std::string& name, std::uint32_t& place) {
    app.add_option(name, place, "Limit of one health check (5,000)")
        ->check(CLI::Range(1U, 600'000U))
        ->type_name("N");
  }

  void add_change(Command command, const std::string& name, const std::string& text) {
    CLI::App* app = add_plain(command, name, text, true);
    add_launch(*app);
    add_attempt_options(*app);
    if (command != Command::upgrade) return;
    add_probation_options(*app);
    add_file(*app);
  }

  void add_keeper() {
    CLI::App* app = app_.add_subcommand("keeper", "What concerns the keeper and not its component");
    app->require_subcommand(1);
    CLI::App* upgrade = add_plain(
        Command::keeper_upgrade, "upgrade",
        "Let the keeper of NAME become another program, with all that it holds", true, true, app);
    upgrade->add_option("--keeper", arguments_.keeper,
                        "The new program (default: the segue-keeper of this installation)");
    upgrade->add_flag("--dry-run", arguments_.dry_run,
                      "Only ask the new program whether it can go on");
    add_plain(Command::keeper_start, "start",
              "Start a keeper for NAME, whose own has died while the instances serve", true, true,
              app)
        ->add_flag("--dry-run", arguments_.dry_run, "Say what would be done, and do nothing");
  }

  void add_eject() {
    CLI::App* app = add_plain(Command::eject, "eject",
                              "Let NAME serve on without Segue, and end its keeper", true);
    app->add_flag("--dry-run", arguments_.dry_run, "Say what it costs, and do nothing");
    app->add_flag("--force", arguments_.attempt.force,
                  "Also where the program cannot be told to go on alone");
  }

  void add_unit_commands() {
    CLI::App* adopt =
        add_unit(Command::adopt, "adopt",
                 "Write a drop-in that lets systemd run the service UNIT under Segue");
    adopt->add_option("--name", arguments_.name, "The component (default: the unit's name)");
    adopt
        ->add_option("--upgrade", arguments_.unit_upgrade,
                     "What the program can do about its upgrade (default: what its unit shows)")
        ->type_name("CONTRACT");
    adopt
        ->add_option("--run-option", arguments_.run_options,
                     "One more option of `segue run`, as --run-option=--max-restarts=3")
        ->allow_extra_args(false)
        ->type_name("OPTION");
    adopt
        ->add_option("--upgrade-option", arguments_.upgrade_options,
                     "One more option of `segue upgrade`, which is what a reload does then")
        ->allow_extra_args(false)
        ->type_name("OPTION");
    adopt->add_flag("--force", arguments_.force, "Also over a drop-in that was changed by hand");
    add_unit(Command::release_unit, "release-unit", "Take back what `segue adopt UNIT` wrote")
        ->add_flag("--force", arguments_.force, "Also if it was changed by hand");
  }

  CLI::App* add_unit(Command command, const std::string& name, const std::string& text) {
    CLI::App* app = add_plain(command, name, text, false, false);
    app->add_option("UNIT", arguments_.unit, "The service's unit, such as redis-server.service")
        ->required();
    app->add_option("--root", arguments_.root, "Another system's root directory")->type_name("DIR");
    app->add_flag("--dry-run", arguments_.dry_run, "Say what would be done, and do nothing");
    return app;
  }

  void add_texts() {
    add_plain(Command::completion, "completion", "Print the completion script of a shell", false,
              false)
        ->add_option("SHELL", arguments_.shell, "The shell; without it the names of components")
        ->check(CLI::IsMember({"bash", "fish", "zsh"}));
    add_plain(Command::manual, "manual", "Print a manual page", false, false)
        ->add_option("PAGE", arguments_.page,
                     "Such as segue-upgrade; without it the names of all pages");
  }

  void add_undo() {
    CLI::App* app =
        add_plain(Command::undo, "undo", "Hand NAME back to its previous version", true);
    app->alias("rollback");
    app->add_flag("--dry-run", arguments_.dry_run, "Say what would be done, and do nothing");
    add_attempt_options(*app);
    add_probation_options(*app);
  }

  std::string help_for(const CLI::Success& asked) const {
    if (dynamic_cast<const CLI::CallForVersion*>(&asked) != nullptr) return asked.what();
    return chosen_app()->help();
  }

  std::string usage_error(const std::string& what) const {
    std::string command;
    for (const CLI::App* app = chosen_app(); app != &app_; app = app->get_parent()) {
      command.insert(0, " " + app->get_name());
    }
    return fmt::format("{}; see `segue{} --help`", what, command);
  }

  // The innermost one that was named.
  [[nodiscard]] const CLI::App* chosen_app() const {
    const CLI::App* app = &app_;
    while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
    return app;
  }

  // What is wrong, or "".
  std::string take_program(const CLI::App& app, bool marked,
                           const std::vector<std::string>& behind) {
    const bool takes_one = arguments_.command == Command::run ||
                           arguments_.command == Command::upgrade ||
                           arguments_.command == Command::rehearse;
    std::vector<std::string> words = app.remaining();
    if (!takes_one) return marked ? "'--' and what follows do not belong here" : "";
    if (marked && words.empty()) {
      words = behind;
    } else if (marked) {
      words.emplace_back("--");  // it belongs to the program
      words.insert(words.end(), behind.begin(), behind.end());
    }
    if (!arguments_.file.empty()) {
      return words.empty() && arguments_.name.empty()
                 ? ""
                 : "with --file, NAME and PROGRAM stand in the file";
    }
    const bool is_option = !words.empty() && words.front().starts_with('-');
    if (!arguments_.container.image.empty() && (marked || !is_option)) {
      arguments_.program = std::move(words);
      return "";
    }
    if (words.empty()) return "PROGRAM is missing";
    if (is_option) return "there is no option " + words.front();
    arguments_.program = std::move(words);
    return "";
  }

  Arguments arguments_;
  CLI::App app_;
  std::map<CLI::App*, Command> commands_;
};

}  // namespace

ParsedArguments parse_arguments(std::vector<std::string> words) {
  return Parser().parse(std::move(words));
}

CommandText describe_arguments() {
  return Parser().describe();
}

}  // namespace segue::cli
