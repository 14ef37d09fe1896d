// SPDX-License-Identifier: Apache-2.0
#include "builder/commands.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "builder/builder.h"
#include "builder/config.h"
#include "builder/store.h"
#include "config/near_names.h"
#include "control/name.h"
#include "os/clock.h"
#include "os/files.h"
#include "os/paths.h"

namespace segue::builder {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using control::BuildCommand;
using control::BuildOptions;
using control::ExitCode;
using control::Outcome;
using control::Screen;
using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr std::size_t kMinCommitDigits = 4;
constexpr std::size_t kShownDigits = 12;
constexpr std::size_t kMaxHookBytes = std::size_t{64} << 10;
constexpr base::Duration kFollowInterval = std::chrono::milliseconds(200);

std::string default_config_path() {
  if (::geteuid() == 0) return "/etc/segue/builder.yaml";
  const char* config_home = std::getenv("XDG_CONFIG_HOME");
  const char* home = std::getenv("HOME");
  const std::string base =
      config_home != nullptr ? config_home : std::string(home != nullptr ? home : "") + "/.config";
  return base + "/segue/builder.yaml";
}

Result<Config> read_config(const BuildOptions& options) {
  const std::string path = options.config.empty() ? default_config_path() : options.config;
  const auto text = os::read_file(path, kMaxConfigBytes);
  if (!text) {
    return fail(
        text.error().with("cannot read the builder's configuration (--config FILE, see "
                          "docs/building.md)"));
  }
  return parse_config(path, *text);
}

Result<std::string> absolute(const std::string& path) {
  std::error_code error;
  const auto whole = fs::absolute(path, error).lexically_normal();
  if (error) return fail(base::errno_error("look for " + path, error.value()));
  return whole.string();
}

Result<std::string> state_folder(const BuildOptions& options, const Config* config) {
  if (!options.state.empty()) return absolute(options.state);
  if (config != nullptr && !config->state.empty()) return absolute(config->state);
  SEGUE_ASSIGN(const auto directories, os::directories());
  return directories.state + "/builder";
}

// For those that read or write the folder and need no configuration where --state names it.
struct Place {
  std::optional<Config> config;
  std::string state;
};
Result<Place> find_place(const BuildOptions& options) {
  Place place;
  auto config = read_config(options);
  const bool is_missing = !config && config.error().code() == ErrorCode::not_found;
  if (!config && !(is_missing && options.config.empty())) return fail(std::move(config).error());
  if (config) place.config = *std::move(config);
  SEGUE_ASSIGN(place.state, state_folder(options, place.config ? &*place.config : nullptr));
  return place;
}

std::vector<std::string> environment() {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    variables.emplace_back(*variable);
  }
  return variables;
}

Result<std::string> own_program() {
  std::error_code error;
  const auto program = fs::read_symlink("/proc/self/exe", error);
  if (error) return fail(base::errno_error("read /proc/self/exe", error.value()));
  return program.string();
}

void print_plan(const Config& config, const std::string& state, Screen& screen) {
  for (const auto& [name, repository] : config.repositories) {
    screen.print(fmt::format(
        "{}: {} builds {}, publishes {}, looks {}", name, repository.url,
        fmt::join(repository.refs, " "), fmt::join(repository.publish_refs, " "),
        repository.poll_s == 0 ? "when told to" : fmt::format("every {} s", repository.poll_s)));
    screen.print_json(Json{{"repository", name},
                           {"url", repository.url},
                           {"refs", repository.refs},
                           {"publish_refs", repository.publish_refs},
                           {"poll_s", repository.poll_s}}
                          .dump());
  }
  screen.print("state: " + state);
}

Result<Outcome> run(const BuildOptions& options, Screen& screen) {
  SEGUE_ASSIGN(const Config config, read_config(options));
  SEGUE_ASSIGN(const std::string state, state_folder(options, &config));
  Builder::Settings settings{.environment = environment(), .once = options.once};
  settings.publisher = config.publisher;
  if (settings.publisher.empty()) {
    SEGUE_ASSIGN(settings.publisher, own_program());
  }
  if (options.dry_run) {
    print_plan(config, state, screen);
    return Outcome{ExitCode::done, "nothing was begun"};
  }
  std::uint32_t changes = 0;
  Store store(state, [&] {
    if (++changes == options.unsafe_kill_at) ::kill(::getpid(), SIGKILL);
  });
  const os::SystemClock clock;
  base::Log log(
      {.fd = 2, .level = base::LogLevel::info, .now = [&] { return clock.realtime_now(); }});
  SEGUE_ASSIGN(const auto builder,
               Builder::create(clock, config, store, log, screen, std::move(settings)));
  SEGUE_ASSIGN(const auto summary, builder->run());
  const std::string text =
      fmt::format("{} commits were built, {} of them failed", summary.ended, summary.failed);
  if (!options.once) return Outcome{ExitCode::done, text};
  if (summary.unreachable > 0) {
    return Outcome{ExitCode::failed,
                   fmt::format("{}; {} repositories could not be looked at: `segue build status` "
                               "says why",
                               text, summary.unreachable)};
  }
  if (summary.failed == 0) return Outcome{ExitCode::done, text};
  return Outcome{ExitCode::failed, text + ": `segue build status` names them"};
}

Json to_json(const Record& record) {
  Json object = Json::parse(encode(record));
  object.erase("format");
  object["status"] = to_string(status_of(record));
  return object;
}

Result<std::vector<Record>> read_records(const Store& store) {
  std::error_code ignored;
  if (!fs::exists(store.folder() + "/builds", ignored)) {
    return fail(ErrorCode::not_found,
                "no builder has worked in {} so far: start one with `segue build run`, or name "
                "another folder with --state",
                store.folder());
  }
  std::vector<std::string> damaged;
  return store.records(damaged);
}

std::string line_of(const Record& record, std::int64_t now_s) {
  std::string text = describe(record);
  if (record.stage == Stage::queued) text = record.why;
  const bool is_running =
      record.stage != Stage::queued && record.stage != Stage::held && record.stage != Stage::ended;
  if (is_running) {
    text =
        fmt::format("{} {}, {} s so far", record.component, record.version, now_s - record.began_s);
  }
  return fmt::format(
      "{:>6}  {:<9}  {}  {}  {}  {}", record.id,
      record.stage == Stage::ended ? to_string(record.verdict) : to_string(record.stage),
      record.repository, record.commit.substr(0, kShownDigits), record.ref, text);
}

Result<void> print_repositories(const Store& store, const std::string& only, Screen& screen) {
  std::error_code error;
  fs::directory_iterator entries(store.folder() + "/repositories", error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    const std::string name = entries->path().filename().string();
    if (!only.empty() && name != only) continue;
    SEGUE_ASSIGN(const RefsSeen seen, store.refs_seen(name));
    screen.print_json(Json{
        {"repository", name},
        {"refs", seen.commits},
        {"waiting", seen.waiting},
        {"error",
         seen.error}}.dump(-1, ' ', false, Json::error_handler_t::replace));
    if (!seen.error.empty()) screen.print(name + ": the last look failed: " + seen.error);
    if (seen.waiting > 0) {
      screen.print(fmt::format("{}: the queue is full: {} more commits wait in the repository",
                               name, seen.waiting));
    }
  }
  return {};
}

Result<Outcome> show_status(const BuildOptions& options, Screen& screen) {
  SEGUE_ASSIGN(const Place place, find_place(options));
  const Store store(place.state);
  SEGUE_ASSIGN(const auto records, read_records(store));
  const auto now = std::chrono::floor<std::chrono::seconds>(os::SystemClock().realtime_now());
  for (const auto& record : records) {
    if (!options.repository.empty() && record.repository != options.repository) continue;
    screen.print(line_of(record, now.time_since_epoch().count()));
    screen.print_json(to_json(record).dump());
  }
  SEGUE_TRY(print_repositories(store, options.repository, screen));
  return Outcome{};
}

// By its commit, its first digits, or the build's number. Of several the last one.
Result<Record> find_record(const Store& store, const std::string& text) {
  SEGUE_ASSIGN(const auto records, read_records(store));
  const auto found = std::find_if(records.rbegin(), records.rend(), [&](const Record& record) {
    return fmt::to_string(record.id) == text ||
           (text.size() >= kMinCommitDigits && record.commit.starts_with(text));
  });
  if (found != records.rend()) return *found;
  return fail(ErrorCode::not_found,
              "no build of commit '{}' is kept: `segue build status` lists those that are", text);
}

Result<Outcome> show_log(const BuildOptions& options, Screen& screen) {
  SEGUE_ASSIGN(const Place place, find_place(options));
  const Store store(place.state);
  SEGUE_ASSIGN(Record record, find_record(store, options.commit));
  const os::SystemClock clock;
  SEGUE_ASSIGN(auto loop, os::EpollLoop::create(clock));
  std::size_t shown = 0;
  while (true) {
    SEGUE_ASSIGN(record, find_record(store, fmt::to_string(record.id)));
    const std::size_t max_bytes = std::size_t{1} << 40U;
    const auto text = os::read_file(store.log(record.id), max_bytes);
    if (!text && text.error().code() != ErrorCode::not_found) return fail(text.error());
    const std::string log = text.value_or("");
    const bool goes_on = options.follow && record.stage != Stage::ended;
    for (std::size_t end = 0; shown < log.size(); shown = end + 1) {
      end = log.find('\n', shown);
      if (end == log.npos && goes_on) break;
      end = std::min(end, log.size());
      screen.print(log.substr(shown, end - shown));
      screen.print_json(Json{{"line", log.substr(shown, end - shown)}}.dump(
          -1, ' ', false, Json::error_handler_t::replace));
    }
    if (!goes_on) break;
    SEGUE_TRY(loop.run_once(kFollowInterval));
  }
  return Outcome{ExitCode::done,
                 fmt::format("build {} of {}: {}", record.id, record.commit, describe(record))};
}

Result<Outcome> notify(const BuildOptions& options) {
  SEGUE_ASSIGN(const Place place, find_place(options));
  Notice notice{.repository = options.repository, .ref = options.ref, .commit = options.commit};
  if (is_no_commit(notice.commit)) return Outcome{ExitCode::done, "the ref was removed"};
  // What a push of an annotated tag names is not a commit; the builder asks the ref.
  if (notice.ref.starts_with("refs/tags/")) notice.commit.clear();
  SEGUE_TRY(check(notice));
  if (place.config && !place.config->repositories.contains(notice.repository)) {
    std::vector<std::string> names;
    for (const auto& [name, repository] : place.config->repositories) names.push_back(name);
    const auto near = config::near_names(notice.repository, names);
    return fail(ErrorCode::not_found, "the builder's configuration has no repository '{}'{}",
                notice.repository, near.empty() ? "" : "; did you mean '" + near.front() + "'?");
  }
  const Store store(place.state);
  if (options.dry_run) {
    return Outcome{ExitCode::done, "would be kept in " + store.spool_folder()};
  }
  const auto kept = store.spool(notice);
  if (!kept && kept.error().code() == ErrorCode::resource_exhausted) {
    return Outcome{ExitCode::refused, kept.error().message()};
  }
  if (!kept) return fail(kept.error());
  return Outcome{ExitCode::done, fmt::format("the builder looks at {}", notice.repository)};
}

Result<Outcome> install_hook(const BuildOptions& options, Screen& screen) {
  SEGUE_TRY(control::check_name(options.name));
  SEGUE_ASSIGN(const Place place, find_place(options));
  SEGUE_ASSIGN(const std::string program, own_program());
  std::error_code error;
  const std::string git_folder = fs::exists(options.repository + "/.git", error)
                                     ? options.repository + "/.git"
                                     : options.repository;
  if (!fs::exists(git_folder + "/objects", error)) {
    return fail(ErrorCode::not_found, "{} is not a git repository", options.repository);
  }
  const std::string path = git_folder + "/hooks/post-receive";
  const std::string text = hook_text(program, place.state, options.name);
  const auto present = os::read_file(path, kMaxHookBytes);
  if (present && *present == text) return Outcome{ExitCode::done, path + " is there already"};
  if (present && !options.force) {
    return fail(ErrorCode::already_exists,
                "{} is there: add what --dry-run prints to it, or replace it with --force", path);
  }
  if (options.dry_run) {
    screen.print(text);
    screen.print_json(Json{{"path", path}, {"hook", text}}.dump());
    return Outcome{ExitCode::done, "would be written to " + path};
  }
  fs::create_directories(git_folder + "/hooks", error);
  SEGUE_TRY(os::write_file_atomically(path, text, 0755));
  return Outcome{ExitCode::done, path + " tells the builder of pushes"};
}

std::string quoted(const std::string& word) {
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? "'\\''" : std::string(1, c);
  return text + "'";
}

}  // namespace

std::string hook_text(const std::string& program, const std::string& state,
                      const std::string& repository) {
  return fmt::format(
      "#!/bin/sh\n"
      "# Written by `segue build hook`: tells the builder of each ref that was pushed.\n"
      "while read -r old new ref; do\n"
      "  {} build notify --state {} {} \"$ref\" \"$new\" </dev/null\n"
      "done\n",
      quoted(program), quoted(state), quoted(repository));
}

Result<Outcome> run_command(const BuildOptions& options, Screen& screen) {
  switch (options.command) {
    case BuildCommand::run:
      return run(options, screen);
    case BuildCommand::status:
      return show_status(options, screen);
    case BuildCommand::log:
      return show_log(options, screen);
    case BuildCommand::notify:
      return notify(options);
    case BuildCommand::hook:
      return install_hook(options, screen);
  }
  return fail(ErrorCode::internal, "a BuildCommand outside its enumeration");
}

}  // namespace segue::builder
