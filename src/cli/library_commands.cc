// SPDX-License-Identifier: Apache-2.0
// segue publish, deltas, gc, pin, renew: what changes a release library.
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "cli/commands.h"
#include "cli/publisher_settings.h"
#include "cli/work_display.h"
#include "control/text.h"
#include "library/disk_source.h"
#include "library/image_tree.h"
#include "library/publisher.h"
#include "library/scratch_file.h"
#include "os/clock.h"
#include "os/process.h"
#include "tree/scan.h"

extern char** environ;

namespace segue::cli {
namespace {

using base::ErrorCode;
using base::Result;
using control::bytes_text;
using control::counted;
using control::ExitCode;
using library::Publisher;

Json json_of(const library::Release& release) {
  Json deltas = Json::array();
  for (const auto& delta : release.deltas) {
    deltas.push_back({{"from", delta.from},
                      {"bytes", delta.object.length},
                      {"sha256", delta.object.sha256.hex()}});
  }
  return {{"component", release.component},
          {"version", release.version},
          {"kind", library::to_string(release.kind)},
          {"root", release.root.hex()},
          {"bytes", release.bytes},
          {"files", release.files},
          {"published", tuf::to_string(release.published)},
          {"commit", release.commit},
          {"contents", release.contents.sha256.hex()},
          {"deltas", deltas},
          {"pending", release.pending ? Json(release.pending->from) : Json::array()}};
}

std::string published_text(const library::PublishReport& report) {
  const auto& release = report.release;
  std::string text = fmt::format("{} {} is published: {}, {}; {} of {} new, {} more on disk",
                                 release.component, release.version, counted(release.files, "file"),
                                 bytes_text(release.bytes), report.new_chunks,
                                 counted(report.chunks, "chunk"), bytes_text(report.added_bytes));
  for (const auto& delta : release.deltas) {
    text += fmt::format("; from {} {}", delta.from, bytes_text(delta.object.length));
  }
  if (release.pending) {
    text += fmt::format("; {} to come", counted(release.pending->from.size(), "delta"));
  }
  return text;
}

// `segue deltas` with the options that this process has, which outlives it. What it says goes to
// a file of the library.
Result<void> start_making_deltas(const LibraryOptions& options) {
  std::error_code problem;
  const std::string program = std::filesystem::read_symlink("/proc/self/exe", problem).string();
  if (problem) return base::fail(base::errno_error("read /proc/self/exe", problem.value()));
  os::SpawnOptions spawned;
  spawned.argv = {program,
                  "deltas",
                  "--library",
                  options.library,
                  "--threads",
                  std::to_string(std::max(options.threads, 1U)),
                  "--wait-s",
                  std::to_string(options.wait_s),
                  "--expires-days",
                  std::to_string(options.expires_days),
                  "--timestamp-days",
                  std::to_string(options.timestamp_days)};
  for (const auto& signer : options.signers) {
    spawned.argv.insert(spawned.argv.end(), {"--sign-with", signer});
  }
  if (!options.passphrase_file.empty()) {
    spawned.argv.insert(spawned.argv.end(), {"--passphrase-file", options.passphrase_file});
  }
  for (char** variable = environ; *variable != nullptr; ++variable) {
    spawned.env.emplace_back(*variable);
  }
  const std::string log = options.library + "/cache/deltas.log";
  const os::UniqueFd nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const os::UniqueFd said(::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!nothing || !said) return base::fail(base::errno_error("open " + log, errno));
  spawned.fds = {{nothing.get(), 0}, {said.get(), 1}, {said.get(), 2}};
  SEGUE_TRY(os::spawn(spawned));
  return {};
}

ExitCode finish_published(const Context& context, const library::PublishReport& report) {
  Output& output = context.output;
  const auto& release = report.release;
  for (const auto& warning : report.warnings) output.note("segue: " + warning);
  const std::string text =
      report.was_there ? fmt::format("{} {} is there already, with the same tree; nothing changed",
                                     release.component, release.version)
                       : published_text(report);
  Json json = {{"done", true},
               {"exit", 0},
               {"text", text},
               {"release", json_of(release)},
               {"was_there", report.was_there},
               {"chunks", report.chunks},
               {"new_chunks", report.new_chunks},
               {"added_bytes", report.added_bytes},
               {"added_objects", report.added_objects},
               {"computed_deltas", report.computed_deltas},
               {"metadata_bytes", report.metadata_bytes},
               {"warnings", report.warnings}};
  return output.finish(json);
}

library::PublishRequest request_of(const LibraryOptions& options) {
  return {.component = options.component,
          .version = options.version,
          .commit = options.commit,
          .deltas = options.deltas,
          .deltas_later = options.background_deltas,
          .delegate_anew = options.delegate};
}

// What is published: a tree on disk, or an image that is taken apart.
struct Source {
  delta::Manifest tree;
  std::unique_ptr<library::FileSource> files;
  library::ReleaseKind kind = library::ReleaseKind::tree;
};

Result<Source> open_source(const std::string& path, WorkDisplay& display) {
  Source source;
  std::error_code problem;
  if (std::filesystem::is_regular_file(path, problem)) {
    display.show("taking the image apart", 0, 0);
    SEGUE_ASSIGN(const std::string scratch, library::scratch_folder());
    SEGUE_ASSIGN(auto image, library::ImageSource::open(path, scratch));
    source.tree = image->manifest();
    source.files = std::move(image);
    source.kind = library::ReleaseKind::image;
    return source;
  }
  SEGUE_ASSIGN(source.tree, tree::scan_tree(path, {}, [&](const tree::ScanProgress& progress) {
                 display.show("reading", progress.bytes_done, progress.bytes);
               }));
  return source;
}

Result<library::PublishReport> rehearse(const Publisher::Settings& settings, const os::Clock& clock,
                                        const library::PublishRequest& request,
                                        const delta::Manifest& manifest) {
  const delta::Digest root = delta::root_of(manifest);
  SEGUE_ASSIGN(const auto there, Publisher::rehearse(settings, clock, request, root));
  const auto sums = library::sums_of(manifest);
  library::PublishReport report;
  report.was_there = there.has_value();
  report.release = {.component = request.component, .version = request.version, .root = root};
  report.release.bytes = sums.bytes;
  report.release.files = sums.files;
  return report;
}

Result<library::PublishReport> publish_source(const LibraryOptions& options, bool dry_run,
                                              WorkDisplay& display, const os::Clock& clock) {
  SEGUE_ASSIGN(Publisher::Settings settings, publisher_settings(options, "publish"));
  SEGUE_ASSIGN(Source source, open_source(options.source, display));
  library::PublishRequest request = request_of(options);
  request.kind = source.kind;
  if (dry_run) return rehearse(settings, clock, request, source.tree);
  if (source.files == nullptr) {
    SEGUE_ASSIGN(auto files, library::DiskSource::open(options.source, source.tree));
    source.files = std::make_unique<library::DiskSource>(std::move(files));
  }
  SEGUE_ASSIGN(Publisher publisher, Publisher::open(std::move(settings), clock));
  return publisher.publish(
      request, source.tree, *source.files, [&](const library::WorkProgress& progress) {
        display.show(progress.doing, progress.done_bytes, progress.total_bytes);
      });
}

Result<std::optional<plan::PublishingFreeze>> freeze_of(const LibraryOptions& options,
                                                        const os::Clock& clock) {
  SEGUE_ASSIGN(const Publisher::Settings settings, publisher_settings(options, "publish"));
  return Publisher::freeze_of(settings, clock, options.component, options.version);
}

ExitCode finish_frozen(Output& output, const LibraryOptions& options,
                       const plan::PublishingFreeze& freeze) {
  return output.finish(Json{{"done", true},
                            {"exit", static_cast<int>(ExitCode::refused)},
                            {"text", plan::frozen_text(options.component, freeze)},
                            {"frozen_by", freeze.plan},
                            {"frozen_until", tuf::to_string(freeze.to)}});
}

Json json_of(const library::GcReport& report) {
  Json retired = Json::array();
  for (const auto& release : report.retired) retired.push_back(json_of(release));
  return {{"retired", retired},
          {"pinned", report.pinned},
          {"planned", report.planned},
          {"removed_metadata_files", report.removed_metadata_files},
          {"removed_objects", report.removed_objects},
          {"removed_bytes", report.removed_bytes},
          {"kept_objects", report.kept_objects},
          {"kept_bytes", report.kept_bytes}};
}

Result<std::uint64_t> missing_deltas(const LibraryOptions& options) {
  SEGUE_ASSIGN(const auto opened, library::Library::open(options.library));
  std::uint64_t missing = 0;
  for (const auto& [component, list] : opened.components()) {
    for (const auto& release : list.releases) {
      if (release.pending) missing += release.pending->from.size();
    }
  }
  return missing;
}

library::GcPolicy policy_of(const LibraryOptions& options, bool dry_run) {
  library::GcPolicy policy;
  if (options.keep) policy.keep_releases = *options.keep;
  if (options.keep_days) policy.keep_younger = std::chrono::days(*options.keep_days);
  policy.grace = std::chrono::hours(options.grace_hours);
  policy.dry_run = dry_run;
  return policy;
}

}  // namespace

ExitCode publish(const Context& context) {
  Output& output = context.output;
  const os::SystemClock clock;
  const LibraryOptions& options = context.arguments.library;
  // Before the tree is read.
  if (const auto frozen = freeze_of(options, clock); !frozen || *frozen) {
    return frozen ? finish_frozen(output, options, **frozen) : output.fail(frozen.error());
  }
  WorkDisplay display(output, clock);
  const auto report = publish_source(options, context.arguments.dry_run, display, clock);
  if (!report) {
    // A plan's time may have come meanwhile.
    const auto frozen = freeze_of(options, clock);
    if (frozen && *frozen) return finish_frozen(output, options, **frozen);
    return output.fail(report.error());
  }
  if (!context.arguments.dry_run || report->was_there) {
    if (options.background_deltas && report->release.pending && !context.arguments.dry_run) {
      if (const auto started = start_making_deltas(options); !started) {
        output.note("segue: the deltas are not being made: " + started.error().to_string());
      }
    }
    return finish_published(context, *report);
  }
  return output.finish(
      Json{{"done", true},
           {"exit", 0},
           {"text", fmt::format("{} {} would be published: {}, {}", report->release.component,
                                report->release.version, counted(report->release.files, "file"),
                                bytes_text(report->release.bytes))},
           {"root", report->release.root.hex()}});
}

ExitCode collect_garbage(const Context& context) {
  Output& output = context.output;
  const LibraryOptions& options = context.arguments.library;
  const bool dry_run = context.arguments.dry_run;
  const os::SystemClock clock;
  WorkDisplay display(output, clock);
  const auto report = [&]() -> Result<library::GcReport> {
    SEGUE_ASSIGN(Publisher::Settings settings, publisher_settings(options, "gc"));
    SEGUE_ASSIGN(Publisher publisher, Publisher::open(std::move(settings), clock));
    return publisher.gc(policy_of(options, dry_run), [&](const library::WorkProgress& progress) {
      display.show(progress.doing, progress.done_bytes, progress.total_bytes);
    });
  }();
  if (!report) return output.fail(report.error());
  std::string text =
      fmt::format("{}{} retired, {} with {} removed; {} with {} stay", dry_run ? "would be: " : "",
                  counted(report->retired.size(), "release"),
                  counted(report->removed_objects, "object"), bytes_text(report->removed_bytes),
                  counted(report->kept_objects, "object"), bytes_text(report->kept_bytes));
  for (const auto& release : report->retired) {
    output.print(fmt::format("{} {}", release.component, release.version));
  }
  if (report->pinned > 0) text += fmt::format("; {} pinned", counted(report->pinned, "release"));
  if (report->planned > 0) text += fmt::format("; {} planned", counted(report->planned, "release"));
  Json json = json_of(*report);
  json.update(Json{{"done", true}, {"exit", 0}, {"text", text}});
  return output.finish(json);
}

ExitCode make_deltas(const Context& context) {
  Output& output = context.output;
  const LibraryOptions& options = context.arguments.library;
  const os::SystemClock clock;
  WorkDisplay display(output, clock);
  std::vector<std::string> warnings;
  const auto made = [&]() -> Result<std::uint64_t> {
    if (context.arguments.dry_run) return missing_deltas(options);
    SEGUE_ASSIGN(Publisher::Settings settings, publisher_settings(options, "deltas"));
    SEGUE_ASSIGN(Publisher publisher, Publisher::open(std::move(settings), clock));
    return publisher.make_deltas(warnings, [&](const library::WorkProgress& progress) {
      display.show(progress.doing, progress.done_bytes, progress.total_bytes);
    });
  }();
  if (!made) return output.fail(made.error());
  for (const auto& warning : warnings) output.note("segue: " + warning);
  const auto exit = warnings.empty() ? ExitCode::done : ExitCode::failed;
  const std::string text = fmt::format(
      "{} {}{}", counted(*made, "delta"), context.arguments.dry_run ? "would be made" : "made",
      warnings.empty() ? "" : "; not all that are missing: " + warnings.front());
  return output.finish(Json{{"done", true},
                            {"exit", static_cast<int>(exit)},
                            {"text", text},
                            {"made", *made},
                            {"warnings", warnings}});
}

ExitCode pin_releases(const Context& context) {
  Output& output = context.output;
  const LibraryOptions& options = context.arguments.library;
  if (options.releases.empty() != options.remove) {
    return output.finish(ExitCode::usage, "name releases as COMPONENT/VERSION, or --remove");
  }
  const os::SystemClock clock;
  const auto pinned = [&]() -> Result<void> {
    SEGUE_ASSIGN(Publisher::Settings settings, publisher_settings(options, "pin"));
    SEGUE_ASSIGN(Publisher publisher, Publisher::open(std::move(settings), clock));
    return publisher.pin(options.pin, options.releases, context.arguments.dry_run);
  }();
  if (!pinned) return output.fail(pinned.error());
  return output.finish(
      ExitCode::done,
      fmt::format("the pin '{}' {}{}", options.pin, context.arguments.dry_run ? "would be " : "is ",
                  options.remove
                      ? std::string("gone")
                      : fmt::format("on {}", counted(options.releases.size(), "release"))));
}

ExitCode renew_metadata(const Context& context) {
  Output& output = context.output;
  const os::SystemClock clock;
  const auto renewed = [&]() -> Result<tuf::Time> {
    SEGUE_ASSIGN(Publisher::Settings settings,
                 publisher_settings(context.arguments.library, "renew"));
    SEGUE_ASSIGN(Publisher publisher, Publisher::open(std::move(settings), clock));
    SEGUE_TRY(publisher.renew(context.arguments.dry_run));
    if (!context.arguments.dry_run) {
      // What somebody who was killed has left. That it fails is no reason not to be renewed.
      std::vector<std::string> warnings;
      if (auto made = publisher.make_deltas(warnings); !made) {
        warnings.push_back(made.error().to_string());
      }
      for (const auto& warning : warnings) output.note("segue: " + warning);
    }
    return publisher.repository().timestamp().expires;
  }();
  if (!renewed) return output.fail(renewed.error());
  return output.finish(ExitCode::done, fmt::format("the timestamp {} valid until {}",
                                                   context.arguments.dry_run ? "was" : "is",
                                                   tuf::to_string(*renewed)));
}

}  // namespace segue::cli
