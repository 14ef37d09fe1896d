// SPDX-License-Identifier: Apache-2.0
#include "builder/build_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <system_error>
#include <utility>

#include "base/assert.h"
#include "builder/git.h"
#include "os/files.h"
#include "tuf/metadata.h"

namespace segue::builder {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr std::size_t kMaxReleasesBytes = std::size_t{16} << 20;
constexpr std::string_view kTagPrefix = "refs/tags/";
// With the command as its own argument, it needs no quoting. A build that needs too much memory is
// what the kernel ends first.
constexpr const char* kShell =
    "echo 500 2>/dev/null >/proc/self/oom_score_adj; exec /bin/sh -ec \"$1\"";

// The output's last line says more than the exit code alone.
std::string reason(const StepEnd& end) {
  return end.last_line.empty() ? end.why : fmt::format("{}: {}", end.why, end.last_line);
}

bool has_release(const Json& value, const std::string& version, const std::string& commit) {
  if (value.is_object() && value.value("version", Json()) == version &&
      value.value("commit", Json()) == commit) {
    return true;
  }
  if (!value.is_structured()) return false;
  return std::ranges::any_of(value,
                             [&](const Json& part) { return has_release(part, version, commit); });
}

}  // namespace

BuildRun::BuildRun(Workshop& workshop, OnEnd on_end)
    : workshop_(workshop), on_end_(std::move(on_end)) {}

const RepositoryConfig& BuildRun::repository() const {
  static const RepositoryConfig kNone;  // it is no longer in the configuration
  const auto found = workshop_.config.repositories.find(record_.repository);
  return found == workshop_.config.repositories.end() ? kNone : found->second;
}

std::string BuildRun::tree() const {
  return workshop_.store.work(record_.id) + "/tree";
}

void BuildRun::begin(const Record& record, Stage stage) {
  record_ = record;
  next_command_ = 0;
  switch (stage) {
    case Stage::preparing:
      return prepare();
    case Stage::building:
      commands_ = file_.build;
      return run_command();
    case Stage::testing:
      commands_ = file_.test;
      return run_command();
    case Stage::publishing:
      return publish();
    case Stage::confirming:
      return confirm();
    case Stage::queued:
    case Stage::held:
    case Stage::ended:
      break;
  }
  SEGUE_ASSERT(false && "a stage in which nothing runs");
}

void BuildRun::start_step(StepOptions options, void (BuildRun::*on_step_end)(const StepEnd&)) {
  workshop_.store.before_change();
  options.log = workshop_.store.log(record_.id);
  options.log_used = log_used_;
  step_ = std::make_unique<Step>(workshop_.loop, workshop_.clock, workshop_.steps);
  const auto started = step_->start(std::move(options), [this, on_step_end](const StepEnd& end) {
    log_used_ = end.log_bytes;
    step_.reset();
    (this->*on_step_end)(end);
  });
  if (started) return;
  step_.reset();
  end_later({.why = started.error().to_string()});
}

void BuildRun::end(StageResult result) {
  if (!result.frozen_until_s) held_outputs_.erase(record_.id);
  // A build that is held is asked for again and again.
  if (!result.good && result.why != record_.why) write_log("segue: " + result.why);
  on_end_(result);
}

void BuildRun::end_later(StageResult result) {
  const auto called = workshop_.loop.call_at(workshop_.clock.monotonic_now(),
                                             [this, result = std::move(result)] { end(result); });
  if (!called) workshop_.give_up(called.error());
}

// A log that cannot be written is no reason to fail a build.
void BuildRun::write_log(const std::string& line) {
  const std::string bytes = line + "\n";
  (void)os::append_to_file(workshop_.store.log(record_.id), bytes, os::Durability::buffered);
  log_used_ += bytes.size();
}

void BuildRun::prepare() {
  log_used_ = 0;
  write_log(fmt::format("segue: {} {} {}, attempt {}", record_.repository, record_.ref,
                        record_.commit, record_.attempts));
  if (repository().url.empty()) {
    return end_later({.why = fmt::format("repository '{}' is no longer in the configuration",
                                         record_.repository)});
  }
  if (const auto made = workshop_.store.make_work(record_.id); !made) {
    return end_later({.why = made.error().to_string()});
  }
  StepOptions options{
      .argv = checkout_script(workshop_.store.mirror(record_.repository), record_.commit, tree()),
      .env = workshop_.environment,
      .cwd = "/",
      .limits = workshop_.config.limits,
      .capture_bytes = kMaxGitAnswerBytes};
  options.limits.time_s = repository().fetch_s;
  start_step(std::move(options), &BuildRun::prepared);
}

void BuildRun::prepared(const StepEnd& end_of_step) {
  if (!end_of_step.good) return end({.why = reason(end_of_step)});
  auto checkout = parse_checkout(end_of_step.captured);
  if (!checkout) return end({.why = checkout.error().message()});
  if (checkout->build_file.size() > kMaxBuildFileBytes) {
    return end({.why = fmt::format("segue.yaml has more than {} bytes", kMaxBuildFileBytes)});
  }
  auto file = parse_build_file("segue.yaml", checkout->build_file);
  if (!file) return end({.why = file.error().message()});
  if (record_.ref.starts_with(kTagPrefix)) {
    checkout->facts.tag = record_.ref.substr(kTagPrefix.size());
  }
  const auto version = version_of(file->version, checkout->facts);
  if (!version) return end({.why = version.error().message()});
  file_ = *std::move(file);
  prepared_ = record_.id;
  file_.limits = within(file_.limits, workshop_.config.limits);
  end({.good = true, .why = "", .component = file_.component, .version = *version});
}

std::vector<std::string> BuildRun::build_environment() const {
  const std::string work = workshop_.store.work(record_.id);
  std::vector<std::string> variables = {
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      "LANG=C.UTF-8",
      "CI=true",
      "HOME=" + work + "/home",
      "TMPDIR=" + work + "/tmp",
      "SEGUE_REPOSITORY=" + record_.repository,
      "SEGUE_REF=" + record_.ref,
      "SEGUE_COMMIT=" + record_.commit,
      "SEGUE_COMPONENT=" + record_.component,
      "SEGUE_VERSION=" + record_.version,
      Workshop::mark(workshop_.store.folder())};
  variables.insert(variables.end(), file_.environment.begin(), file_.environment.end());
  return variables;
}

void BuildRun::run_command() {
  const std::string& command = commands_.at(next_command_);
  write_log("segue: $ " + command);
  start_step({.argv = {"/bin/sh", "-c", kShell, "segue-build", command},
              .env = build_environment(),
              .cwd = tree(),
              .limits = file_.limits,
              .is_guarded = true},
             &BuildRun::command_ended);
}

void BuildRun::command_ended(const StepEnd& end_of_step) {
  if (!end_of_step.good) {
    return end({.why = fmt::format("'{}' {}", commands_.at(next_command_), reason(end_of_step))});
  }
  if (++next_command_ < commands_.size()) return run_command();
  end({.good = true});
}

// Whatever links the build has made, the tree is inside the working copy.
Result<std::string> BuildRun::output_tree() {
  if (prepared_ == record_.id) held_outputs_[record_.id] = file_.output;
  const std::string folder = held_outputs_[record_.id];
  std::error_code error;
  const fs::path root = fs::canonical(tree(), error);
  const fs::path output = fs::canonical(root / folder, error);
  if (error || !fs::is_directory(output)) {
    return fail(ErrorCode::failed_precondition, "the build made no folder '{}'", folder);
  }
  const auto [end_of_root, rest] = std::mismatch(root.begin(), root.end(), output.begin());
  if (end_of_root != root.end()) {
    return fail(ErrorCode::failed_precondition, "'{}' leads out of the working copy", folder);
  }
  return output.string();
}

void BuildRun::publish() {
  const auto output = output_tree();
  if (!output) return end_later({.why = output.error().message()});
  std::vector<std::string> argv = {workshop_.publisher, "publish",   *output,         "--component",
                                   record_.component,   "--version", record_.version, "--commit",
                                   record_.commit,      "--json"};
  argv.insert(argv.end(), workshop_.config.publish.begin(), workshop_.config.publish.end());
  argv.insert(argv.end(), repository().publish.begin(), repository().publish.end());
  if (record_.why.empty()) {
    write_log("segue: publishes " + record_.component + " " + record_.version);
  }
  start_step({.argv = std::move(argv),
              .env = workshop_.environment,
              .cwd = "/",
              .limits = workshop_.config.limits,
              .capture_bytes = kMaxReleasesBytes},
             &BuildRun::published);
}

void BuildRun::published(const StepEnd& end_of_step) {
  const PublishAnswer answer = read_publish_answer(end_of_step.captured);
  if (end_of_step.good) {
    if (!answer.text.empty()) write_log("segue: " + answer.text);
    return end({.good = true, .why = ""});
  }
  if (answer.frozen_until_s) {
    return end({.why = answer.text, .frozen_until_s = answer.frozen_until_s});
  }
  end({.why = answer.text.empty() ? reason(end_of_step)
                                  : fmt::format("{}: {}", end_of_step.why, answer.text)});
}

void BuildRun::confirm() {
  std::vector<std::string> argv = {workshop_.publisher, "releases", record_.component, "--json"};
  for (const auto* options : {&workshop_.config.publish, &repository().publish}) {
    for (auto& word : library_options(*options)) argv.push_back(std::move(word));
  }
  write_log("segue: the builder ended while it published: looks whether it did");
  start_step({.argv = std::move(argv),
              .env = workshop_.environment,
              .cwd = "/",
              .limits = workshop_.config.limits,
              .capture_bytes = kMaxReleasesBytes},
             &BuildRun::confirmed);
}

// A library that does not know the component yet, or is not there yet, refuses. To publish again is
// safe either way: a library takes no version twice.
void BuildRun::confirmed(const StepEnd& end_of_step) {
  const bool published =
      end_of_step.good && names_release(end_of_step.captured, record_.version, record_.commit);
  write_log(published ? "segue: it did" : "segue: it did not");
  end({.good = true, .published = published});
}

PublishAnswer read_publish_answer(const std::string& printed) {
  PublishAnswer answer;
  std::istringstream lines(printed);
  Json last;
  for (std::string line; std::getline(lines, line);) {
    Json value = Json::parse(line, nullptr, false);
    if (value.is_object()) last = std::move(value);
  }
  if (!last.is_object()) return answer;
  const auto text_of = [&](const char* name) {
    const auto found = last.find(name);
    return found != last.end() && found->is_string() ? found->get<std::string>() : "";
  };
  answer.text = text_of("text");
  if (const auto until = tuf::parse_time(text_of("frozen_until"))) {
    answer.frozen_until_s = until->time_since_epoch().count();
  }
  return answer;
}

bool names_release(const std::string& releases, const std::string& version,
                   const std::string& commit) {
  std::istringstream lines(releases);
  for (std::string line; std::getline(lines, line);) {
    const Json value = Json::parse(line, nullptr, false);
    if (!value.is_discarded() && has_release(value, version, commit)) return true;
  }
  return false;
}

std::vector<std::string> library_options(const std::vector<std::string>& publish) {
  constexpr std::string_view kLibrary = "--library";
  std::vector<std::string> options;
  for (std::size_t i = 0; i < publish.size(); ++i) {
    if (publish[i].starts_with("--library=")) options.push_back(publish[i]);
    if (publish[i] != kLibrary || i + 1 == publish.size()) continue;
    options.push_back(publish[i]);
    options.push_back(publish[i + 1]);
  }
  return options;
}

}  // namespace segue::builder
