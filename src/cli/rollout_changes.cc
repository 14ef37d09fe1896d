// SPDX-License-Identifier: Apache-2.0
#include "cli/rollout_changes.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "cli/rollout_tree.h"
#include "cli/screen_text.h"
#include "cli/server_client.h"
#include "control/text.h"
#include "traffic/share.h"

namespace segue::cli {
namespace {

bool is_number(std::string_view word) {
  if (word.starts_with('+') || word.starts_with('(')) word.remove_prefix(1);
  const std::size_t end = word.find_last_not_of("%,.;:)");
  word = word.substr(0, end == std::string_view::npos ? 0 : end + 1);
  return !word.empty() && word.front() >= '0' && word.front() <= '9' &&
         word.find_first_not_of("0123456789.,e+-") == std::string_view::npos;
}

bool is_unit(std::string_view word) {
  constexpr std::array<std::string_view, 7> kUnits = {"us", "ms", "s", "min", "h", "days", "time"};
  word = word.substr(0, word.find_last_not_of(",.;:)") + 1);
  return std::find(kUnits.begin(), kUnits.end(), word) != kUnits.end();
}

// A sentence without its figures, so that "for 12 s" and "for 2 min 3 s" are the same.
std::string without_figures(std::string_view text) {
  std::string rest;
  bool after_number = false;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const bool number = is_number(word);
    if (!number && !(after_number && is_unit(word))) (rest += word) += ' ';
    after_number = number || (after_number && is_unit(word));
  }
  return rest;
}

std::string with_text(std::string line, const std::string& text) {
  return text.empty() ? line : line + ": " + text;
}

std::uint64_t count_of(const Json& json, const char* name) {
  return json.value(name, std::uint64_t{0});
}

}  // namespace

std::string RolloutChange::line(std::uint64_t now_ms) const {
  return fmt::format("{:%H:%M:%S} {}{}{}: {}",
                     fmt::gmtime(static_cast<std::time_t>(now_ms / 1'000)), what,
                     subject.empty() ? "" : " ", subject, text);
}

Json RolloutChange::json(std::uint64_t now_ms) const {
  return {{"time_ms", now_ms}, {"what", what}, {"subject", subject}, {"text", text}, {"now", now}};
}

void RolloutChanges::tell(std::string what, std::string subject, std::string key, std::string text,
                          Json now) {
  const auto [told, is_first] = told_.try_emplace({what, subject});
  if (!is_first && told->second == key) return;
  told->second = std::move(key);
  changes_.push_back({std::move(what), shown_text(subject), shown_text(text), std::move(now)});
}

std::vector<RolloutChange> RolloutChanges::look(const Json& progress) {
  changes_.clear();
  whole(progress);
  steps(progress);
  instances(progress);
  for (const auto& gate : progress.value("gates", Json::array())) {
    const std::string text = text_of(gate, "text");
    const std::string verdict = text_of(gate, "verdict");
    if (verdict == "wait" && text.empty()) continue;  // nobody has looked so far
    tell("gate", text_of(gate, "name"),
         fmt::format("{} {} {}", count_of(progress, "step"), verdict, without_figures(text)),
         with_text(verdict, text), gate);
  }
  for (const auto& share : progress.value("shares", Json::array())) {
    const std::string text = fmt::format("{} {}", traffic::share_text(share.value("share_ppm", 0U)),
                                         text_of(share, "result"));
    tell("share", text_of(share, "proxy_host"), text, with_text(text, text_of(share, "text")),
         share);
  }
  const std::string waits = text_of(progress, "waits_for");
  if (!waits.empty()) tell("waits", "", without_figures(waits), "for " + waits, waits);
  return std::move(changes_);
}

void RolloutChanges::whole(const Json& progress) {
  const std::string phase = phase_text(progress);
  std::string text = with_text(phase, text_of(progress, "why"));
  if (const Json traffic = progress.value("traffic", Json::object());
      count_of(traffic, "handoffs") > 0) {
    text += fmt::format("; {}, {} connections moved, {} lost, worst blackout {}",
                        control::counted(count_of(traffic, "handoffs"), "handoff"),
                        count_of(traffic, "moved"), count_of(traffic, "lost"),
                        control::milliseconds_text(1'000 * count_of(traffic, "worst_blackout_us")));
  }
  Json now = progress;
  for (const char* part : {"steps", "gates", "shares", "noteworthy", "instances"}) now.erase(part);
  tell("rollout", "", phase + without_figures(text_of(progress, "why")), text, std::move(now));
}

void RolloutChanges::steps(const Json& progress) {
  const Json steps = progress.value("steps", Json::array());
  std::size_t instances = 0;
  for (const auto& step : steps) instances += count_of(step, "instances");
  // Where not every host has a line of its own they are counted.
  const bool counts = instances > progress.value("instances", Json::array()).size();
  std::size_t index = 0;
  for (const auto& step : steps) {
    const std::string state = text_of(step, "state");
    const std::string subject = fmt::format("{} {}", ++index, text_of(step, "name"));
    if (state == "to-come") continue;
    std::string key = state == "current" ? text_of(progress, "step_phase") : state;
    std::string text = fmt::format("{}, {} of {} moved", key, count_of(step, "moved"),
                                   count_of(step, "instances"));
    for (const char* name : {"moving", "failed", "silent"}) {
      if (const auto count = count_of(step, name); count > 0)
        text += fmt::format(", {} {}", count, name);
    }
    if (text_of(step, "kind") == "canary") {
      text +=
          fmt::format(", {} of new connections", traffic::share_text(step.value("share_ppm", 0U)));
    }
    if (counts) key = text;
    tell("step", subject, std::move(key), std::move(text), step);
  }
}

void RolloutChanges::instances(const Json& progress) {
  for (const auto& instance : progress.value("instances", Json::array())) {
    const std::string standing = text_of(instance, "standing");
    const std::string slot = text_of(instance, "slot") == "canary" ? " canary" : "";
    const std::string host = text_of(instance, "host") + slot;
    if (standing == "waiting" && !told_.contains({"host", host})) continue;  // as before
    const std::string stage = instance_stage(instance);
    const std::string said = standing == "good" || standing == "waiting" || standing == "renewed"
                                 ? ""
                                 : text_of(instance, "text");
    std::string text = stage;
    if (const auto revision = count_of(instance, "revision"); revision > 0) {
      text += fmt::format(", revision {}, {}", revision,
                          control::counted(count_of(instance, "connections"), "connection"));
    }
    const std::string handoff = handoff_text(instance);
    if (!handoff.empty()) text += ", " + handoff;
    tell("host", host,
         fmt::format("{}/{}/{}/{}", stage, count_of(instance, "revision"), handoff,
                     without_figures(said)),
         with_text(std::move(text), said), instance);
  }
}

}  // namespace segue::cli
