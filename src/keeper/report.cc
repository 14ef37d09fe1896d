// SPDX-License-Identifier: Apache-2.0
#include "keeper/report.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/json_writer.h"
#include "control/reply.h"
#include "control/text.h"
#include "keeper/outcome_text.h"

namespace segue::keeper {
namespace {

using base::JsonWriter;
using std::chrono::duration_cast;
using std::chrono::milliseconds;

double seconds_between(base::MonotonicTime from, base::MonotonicTime to) {
  return static_cast<double>(duration_cast<milliseconds>(to - from).count()) / 1000;
}

double to_ms(base::Duration duration) {
  return static_cast<double>(duration.count()) / 1e6;
}

base::RealTime real_time_of(base::MonotonicTime then, const Now& now) {
  return now.real - (now.monotonic - then);
}

// A key with its time in ms since `from`, or null.
void optional_ms(JsonWriter& json, std::string_view key, base::MonotonicTime from,
                 const std::optional<base::MonotonicTime>& to) {
  json.key(key);
  if (to) {
    json.value(to_ms(*to - from));
  } else {
    json.null();
  }
}

void write_instance(JsonWriter& json, const Instance& instance) {
  json.begin_object()
      .field("generation", instance.generation)
      .field("role", to_string(instance.role))
      .field("version", instance.version)
      .field("pid", instance.pid)
      .field("connections", instance.connections)
      .field("hung", instance.hung)
      .field("program", instance.launch.argv.front())
      .end();
}

void write_attempt_fields(JsonWriter& json, const Attempt& attempt, const Now& now) {
  const Progress& from = attempt.from_progress;
  const Progress& to = attempt.to_progress;
  json.field("id", attempt.id)
      .field("kind", to_string(attempt.kind))
      .field("outcome", to_string(attempt.outcome))
      .field("from", attempt.from)
      .field("to", attempt.to)
      .field("phase", attempt_phase_name(attempt.reported_phase))
      .field("tries", attempt.tries)
      .field("rounds", from.rounds)
      .field("freezes", from.freezes)
      .field("records", std::max(from.records, to.records))
      .field("bytes", std::max(from.bytes, to.bytes))
      .field("fds", std::max(from.fds, to.fds))
      .field("connections", from.connections)
      .field("connections_moved", attempt.activated ? to.connections : 0)
      .field("connections_lost", attempt.activated ? connections_lost(attempt) : 0)
      .field("predicted_blackout_ns", from.predicted_ns)
      .field("blackout_ns", attempt.blackout_ns)
      .field("frozen_max_ns", attempt.frozen_max_ns)
      .field("replayed", from.replayed)
      .field("repaired", from.repaired)
      .field("closed_on_reclaim", from.closed_on_reclaim)
      .field("from_generation", attempt.predecessor)
      .field("to_generation", attempt.successor)
      .field("program", attempt.launch.argv.empty() ? std::string() : attempt.launch.argv.front())
      .field("began", utc_text(real_time_of(attempt.began, now)))
      .field("duration_ms", to_ms(attempt.ended.value_or(now.monotonic) - attempt.began));
  optional_ms(json, "activated_ms", attempt.began, attempt.activated);
  optional_ms(json, "committed_ms", attempt.began, attempt.committed);
  json.key("predecessor_gone_s");
  if (attempt.predecessor_gone) {
    json.value(to_ms(*attempt.predecessor_gone) / 1000);
  } else {
    json.null();
  }
  if (attempt.contract != control::Contract::libsegue) {
    json.field("upgrade", to_string(attempt.contract))
        .field("connections_kept", attempt.kept)
        .field("connections_drained", attempt.drained)
        .field("connections_cut", attempt.cut);
  }
  if (attempt.losses.known) {
    json.key("losses");
    write_losses(json, attempt.losses, control::version_text(attempt.to));
  }
  json.field("why", attempt.why).field("aftermath", attempt.aftermath);
}

// Fields of steps that are numbers; everything else is text even if it looks like one.
bool is_number_field(std::string_view key) {
  static constexpr std::array<std::string_view, 9> kNumbers = {
      "generation",  "attempt", "try",      "round", "reason",
      "blackout_ns", "restart", "delay_ms", "good"};
  return std::find(kNumbers.begin(), kNumbers.end(), key) != kNumbers.end();
}

void raw_field(std::string& out, std::string_view field, std::string_view json) {
  base::append_json_string(out, field);
  out.append(":").append(json);
}

}  // namespace

std::string utc_text(base::RealTime time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(seconds.time_since_epoch().count()),
                     duration_cast<milliseconds>(time - seconds).count());
}

std::string status_json(const Decider& component, const Surroundings& surroundings,
                        const Now& now) {
  const Instance* owner = component.find(component.owner());
  const auto& instances = component.instances();
  const auto old = std::count_if(instances.begin(), instances.end(), [](const auto& entry) {
    return entry.second.role == Role::ending || entry.second.role == Role::frozen;
  });
  JsonWriter json;
  json.begin_object()
      .field("name", component.settings().name)
      .field("phase", to_string(component.phase()))
      .field("phase_s", seconds_between(component.phase_since(), now.monotonic))
      .field("service", owner != nullptr ? owner->service : "")
      .field("version", owner != nullptr ? owner->version : "")
      .field("generation", component.owner())
      .field("pid", owner != nullptr ? owner->pid : 0)
      .field("epoch", surroundings.epoch)
      .field("connections", owner != nullptr ? owner->connections : 0)
      .field("hung", owner != nullptr && owner->hung)
      .field("uptime_s",
             owner != nullptr ? seconds_between(owner->active_since, now.monotonic) : 0.0)
      .field("restarts", component.restarts_in_row())
      .field("old_processes", old)
      .field("keeper_pid", surroundings.keeper_pid)
      .field("keeper_uptime_s", seconds_between(surroundings.keeper_since, now.monotonic))
      .field("keeper_replaced", surroundings.keeper_replaced)
      .field("log_lines_lost", surroundings.log_lines_lost)
      .field("upgrade", component.settings().contract.upgrade);
  json.key("program").begin_array();
  if (owner != nullptr) {
    for (const auto& word : owner->launch.argv) json.value(word);
  }
  json.end().key("previous");
  if (component.previous().empty()) {
    json.null();
  } else {
    json.value(component.previous().back().version);
  }
  json.key("listeners").begin_array();
  for (const auto& name : surroundings.listeners) json.value(name);
  json.end().key("stored").begin_array();
  for (const auto& name : surroundings.stored) json.value(name);
  json.end().key("instances").begin_array();
  for (const auto& [generation, instance] : instances) write_instance(json, instance);
  json.end().key("attempt");
  if (component.attempt()) {
    json.begin_object();
    write_attempt_fields(json, *component.attempt(), now);
    json.end();
  } else {
    json.null();
  }
  return std::move(json.end()).take();
}

std::string attempt_json(const Attempt& attempt, const Now& now) {
  JsonWriter json;
  json.begin_object();
  write_attempt_fields(json, attempt, now);
  return std::move(json.end()).take();
}

std::string step_json(const Step& step, std::uint64_t number, const Now& now) {
  JsonWriter json;
  json.begin_object().field("n", number).field("at", utc_text(now.real)).field("event", step.name);
  for (const auto& [key, value] : step.fields) {
    std::uint64_t figure = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), figure);
    const bool whole = error == std::errc() && end == value.data() + value.size();
    if (whole && is_number_field(key)) {
      json.field(key, figure);
    } else {
      json.field(key, value);
    }
  }
  return std::move(json.end()).take();
}

std::string progress_reply(const Decider& component, const Attempt& attempt, const Now& now) {
  JsonWriter json;
  json.begin_object().field("keeper_phase", to_string(component.phase()));
  write_attempt_fields(json, attempt, now);
  return wrapped_reply(control::reply::kProgress, std::move(json.end()).take());
}

std::string wrapped_reply(std::string_view field, std::string_view json) {
  std::string reply = "{";
  raw_field(reply, field, json);
  return reply + "}";
}

std::string last_reply(std::string_view name, control::ExitCode exit, std::string_view text,
                       const Attempt* attempt, const Now& now) {
  JsonWriter json;
  json.begin_object()
      .field(control::reply::kDone, true)
      .field(control::reply::kExit, static_cast<int>(exit))
      .field(control::reply::kName, name)
      .field(control::reply::kText, text);
  if (attempt != nullptr) {
    json.key(control::reply::kAttempt).begin_object();
    write_attempt_fields(json, *attempt, now);
    json.end();
  }
  return std::move(json.end()).take();
}

std::string last_reply_with(std::string_view field, std::string_view json) {
  std::string reply = "{\"done\":true,\"exit\":0,";
  raw_field(reply, field, json);
  return reply + "}";
}

std::string queued_reply(std::string_view behind) {
  JsonWriter json;
  return std::move(json.begin_object().field(control::reply::kQueued, behind).end()).take();
}

}  // namespace segue::keeper
