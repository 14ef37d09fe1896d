// SPDX-License-Identifier: Apache-2.0
// segue share: which slot new connections go to.
#include <fmt/format.h>
#include <poll.h>

#include <algorithm>

#include "cli/commands.h"
#include "cli/keeper_client.h"
#include "cli/plan_text.h"
#include "cli/proxy_record.h"
#include "cli/share_record.h"
#include "os/clock.h"
#include "os/file_lock.h"
#include "os/process.h"
#include "traffic/group_entry.h"

namespace segue::cli {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using control::ExitCode;
using traffic::Pick;
using traffic::share_text;
using Sockets = std::vector<KeeperClient::NamedSocket>;

// A listening socket of the stable slot, and the canary's on the same address.
struct Pair {
  std::string listener;
  std::string address;
  os::UniqueFd stable;
  os::UniqueFd canary;  // none: the canary does not listen there

  [[nodiscard]] traffic::SplitGroup group() const { return {stable.get(), canary.get()}; }
};

struct Slots {
  std::string stable;  // names
  std::string canary;
  bool canary_runs = false;
  std::vector<Pair> pairs;
};

std::uint32_t fresh_number(const os::Clock& clock) {
  return traffic::salt_of(
      static_cast<std::uint64_t>(clock.realtime_now().time_since_epoch().count()));
}

Result<Sockets> sockets_of(const ComponentFolders& folders, const std::string& name) {
  SEGUE_ASSIGN(auto socket, folders.connect(name));
  auto sockets = KeeperClient(std::move(socket)).ask_sockets();
  if (!sockets) return fail(std::move(sockets).error().with(name));
  return sockets;
}

os::UniqueFd take_same_address(Sockets& sockets, int as) {
  for (auto& one : sockets) {
    if (one.fd && traffic::check_member(one.fd.get()) &&
        traffic::have_one_address(one.fd.get(), as).value_or(false)) {
      return std::move(one.fd);
    }
  }
  return {};
}

// Those that a share can be set for.
Result<Slots> find_slots(const Context& context) {
  const std::string& only = context.arguments.share.listener;
  Slots slots{.stable = traffic::stable_name(context.arguments.name),
              .canary = traffic::canary_name(context.arguments.name),
              .canary_runs = false,
              .pairs = {}};
  SEGUE_ASSIGN(auto of_stable, sockets_of(context.folders, slots.stable));
  auto of_canary = sockets_of(context.folders, slots.canary);
  slots.canary_runs = of_canary.has_value();
  std::string why;
  for (auto& socket : of_stable) {
    if (!only.empty() && socket.name != only) continue;
    if (const auto fine = traffic::check_member(socket.fd.get()); !fine) {
      why = fmt::format(" ({}: {})", socket.name, fine.error().message());
      continue;
    }
    SEGUE_ASSIGN(std::string address, traffic::address_text(socket.fd.get()));
    const int stable = socket.fd.get();
    slots.pairs.push_back({socket.name, std::move(address), std::move(socket.fd),
                           of_canary ? take_same_address(*of_canary, stable) : os::UniqueFd()});
  }
  if (slots.pairs.empty()) {
    return fail(ErrorCode::failed_precondition,
                "{} has no listening socket{} that another slot could share{}: start it with "
                "--listen=NAME=tcp:HOST:PORT,group",
                slots.stable, only.empty() ? "" : " " + only, why);
  }
  return slots;
}

// Before a share is set.
Result<void> check_canary(const Slots& slots, std::uint32_t share_ppm) {
  if (share_ppm == 0) return {};
  if (!slots.canary_runs) {
    return fail(ErrorCode::failed_precondition,
                "{0} does not run, so nothing can go there: start it with `segue run {0} …`, with "
                "the same --listen as {1}",
                slots.canary, slots.stable);
  }
  for (const auto& pair : slots.pairs) {
    if (pair.canary) continue;
    return fail(ErrorCode::failed_precondition,
                "{} does not share {} ({}): start it with the same --listen as {}, or set the "
                "share of another one with --listener",
                slots.canary, pair.address, pair.listener, slots.stable);
  }
  return {};
}

Result<traffic::ShareRule> wanted_rule(const Context& context,
                                       const std::optional<ShareRecord>& before) {
  const ShareOptions& options = context.arguments.share;
  traffic::ShareRule rule;
  SEGUE_ASSIGN(rule.share_ppm, traffic::parse_share(options.share));
  rule.pick = options.sticky.empty() ? Pick::random : Pick::source;
  if (rule.pick == Pick::random) return rule;
  // A share that grows keeps its clients; the next rollout begins with others.
  const bool goes_on = before && before->rule.pick == Pick::source && before->rule.share_ppm != 0;
  rule.salt = goes_on ? before->rule.salt : fresh_number(os::SystemClock());
  if (options.salt) rule.salt = traffic::salt_of(*options.salt);
  return rule;
}

// The record has what is to be before it is so, and afterwards what was found out.
// `rule` is the record's own, except while there is no canary.
Result<void> apply(const Context& context, const Slots& slots, const traffic::ShareRule& rule,
                   ShareRecord& record) {
  const os::SystemClock clock;
  const std::string folder = context.folders.state(slots.stable);
  const std::string runtime = context.folders.runtime("");
  SEGUE_ASSIGN(const auto lock, os::FileLock::acquire(
                                    traffic::group_lock_path(runtime.substr(0, runtime.size() - 1)),
                                    "segue share " + slots.stable, traffic::kGroupLockLimit));
  if (const std::string boot = os::boot_id(); record.boot_id != boot) {
    record.boot_id = boot;
    record.groups.clear();
  }
  for (const auto& pair : slots.pairs) {
    const auto known = record.groups.find(pair.listener);
    auto set = traffic::set_share(
        clock, pair.group(), rule,
        known == record.groups.end() ? std::nullopt : std::optional(known->second));
    if (!set) return fail(std::move(set).error().with("the share of " + pair.listener));
    record.groups[pair.listener] = *set;
  }
  return write_share_record(folder, record);
}

std::string rule_text(const Slots& slots, const traffic::ShareRule& rule) {
  const std::string how = rule.pick == Pick::source
                              ? fmt::format(", by the client's address (salt {})", rule.salt)
                              : "";
  if (rule.share_ppm == 0) return fmt::format("all new connections go to {}", slots.stable);
  return fmt::format("{} of new connections go to {}{}", share_text(rule.share_ppm), slots.canary,
                     rule.share_ppm == traffic::kWholePpm ? "" : how);
}

std::string addresses_text(const Slots& slots) {
  std::string text;
  for (const auto& pair : slots.pairs) text += (text.empty() ? "" : ", ") + pair.address;
  return text;
}

Json rule_json(const Slots& slots, const traffic::ShareRule& rule) {
  Json addresses = Json::array();
  for (const auto& pair : slots.pairs) addresses.push_back(pair.address);
  Json object{{"name", slots.stable},
              {"canary", slots.canary},
              {"share_ppm", rule.share_ppm},
              {"pick", std::string(to_string(rule.pick))},
              {"addresses", addresses}};
  if (rule.pick == Pick::source) object["salt"] = rule.salt;
  return object;
}

ExitCode set(const Context& context) {
  Output& output = context.output;
  const auto slots = find_slots(context);
  if (!slots) return output.fail(slots.error());
  const std::string folder = context.folders.state(slots->stable);
  const auto before = read_share_record(folder);
  const auto rule =
      wanted_rule(context, before ? *before : std::optional<ShareRecord>());  // damaged: none
  if (!rule) return output.fail(rule.error());
  if (const auto fine = check_canary(*slots, rule->share_ppm); !fine) {
    return output.fail(fine.error());
  }
  Json answer = rule_json(*slots, *rule);
  answer["done"] = true;
  answer["exit"] = 0;
  if (context.arguments.dry_run) {
    answer["dry_run"] = true;
    output.print(
        fmt::format("would set: {} ({})", rule_text(*slots, *rule), addresses_text(*slots)));
    output.print_json(answer);
    return ExitCode::done;
  }
  ShareRecord record = before ? before->value_or(ShareRecord{}) : ShareRecord{};
  record.rule = *rule;
  record.set_at =
      utc_text(std::chrono::floor<std::chrono::seconds>(os::SystemClock().realtime_now()));
  if (const auto kept = write_share_record(folder, record); !kept) return output.fail(kept.error());
  if (const auto done = apply(context, *slots, *rule, record); !done) {
    return output.finish(ExitCode::failed,
                         fmt::format("{}; what got connections before may still do: set the share "
                                     "again, or 0%",
                                     done.error().to_string()));
  }
  output.print(fmt::format("{} ({})", rule_text(*slots, *rule), addresses_text(*slots)));
  output.print_json(answer);
  return ExitCode::done;
}

// ---- Showing

Json connections_of(const ComponentFolders& folders, const std::string& name) {
  const auto status = ask_status(folders, name);
  return status ? status->value("connections", Json()) : Json();
}

// One listening socket; prints it too.
Result<Json> measure(Output& output, const Pair& pair, std::uint32_t probes) {
  const os::SystemClock clock;
  const auto probed = traffic::probe_share(clock, pair.group(), probes, fresh_number(clock));
  if (!probed) return fail(base::Error(probed.error()).with("measure " + pair.address));
  const std::uint64_t all = std::uint64_t{probed->stable} + probed->canary + probed->elsewhere;
  output.print(fmt::format(
      "  {} ({}): measured {} of {} segments{}", pair.listener, pair.address,
      traffic::measured_text(probed->canary, all), all,
      probed->elsewhere == 0
          ? ""
          : fmt::format("; {} came to neither: a third socket listens there, or a firewall "
                        "stands before it",
                        probed->elsewhere)));
  return Json{
      {"listener", pair.listener},
      {"address", pair.address},
      {"probes",
       {{"stable", probed->stable}, {"canary", probed->canary}, {"elsewhere", probed->elsewhere}}},
      {"measured",
       all == 0 ? Json() : Json(static_cast<double>(probed->canary) / static_cast<double>(all))}};
}

ExitCode show(const Context& context) {
  Output& output = context.output;
  const auto slots = find_slots(context);
  if (!slots) return output.fail(slots.error());
  const auto record = read_share_record(context.folders.state(slots->stable));
  if (!record) return output.fail(record.error());
  Json answer = rule_json(*slots, *record ? (*record)->rule : traffic::ShareRule{});
  if (*record) {
    answer["set_at"] = (*record)->set_at;
    output.print(fmt::format("{}, set {}", rule_text(*slots, (*record)->rule), (*record)->set_at));
  } else {
    output.print(fmt::format("no share was ever set: all new connections go to {}", slots->stable));
  }
  answer["listeners"] = Json::array();
  for (const auto& pair : slots->pairs) {
    const auto row = measure(output, pair, context.arguments.share.probes);
    if (!row) return output.fail(row.error());
    answer["listeners"].push_back(*row);
  }
  answer["connections"] = {
      {"stable", connections_of(context.folders, slots->stable)},
      {"canary", slots->canary_runs ? connections_of(context.folders, slots->canary) : Json()}};
  const auto count = [&](const char* slot) {
    const Json& value = answer["connections"][slot];
    return value.is_number() ? value.dump() : std::string("-");
  };
  output.print(fmt::format("  open connections, old and new: {} {}, {} {}", slots->stable,
                           count("stable"), slots->canary,
                           slots->canary_runs ? count("canary") : "does not run"));
  answer["canary_runs"] = slots->canary_runs;
  answer["done"] = true;
  answer["exit"] = 0;
  output.print_json(answer);
  return ExitCode::done;
}

// ---- Keeping

// Sets again what is written down, where a slot's sockets are others than those it was set for.
Result<bool> keep_once(const Context& context) {
  SEGUE_ASSIGN(auto slots, find_slots(context));
  SEGUE_ASSIGN(auto record, read_share_record(context.folders.state(slots.stable)));
  if (!record) return false;
  traffic::ShareRule rule = record->rule;
  if (!check_canary(slots, rule.share_ppm)) rule.share_ppm = 0;  // until it is there again
  const auto groups = record->groups;
  SEGUE_TRY(apply(context, slots, rule, *record));
  return record->groups != groups;
}

ExitCode keep(const Context& context) {
  Output& output = context.output;
  const int interval_ms = static_cast<int>(context.arguments.share.keep_s * 1'000);
  std::string last_problem;
  while (true) {
    const auto kept = keep_once(context);
    const std::string problem = kept ? "" : kept.error().to_string();
    if (!kept && problem != last_problem) {
      output.note(problem);
      output.print_json(Json{{"event", "not kept"}, {"why", problem}});
    } else if (kept && *kept) {
      output.print("set again: the sockets of a slot had changed");
      output.print_json(Json{{"event", "set again"}});
    }
    last_problem = problem;
    ::poll(nullptr, 0, interval_ms);
  }
}

}  // namespace

ExitCode share(const Context& context) {
  const ShareOptions& options = context.arguments.share;
  if (!options.haproxy.empty() || options.forget ||
      has_proxy_record(context.folders.state(traffic::stable_name(context.arguments.name)))) {
    return share_by_proxy(context);
  }
  if (!options.share.empty()) {
    const ExitCode exit = set(context);
    if (exit != ExitCode::done || options.keep_s == 0 || context.arguments.dry_run) return exit;
  }
  if (options.keep_s != 0) return keep(context);
  return show(context);
}

}  // namespace segue::cli
