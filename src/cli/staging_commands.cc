// SPDX-License-Identifier: Apache-2.0
// segue stage, go-live, verify.
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <climits>

#include "cli/commands.h"
#include "cli/publisher_settings.h"
#include "cli/work_display.h"
#include "control/text.h"
#include "os/clock.h"
#include "os/files.h"
#include "plan/time_expression.h"
#include "plans/system_zones.h"
#include "staging/confinement.h"
#include "staging/go_live.h"
#include "staging/stage.h"
#include "tuf/client.h"

namespace segue::cli {
namespace {

using base::Result;
using control::bytes_text;
using control::ExitCode;
using staging::Check;
using staging::Place;

Result<Place> open_place(const StagingOptions& options, std::string_view command) {
  return Place::open({.directory = options.place,
                      .holder = fmt::format("segue {} (process {})", command, ::getpid()),
                      .max_wait = std::chrono::seconds(options.wait_s)});
}

void say_notes(const Output& output, const std::vector<std::string>& notes) {
  for (const std::string& note : notes) output.note(note);
}

Check check_of(const std::string& name) {
  if (name == "all") return Check::everything;
  return name == "none" ? Check::nothing : Check::changed;
}

tree::Sharing sharing_of(const std::string& name) {
  if (name == "copy") return tree::Sharing::copy;
  return name == "reflink" ? tree::Sharing::clone : tree::Sharing::hard_link;
}

Json json_of(const staging::TreeRecord& tree) {
  return {{"component", tree.component},
          {"version", tree.version},
          {"root", tree.root ? tree.root->hex() : ""},
          {"bytes", tree.bytes},
          {"files", tree.files}};
}

Json json_of(const staging::StageReport& report) {
  return {{"tree", json_of(report.tree)},
          {"way", staging::to_string(report.way)},
          {"from", report.from},
          {"fetched_bytes", report.fetched_bytes},
          {"files_linked", report.build.files_linked},
          {"files_cloned", report.build.files_cloned},
          {"files_copied", report.build.files_copied},
          {"files_written", report.build.files_written},
          {"bytes_copied", report.build.bytes_copied},
          {"bytes_written", report.build.bytes_written},
          {"notes", report.notes}};
}

std::string text_of(const staging::StageReport& report, bool dry_run) {
  const std::string name = report.tree.name();
  switch (report.way) {
    case staging::Way::present:
      return fmt::format("{} is there already, and is what it has to be", name);
    case staging::Way::copy:
      return fmt::format("{} {} the same files as {}, which are here; nothing {} fetched", name,
                         dry_run ? "has" : "is staged: it has", report.from,
                         dry_run ? "would be" : "was");
    case staging::Way::delta:
      return dry_run ? fmt::format("{} would come as a delta of {} from {}", name,
                                   bytes_text(report.fetched_bytes), report.from)
                     : fmt::format("{} is staged: {} fetched, a delta from {}", name,
                                   bytes_text(report.fetched_bytes), report.from);
    case staging::Way::chunks:
      return dry_run ? fmt::format("{} would come as those chunks that are not here", name)
                     : fmt::format("{} is staged: {} fetched, in chunks", name,
                                   bytes_text(report.fetched_bytes));
  }
  return name;
}

std::string text_of(const staging::SwitchReport& report, bool dry_run) {
  const std::string name = report.to.name();
  if (report.was_live) return name + " is live already";
  return fmt::format("{} {}, {} was", name, dry_run ? "would be live" : "is live",
                     report.from ? report.from->name() : "nothing");
}

// What is not a host's plain name is not told.
std::string own_host_name() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "";
  const std::string text = name.data();
  const bool is_plain = std::ranges::all_of(text, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-';
  });
  return is_plain ? text : "";
}

Result<void> tell_relays(const StagingOptions& options, const os::Clock& clock,
                         staging::StageRequest& request) {
  request.host = own_host_name();
  if (options.go_live_at.empty()) return {};
  const plans::SystemZones zones;
  SEGUE_ASSIGN(const auto expression, plan::parse_time_expression(options.go_live_at));
  SEGUE_ASSIGN(const std::string zone, plans::SystemZones::own_zone());
  const auto now = std::chrono::floor<std::chrono::seconds>(clock.realtime_now());
  SEGUE_ASSIGN(const auto resolved, plan::resolve(expression, zones, zone, now));
  request.go_live_at = resolved.instant;
  return {};
}

ExitCode show_differences(const Context& context, const std::vector<staging::TreeCheck>& checks) {
  Output& output = context.output;
  std::uint64_t differing = 0;
  for (const staging::TreeCheck& check : checks) {
    const auto& record = check.tree.record;
    const std::string role(staging::to_string(check.tree.role));
    Json json{{"role", role}, {"tree", json_of(record)}, {"path", check.tree.path}};
    Json list = Json::array();
    if (check.error) {
      // A tree that was never read is not wrong.
      if (record.root) ++differing;
      json["error"] = check.error->message();
      output.print(fmt::format("{} {}: {}", role, record.name(), check.error->message()));
    } else if (check.verification.matches()) {
      output.print(fmt::format("{} {}: as signed, {} files, {}", role, record.name(), record.files,
                               bytes_text(record.bytes)));
    } else {
      ++differing;
      output.print(fmt::format("{} {}: {} differences", role, record.name(),
                               check.verification.difference_count));
    }
    for (const tree::Difference& difference : check.verification.differences) {
      output.print("  " + difference.to_string());
      list.push_back({{"path", tree::shown(difference.path)},
                      {"kind", tree::to_string(difference.kind)},
                      {"detail", difference.detail}});
    }
    json["difference_count"] = check.verification.difference_count;
    json["differences"] = std::move(list);
    json["bytes_read"] = check.verification.bytes_read;
    output.print_json(json);
  }
  if (differing == 0) {
    return output.finish(ExitCode::done, fmt::format("{} trees, no differences", checks.size()));
  }
  return output.finish(ExitCode::failed,
                       fmt::format("{} of {} trees are not what they have to be; `segue stage` "
                                   "fetches a release again",
                                   differing, checks.size()));
}

}  // namespace

ExitCode stage_release(const Context& context) {
  Output& output = context.output;
  const StagingOptions& options = context.arguments.staging;
  staging::StageRequest request{.url = library_url(options.library),
                                .component = options.component,
                                .version = options.version,
                                .root_bytes = {},
                                .sharing = sharing_of(options.share),
                                .writable = options.writable,
                                .max_bytes_per_second = options.max_bytes_per_s,
                                .go_live_at = {},
                                .host = {},
                                .delta_wait = std::chrono::seconds(options.delta_wait_s),
                                .dry_run = context.arguments.dry_run,
                                .progress = {}};
  if (!options.root.empty()) {
    auto root = os::read_file(options.root, tuf::ClientLimits().max_root_bytes);
    if (!root) return output.fail(root.error());
    request.root_bytes = *std::move(root);
  }
  const os::SystemClock clock;
  if (auto set = tell_relays(options, clock, request); !set) return output.fail(set.error());
  WorkDisplay display(output, clock);
  request.pause = [](base::Duration length) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(length).count();
    static_cast<void>(::poll(nullptr, 0, static_cast<int>(ms)));
  };
  request.progress = [&](const staging::StageProgress& progress) {
    display.show(std::string(progress.doing), progress.bytes_done, progress.bytes);
  };
  auto place = open_place(options, "stage");
  if (!place) return output.fail(place.error());
  say_notes(output, place->notes());
  if (auto confined = staging::confine_to_staging(*place, request.url); !confined) {
    return output.fail(confined.error());
  }
  const auto report = staging::stage(*place, request, clock);
  output.end_live();
  if (!report) return output.fail(report.error());
  say_notes(output, report->notes);
  output.print_json(json_of(*report));
  return output.finish(ExitCode::done, text_of(*report, request.dry_run));
}

ExitCode go_live(const Context& context) {
  Output& output = context.output;
  const StagingOptions& options = context.arguments.staging;
  if (options.undo && !options.version.empty()) {
    return output.finish(ExitCode::usage,
                         "--undo goes back to the tree before; it takes no VERSION");
  }
  if (!options.if_live.empty() && !options.undo) {
    return output.finish(ExitCode::usage, "--if-live belongs to --undo");
  }
  auto place = open_place(options, "go-live");
  if (!place) return output.fail(place.error());
  say_notes(output, place->notes());
  if (!options.if_live.empty()) {
    const staging::PlacedTree* live = place->live();
    const bool is_live = live != nullptr && live->record.version == options.if_live;
    if (!is_live) {
      return output.finish(
          ExitCode::done, fmt::format("{} is not live: there is nothing to undo", options.if_live));
    }
  }
  const staging::SwitchOptions how{
      .check = check_of(options.check), .dry_run = context.arguments.dry_run, .progress = {}};
  const auto report = options.undo
                          ? staging::undo(*place, how)
                          : staging::switch_to(*place, options.component, options.version, how);
  if (!report) {
    // Nothing was changed, whatever was wrong with the tree.
    if (report.error().code() == base::ErrorCode::data_loss) {
      return output.finish(ExitCode::refused, report.error().message());
    }
    return output.fail(report.error());
  }
  output.print_json({{"from", report->from ? json_of(*report->from) : Json(nullptr)},
                     {"to", json_of(report->to)},
                     {"was_live", report->was_live}});
  Json reply{{"done", true},
             {"exit", static_cast<int>(ExitCode::done)},
             {"text", text_of(*report, how.dry_run)}};
  if (!options.program.empty()) {
    const auto digest = staging::signed_digest(*place, report->to, options.program);
    if (digest && *digest) reply["program"] = **digest;
  }
  return output.finish(reply);
}

ExitCode verify_place(const Context& context) {
  Output& output = context.output;
  const StagingOptions& options = context.arguments.staging;
  auto place = open_place(options, "verify");
  if (!place) return output.fail(place.error());
  say_notes(output, place->notes());
  const os::SystemClock clock;
  WorkDisplay display(output, clock);
  const auto checks =
      staging::verify(*place, options.quick ? Check::changed : Check::everything,
                      [&](const tree::ScanProgress& progress) {
                        display.show("reading", progress.bytes_done, progress.bytes);
                      });
  output.end_live();
  return show_differences(context, checks);
}

}  // namespace segue::cli
