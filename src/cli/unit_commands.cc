// SPDX-License-Identifier: Apache-2.0
// segue adopt, segue release-unit: a unit of systemd comes under Segue, and leaves it again.
#include <fmt/format.h>

#include "cli/adoption.h"
#include "cli/commands.h"
#include "cli/unit_folders.h"

namespace segue::cli {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using control::ExitCode;

// Whether what is there may be replaced or removed.
Result<void> check_own(const UnitFolders& folders, const std::string& unit, const std::string& text,
                       bool force) {
  const std::string path = folders.drop_in_path(unit);
  switch (authorship_of(text)) {
    case Authorship::adopted:
      return {};
    case Authorship::edited:
      if (force) return {};
      return fail(ErrorCode::failed_precondition,
                  "{} was changed after it had been written: keep what is yours in another file of "
                  "that folder, then use --force",
                  path);
    case Authorship::foreign:
      return fail(ErrorCode::failed_precondition, "{} was not written by segue: rename it", path);
  }
  return {};
}

Result<void> check_replaceable(const UnitFolders& folders, const std::string& unit, bool force) {
  const auto text = folders.read_drop_in(unit);
  if (text) return check_own(folders, unit, *text, force);
  if (text.error().code() == ErrorCode::not_found) return {};
  return fail(text.error());
}

struct Plan {
  std::string unit;
  std::string path;
  Adoption adoption;
};

Result<Plan> make_plan(const Arguments& arguments, const UnitFolders& folders) {
  Plan plan;
  SEGUE_ASSIGN(plan.unit, service_unit_name(arguments.unit));
  plan.path = folders.drop_in_path(plan.unit);
  SEGUE_ASSIGN(const UnitFacts facts, folders.read(plan.unit));
  SEGUE_ASSIGN(plan.adoption, adopt_unit(facts, {.component = arguments.name,
                                                 .run_options = arguments.run_options,
                                                 .upgrade_options = arguments.upgrade_options,
                                                 .upgrade = arguments.unit_upgrade}));
  SEGUE_TRY(check_replaceable(folders, plan.unit, arguments.force));
  return plan;
}

}  // namespace

ExitCode adopt(const Context& context) {
  const Arguments& arguments = context.arguments;
  Output& output = context.output;
  const UnitFolders folders(arguments.root);
  const auto plan = make_plan(arguments, folders);
  if (!plan) return output.fail(plan.error());
  const Adoption& adoption = plan->adoption;
  if (!arguments.dry_run) {
    const auto written = folders.write_drop_in(plan->unit, adoption.drop_in);
    if (!written) return output.fail(written.error());
  }
  if (arguments.dry_run) output.print(plan->path + ":\n" + adoption.drop_in);
  for (const auto& note : adoption.notes) output.note("note: " + note);
  Json answer{{"done", true},           {"exit", 0},
              {"unit", plan->unit},     {"component", adoption.component},
              {"path", plan->path},     {"drop_in", adoption.drop_in},
              {"notes", adoption.notes}};
  answer["text"] =
      arguments.dry_run
          ? fmt::format("{} would be written", plan->path)
          : fmt::format(
                "{} is written. It holds from the next start on, which is the last one that "
                "clients notice: systemctl daemon-reload && systemctl restart {}",
                plan->path, plan->unit);
  return output.finish(answer);
}

ExitCode release_unit(const Context& context) {
  const Arguments& arguments = context.arguments;
  Output& output = context.output;
  const UnitFolders folders(arguments.root);
  const auto unit = service_unit_name(arguments.unit);
  if (!unit) return output.fail(unit.error());
  const auto text = folders.read_drop_in(*unit);
  if (!text) return output.fail(text.error());
  if (auto own = check_own(folders, *unit, *text, arguments.force); !own) {
    return output.fail(own.error());
  }
  const std::string path = folders.drop_in_path(*unit);
  if (arguments.dry_run) {
    return output.finish(ExitCode::done, fmt::format("{} would be removed", path));
  }
  if (auto removed = folders.remove_drop_in(*unit); !removed) return output.fail(removed.error());
  return output.finish(
      ExitCode::done,
      fmt::format("{} is removed. The program runs without Segue from the next start on: systemctl "
                  "daemon-reload && systemctl restart {}",
                  path, *unit));
}

}  // namespace segue::cli
