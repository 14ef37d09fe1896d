// SPDX-License-Identifier: Apache-2.0
// segue releases, diff, server: what is in a release library.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "cli/commands.h"
#include "cli/work_display.h"
#include "control/text.h"
#include "library/pins.h"
#include "library/release_diff.h"
#include "library/scratch_file.h"
#include "os/clock.h"
#include "tree/beneath.h"

namespace segue::cli {
namespace {

using base::Result;
using control::bytes_text;
using control::counted;
using control::ExitCode;
using library::FileDifference;
using library::Release;

using Pins = std::map<std::string, std::set<std::string>>;

// The pins that hold it.
std::vector<std::string> pins_on(const Pins& pins, const Release& release) {
  std::vector<std::string> names;
  for (const auto& [name, targets] : pins) {
    if (targets.contains(library::target_path(release.component, release.version))) {
      names.push_back(name);
    }
  }
  return names;
}

Json json_of(const Release& release, const Pins& pins) {
  Json deltas = Json::array();
  for (const auto& delta : release.deltas) {
    deltas.push_back({{"from", delta.from}, {"bytes", delta.object.length}});
  }
  return {{"component", release.component},
          {"version", release.version},
          {"kind", library::to_string(release.kind)},
          {"root", release.root.hex()},
          {"bytes", release.bytes},
          {"files", release.files},
          {"published", tuf::to_string(release.published)},
          {"commit", release.commit},
          {"pins", pins_on(pins, release)},
          {"deltas", deltas},
          {"pending", release.pending ? Json(release.pending->from) : Json::array()}};
}

std::string line_of(const Release& release, const Pins& pins) {
  std::string line = fmt::format("{:16} {:16} {}  {:>10}  {:>12}", release.component,
                                 release.version, tuf::to_string(release.published),
                                 bytes_text(release.bytes), counted(release.files, "file"));
  for (const auto& delta : release.deltas) {
    line += fmt::format("  from {} {}", delta.from, bytes_text(delta.object.length));
  }
  if (release.pending) {
    line += fmt::format("  {} to come", counted(release.pending->from.size(), "delta"));
  }
  if (!release.commit.empty()) line += fmt::format("  commit {}", release.commit.substr(0, 12));
  for (const auto& pin : pins_on(pins, release)) line += fmt::format("  pinned by {}", pin);
  return line;
}

// Paths may hold any bytes.
std::string printable(const std::string& path) {
  return path.empty() ? "." : tree::shown(path);
}

std::string why(const FileDifference& file) {
  switch (file.kind) {
    case FileDifference::Kind::moved:
      return file.from.empty() ? "the same content as another new file"
                               : fmt::format("the content of {}", printable(file.from));
    case FileDifference::Kind::patched:
      return fmt::format("from {}: {}, {} that it lacks{}",
                         file.from == file.path ? "its old self" : printable(file.from),
                         counted(file.operations, "operation"), bytes_text(file.literal_bytes),
                         file.in_bulk ? " (compressed with others)" : "");
    case FileDifference::Kind::fresh:
      return fmt::format("nothing like it in the old tree{}",
                         file.in_bulk ? " (compressed with others)" : "");
    case FileDifference::Kind::attributes:
      return "mode, type, link or attributes";
    case FileDifference::Kind::removed:
      return "gone";
  }
  return "";
}

Json json_of(const FileDifference& file) {
  return {{"path", file.path},
          {"kind", library::to_string(file.kind)},
          {"from", file.from},
          {"bytes", file.size_bytes},
          {"coded_bytes", file.coded_bytes},
          {"literal_bytes", file.literal_bytes},
          {"operations", file.operations},
          {"in_bulk", file.in_bulk}};
}

std::string summary_of(const library::ReleaseDiff& diff) {
  return fmt::format(
      "{} {} → {}: {} travel{} ({} of them the manifest, {} compressed together); without a delta "
      "{} "
      "in chunks and {} that list them; {} stay as they are",
      diff.from.component, diff.from.version, diff.to.version, bytes_text(diff.pair.delta.length),
      diff.is_stored ? "" : ", once that is computed and stored",
      bytes_text(diff.pair.manifest_bytes), bytes_text(diff.pair.bulk_bytes),
      bytes_text(diff.chunk_bytes), bytes_text(diff.contents_bytes),
      counted(diff.same_files, "file"));
}

// Where trees may lie for a while: beside the library if that may be written to.
Result<std::string> room_for_trees(const std::string& directory) {
  const std::string incoming = directory + "/" + std::string(library::kIncomingFolder);
  if (::access(incoming.c_str(), W_OK) == 0) return incoming;
  return library::scratch_folder();
}

}  // namespace

ExitCode show_releases(const Context& context) {
  Output& output = context.output;
  const LibraryOptions& options = context.arguments.library;
  const auto opened = library::Library::open(options.library);
  if (!opened) return output.fail(opened.error());
  const auto pins = library::read_pins(options.library);
  if (!pins) return output.fail(pins.error());
  Json releases = Json::array();
  for (const auto& [component, list] : opened->components()) {
    if (!options.component.empty() && component != options.component) continue;
    for (const auto& release : list.releases) {
      releases.push_back(json_of(release, *pins));
      output.print(line_of(release, *pins));
    }
    for (const auto& refused : list.refused) output.note("segue: " + refused.message());
  }
  const auto& timestamp = opened->repository().timestamp();
  const std::string expires = tuf::to_string(timestamp.expires);
  return output.finish(Json{{"done", true},
                            {"exit", 0},
                            {"text", releases.empty() ? "nothing is published here" : ""},
                            {"releases", releases},
                            {"timestamp_version", timestamp.version},
                            {"timestamp_expires", expires}});
}

ExitCode diff_releases(const Context& context) {
  Output& output = context.output;
  const LibraryOptions& options = context.arguments.library;
  const os::SystemClock clock;
  WorkDisplay display(output, clock);
  const auto diff = [&]() -> Result<library::ReleaseDiff> {
    SEGUE_ASSIGN(const auto opened, library::Library::open(options.library));
    SEGUE_ASSIGN(const Release from, opened.find(options.component, options.version));
    SEGUE_ASSIGN(const Release to, opened.find(options.component, options.to_version));
    SEGUE_ASSIGN(const std::string room, room_for_trees(options.library));
    return library::diff_releases(
        opened, from, to, room, [&](const library::WorkProgress& progress) {
          display.show(progress.doing, progress.done_bytes, progress.total_bytes);
        });
  }();
  if (!diff) return output.fail(diff.error());
  output.end_live();
  Json files = Json::array();
  for (const auto& file : diff->files) {
    files.push_back(json_of(file));
    output.print(
        fmt::format("{:10} {:>10}  {:>10}  {}  {}", library::to_string(file.kind),
                    file.kind == FileDifference::Kind::removed ? "" : bytes_text(file.coded_bytes),
                    bytes_text(file.size_bytes), printable(file.path), why(file)));
  }
  return output.finish(Json{{"done", true},
                            {"exit", 0},
                            {"text", summary_of(*diff)},
                            {"delta_bytes", diff->pair.delta.length},
                            {"stored", diff->is_stored},
                            {"manifest_bytes", diff->pair.manifest_bytes},
                            {"bulk_bytes", diff->pair.bulk_bytes},
                            {"chunk_bytes", diff->chunk_bytes},
                            {"contents_bytes", diff->contents_bytes},
                            {"same_files", diff->same_files},
                            {"files", files}});
}

ExitCode serve_library(const Context& context, const control::RunServer& run) {
  Output& output = context.output;
  control::ServerOptions options = context.arguments.server;
  options.dry_run = context.arguments.dry_run;
  const auto end = run(options, [&](const std::string& text, const std::string& object) {
    output.print(text);
    output.print_json(Json::parse(object));
  });
  if (!end) return output.fail(end.error());
  return output.finish(end->exit, end->text);
}

}  // namespace segue::cli
