// SPDX-License-Identifier: Apache-2.0
// segue share … --haproxy: HAProxy's weights, servers and maps.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>

#include <algorithm>

#include "cli/commands.h"
#include "cli/plan_text.h"
#include "cli/proxy_record.h"
#include "control/options.h"
#include "os/clock.h"
#include "traffic/group_entry.h"
#include "traffic/haproxy_control.h"

namespace segue::cli {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using control::ExitCode;
using traffic::ServerDuty;
using traffic::share_text;

std::string folder_of(const Context& context) {
  return context.folders.state(traffic::stable_name(context.arguments.name));
}

std::string now_text() {
  return utc_text(std::chrono::floor<std::chrono::seconds>(os::SystemClock().realtime_now()));
}

Result<traffic::WantedServer> canary_of(const std::string& text, bool is_checked) {
  const std::size_t equals = text.find('=');
  traffic::WantedServer server;
  server.name = text.substr(0, equals);
  server.is_canary = true;
  if (equals == std::string::npos) return server;
  const auto address = control::parse_host_port(text.substr(equals + 1));
  if (!address) {
    return fail(ErrorCode::invalid_argument, "--canary-server: '{}' is not NAME=HOST:PORT", text);
  }
  server.address = address->host;
  server.port = address->port;
  server.is_checked = is_checked;
  return server;
}

void set_duty(traffic::ProxyWanted& wanted, const std::string& name, ServerDuty duty) {
  for (auto& server : wanted.servers) {
    if (server.name != name) continue;
    server.duty = duty;
    return;
  }
  traffic::WantedServer server;
  server.name = name;
  server.duty = duty;
  wanted.servers.push_back(std::move(server));
}

Result<void> add_routes(const ShareOptions& options, traffic::ProxyWanted& wanted) {
  if (options.map.empty()) {
    if (options.routes.empty()) return {};
    return fail(ErrorCode::invalid_argument, "--route: name the map with --map");
  }
  auto& entries = wanted.maps[options.map];
  entries.clear();
  for (const auto& route : options.routes) {
    const std::size_t equals = route.rfind('=');
    if (equals == std::string::npos) {
      return fail(ErrorCode::invalid_argument, "--route: '{}' is not KEY=VALUE", route);
    }
    entries[route.substr(0, equals)] = route.substr(equals + 1);
  }
  return {};
}

// What the command line says; what it does not name stays as it is remembered.
Result<ProxyRecord> wanted_record(const ShareOptions& options,
                                  const std::optional<ProxyRecord>& before) {
  ProxyRecord record = before.value_or(ProxyRecord{});
  if (!options.haproxy.empty()) record.socket = options.haproxy;
  traffic::ProxyWanted& wanted = record.wanted;
  if (!options.backend.empty() && options.backend != wanted.backend) {
    wanted.servers.clear();
    wanted.backend = options.backend;
  }
  if (wanted.backend.empty()) {
    return fail(ErrorCode::invalid_argument, "--haproxy: name the backend with --backend");
  }
  if (!options.canary_servers.empty()) wanted.servers.clear();
  for (const auto& text : options.canary_servers) {
    SEGUE_ASSIGN(auto server, canary_of(text, options.check));
    wanted.servers.push_back(std::move(server));
  }
  for (const auto& name : options.drain_servers) set_duty(wanted, name, ServerDuty::drain);
  for (const auto& name : options.remove_servers) set_duty(wanted, name, ServerDuty::leave);
  SEGUE_TRY(add_routes(options, wanted));
  if (!options.share.empty()) {
    SEGUE_ASSIGN(wanted.share_ppm, traffic::parse_share(options.share));
  }
  SEGUE_TRY(traffic::check_wanted(wanted));
  return record;
}

// ---- What is said

Json servers_json(const traffic::ProxyWanted& wanted, const traffic::ProxySeen& seen) {
  Json servers = Json::array();
  for (const auto& server : seen.servers) {
    const bool is_canary =
        std::any_of(wanted.servers.begin(), wanted.servers.end(),
                    [&](const auto& one) { return one.is_canary && one.name == server.name; });
    servers.push_back({{"name", server.name},
                       {"canary", is_canary},
                       {"weight", server.weight},
                       {"configured_weight", server.configured_weight},
                       {"running", server.is_running},
                       {"sessions", server.sessions},
                       {"current_sessions", server.current_sessions}});
  }
  return servers;
}

Json answer_of(const ProxyRecord& record, const traffic::ProxyMeter& meter,
               const traffic::ProxySeen& seen, const traffic::ProxyDecision& decision) {
  const auto& moved = meter.moved();
  const std::uint64_t all = moved.stable + moved.canary;
  return {
      {"done", true},
      {"exit", 0},
      {"haproxy", record.socket},
      {"version", seen.process.version},
      {"pid", seen.process.pid},
      {"backend", record.wanted.backend},
      {"mode", seen.mode},
      {"balance", seen.algorithm},
      {"share_ppm", record.wanted.share_ppm},
      {"set_at", record.set_at},
      {"weights_share", decision.share},
      {"moved",
       {{"stable", moved.stable},
        {"canary", moved.canary},
        {"measured",
         all == 0 ? Json() : Json(static_cast<double>(moved.canary) / static_cast<double>(all))},
        {"restarts", moved.restarts}}},
      {"current", {{"stable", moved.stable_current}, {"canary", moved.canary_current}}},
      {"servers", servers_json(record.wanted, seen)},
      {"problems", decision.problems}};
}

void print_problems(Output& output, const traffic::ProxyDecision& decision,
                    const traffic::ProxySeen& seen) {
  for (const auto& problem : decision.problems) output.note(problem);
  if (seen.algorithm == "leastconn") {
    output.note(
        "balance leastconn gives the server with the fewest connections for its weight the next "
        "one: a fresh canary gets them all until it has caught up; use roundrobin for a share");
  }
}

// ---- Setting

ExitCode say_orders(Output& output, const ProxyRecord& record, const traffic::ProxySeen& seen) {
  const auto decision = traffic::decide(record.wanted, seen);
  Json orders = Json::array();
  for (const auto& order : decision.orders) {
    const auto* command = std::get_if<traffic::ProxyCommand>(&order);
    orders.push_back(command != nullptr
                         ? command->text
                         : "replace map " + std::get<traffic::ReplaceMap>(order).file);
    output.print("would say: " + orders.back().get<std::string>());
  }
  if (orders.empty()) output.print("nothing to do");
  Json answer = answer_of(record, traffic::ProxyMeter(), seen, decision);
  answer["orders"] = orders;
  answer["dry_run"] = true;
  output.print_json(answer);
  return ExitCode::done;
}

ExitCode not_set(const Context& context, const base::Error& error,
                 const std::optional<ProxyRecord>& before) {
  if (error.code() != ErrorCode::permission_denied) {
    return context.output.finish(
        ExitCode::failed,
        fmt::format("{}; some of it may be done: the same command goes on", error.to_string()));
  }
  // It is the first order already that is refused.
  if (before) {
    (void)write_proxy_record(folder_of(context), *before);
  } else {
    remove_proxy_record(folder_of(context));
  }
  return context.output.fail(error);
}

ExitCode set(const Context& context, ProxyRecord record, const std::optional<ProxyRecord>& before) {
  Output& output = context.output;
  const os::SystemClock clock;
  const auto socket = traffic::ProxySocket::at(clock, record.socket);
  if (!socket) return output.fail(socket.error());
  const auto seen = traffic::observe(*socket, record.wanted);
  if (!seen) return output.fail(seen.error());  // nothing was touched
  if (context.arguments.dry_run) return say_orders(output, record, *seen);
  record.set_at = now_text();
  record.meter = {};
  if (const auto kept = write_proxy_record(folder_of(context), record); !kept) {
    return output.fail(kept.error());
  }
  const auto report = traffic::reconcile(*socket, record.wanted);
  if (!report) return not_set(context, report.error(), before);
  const auto after = traffic::observe(*socket, record.wanted);
  if (!after) return output.fail(after.error());
  traffic::ProxyMeter meter;
  meter.observe(record.wanted, *after);
  record.meter = meter.state();
  if (const auto kept = write_proxy_record(folder_of(context), record); !kept) {
    return output.fail(kept.error());
  }
  output.print(fmt::format("{} of backend {}: weights come to {:.2f}%",
                           share_text(record.wanted.share_ppm), record.wanted.backend,
                           100 * report->decision.share));
  print_problems(output, report->decision, *after);
  output.print_json(answer_of(record, meter, *after, report->decision));
  return ExitCode::done;
}

ExitCode show(const Context& context, const ProxyRecord& record) {
  Output& output = context.output;
  const os::SystemClock clock;
  const auto socket = traffic::ProxySocket::at(clock, record.socket);
  if (!socket) return output.fail(socket.error());
  const auto seen = traffic::observe(*socket, record.wanted);
  if (!seen) return output.fail(seen.error());
  traffic::ProxyMeter meter(record.meter);
  meter.observe(record.wanted, *seen);
  auto decision = traffic::decide(record.wanted, *seen);
  const auto& moved = meter.moved();
  output.print(fmt::format("{} of backend {} (HAProxy {}, {}), set {}",
                           share_text(record.wanted.share_ppm), record.wanted.backend,
                           seen->process.version, record.socket, record.set_at));
  output.print(fmt::format(
      "  moved since      {} of {} {}{}",
      traffic::measured_text(moved.canary, moved.stable + moved.canary),
      moved.stable + moved.canary, seen->mode == "http" ? "requests" : "connections",
      moved.restarts == 0 ? "" : fmt::format(", over {} restarts of HAProxy", moved.restarts)));
  output.print(fmt::format("  not ended yet    {} at stable, {} at canary", moved.stable_current,
                           moved.canary_current));
  for (const auto& server : seen->servers) {
    output.print(fmt::format("  {:<16} weight {} (configured {}){}", server.name, server.weight,
                             server.configured_weight, server.is_running ? "" : ", down"));
  }
  if (!decision.orders.empty()) {
    decision.problems.push_back(fmt::format(
        "it is not as it was set ({} to say): `segue share {} {}` puts it back, --keep-s does so "
        "by itself",
        decision.orders.size(), context.arguments.name, share_text(record.wanted.share_ppm)));
  }
  print_problems(output, decision, *seen);
  output.print_json(answer_of(record, meter, *seen, decision));
  return ExitCode::done;
}

// ---- Keeping

// What it had to say to HAProxy; counts go on in the record.
Result<std::size_t> keep_once(const os::Clock& clock, const std::string& folder) {
  SEGUE_ASSIGN(auto record, read_proxy_record(folder));
  if (!record) return std::size_t{0};
  SEGUE_ASSIGN(const auto socket, traffic::ProxySocket::at(clock, record->socket));
  SEGUE_ASSIGN(const auto report, traffic::reconcile(socket, record->wanted));
  const std::string set_at = record->set_at;
  traffic::ProxyMeter meter(record->meter);
  meter.observe(record->wanted, report.seen);
  // Whoever has set another share meanwhile begins to count anew.
  SEGUE_ASSIGN(auto now, read_proxy_record(folder));
  if (now && now->set_at == set_at && now->wanted.share_ppm == record->wanted.share_ppm) {
    now->meter = meter.state();
    SEGUE_TRY(write_proxy_record(folder, *now));
  }
  return report.orders;
}

ExitCode keep(const Context& context) {
  Output& output = context.output;
  const os::SystemClock clock;
  const int interval_ms = static_cast<int>(context.arguments.share.keep_s * 1'000);
  std::string last_problem;
  while (true) {
    const auto said = keep_once(clock, folder_of(context));
    const std::string problem = said ? "" : said.error().to_string();
    if (!said && problem != last_problem) {
      output.note(problem);
      output.print_json(Json{{"event", "not kept"}, {"why", problem}});
    } else if (said && *said > 0) {
      output.print(fmt::format("set again: HAProxy had lost it ({} commands)", *said));
      output.print_json(Json{{"event", "set again"}, {"orders", *said}});
    }
    last_problem = problem;
    ::poll(nullptr, 0, interval_ms);
  }
}

bool says_something(const ShareOptions& options) {
  return !options.share.empty() || !options.haproxy.empty() || !options.backend.empty() ||
         !options.canary_servers.empty() || !options.drain_servers.empty() ||
         !options.remove_servers.empty() || !options.map.empty() || !options.routes.empty();
}

}  // namespace

ExitCode share_by_proxy(const Context& context) {
  Output& output = context.output;
  const ShareOptions& options = context.arguments.share;
  if (options.forget) {
    if (!context.arguments.dry_run) remove_proxy_record(folder_of(context));
    return output.finish(ExitCode::done,
                         "nothing of HAProxy is remembered for " + context.arguments.name);
  }
  const auto before = read_proxy_record(folder_of(context));
  if (!before && options.haproxy.empty()) return output.fail(before.error());
  const auto known = before ? *before : std::optional<ProxyRecord>();
  if (!says_something(options) && options.keep_s == 0) return show(context, *known);
  if (says_something(options)) {
    const auto record = wanted_record(options, known);
    if (!record) return output.fail(record.error());
    const ExitCode exit = set(context, *record, known);
    if (exit != ExitCode::done || options.keep_s == 0 || context.arguments.dry_run) return exit;
  }
  return keep(context);
}

}  // namespace segue::cli
