// SPDX-License-Identifier: Apache-2.0
#include "rollout/progress.h"

#include "base/json_writer.h"

namespace segue::rollout {
namespace {

using base::JsonWriter;

void append(JsonWriter& json, const InstanceProgress& instance) {
  json.begin_object()
      .field("host", instance.host)
      .field("slot", to_string(instance.slot))
      .field("step", instance.step)
      .field("standing", instance.standing)
      .field("revision", instance.revision)
      .field("activity", to_string(instance.activity))
      .field("health", to_string(instance.health))
      .field("connections", instance.connections);
  if (instance.handoff) {
    json.key("handoff")
        .begin_object()
        .field("connections", instance.handoff->connections)
        .field("lost", instance.handoff->lost)
        .field("blackout_us", instance.handoff->blackout_us)
        .end();
  }
  json.field("since_ms", instance.since_ms).field("text", instance.text).end();
}

void append(JsonWriter& json, const StepProgress& step) {
  json.begin_object()
      .field("name", step.name)
      .field("kind", to_string(step.kind))
      .field("state", step.state)
      .field("share_ppm", step.share_ppm)
      .field("instances", step.instances)
      .field("moved", step.moved)
      .field("moving", step.moving)
      .field("failed", step.failed)
      .field("silent", step.silent)
      .field("skipped", step.skipped)
      .end();
}

void append(JsonWriter& json, const ShareProgress& share) {
  json.begin_object()
      .field("proxy_host", share.proxy_host)
      .field("share_ppm", share.share_ppm)
      .field("result", to_string(share.seen.result))
      .field("text", share.seen.text)
      .field("stable", share.seen.stable)
      .field("canary", share.seen.canary)
      .field("stable_open", share.seen.stable_open)
      .field("canary_open", share.seen.canary_open)
      .field("restarts", share.seen.restarts)
      .end();
}

void append(JsonWriter& json, const TrafficProgress& traffic) {
  json.begin_object()
      .field("stable", traffic.stable)
      .field("canary", traffic.canary)
      .field("handoffs", traffic.handoffs)
      .field("moved", traffic.moved)
      .field("lost", traffic.lost)
      .field("worst_blackout_us", traffic.worst_blackout_us)
      .end();
}

void append(JsonWriter& json, const std::vector<InstanceProgress>& instances) {
  json.begin_array();
  for (const auto& instance : instances) append(json, instance);
  json.end();
}

}  // namespace

std::string write_progress(const Progress& progress) {
  JsonWriter json;
  json.begin_object()
      .field("segue_progress", 1)
      .field("id", progress.id)
      .field("component", progress.component)
      .field("title", progress.title)
      .field("author", progress.author)
      .key("signed_by")
      .begin_array();
  for (const auto& signer : progress.signed_by) {
    json.begin_object().field("person", signer.person).field("key", signer.key).end();
  }
  json.end()
      .field("phase", to_string(progress.phase))
      .field("step", progress.step)
      .field("step_phase", to_string(progress.step_phase))
      .field("since_ms", progress.since_ms)
      .field("share_ppm", progress.share_ppm)
      .field("paused", progress.paused)
      .field("stopped", progress.stopped)
      .field("why", progress.why)
      .field("waits_for", progress.waits_for)
      .field("next", progress.next)
      .key("remaining_ms");
  if (progress.remaining_ms) {
    json.value(*progress.remaining_ms);
  } else {
    json.null();
  }
  json.key("steps").begin_array();
  for (const auto& step : progress.steps) append(json, step);
  json.end().key("gates").begin_array();
  for (const auto& gate : progress.gates) {
    json.begin_object()
        .field("name", gate.name)
        .field("verdict", to_string(gate.verdict))
        .field("text", gate.text)
        .end();
  }
  json.end().key("shares").begin_array();
  for (const auto& share : progress.shares) append(json, share);
  json.end().key("traffic");
  append(json, progress.traffic);
  json.key("noteworthy");
  append(json, progress.noteworthy);
  json.key("instances");
  append(json, progress.instances);
  json.end();
  return std::move(json).take() + "\n";
}

std::string write_instances(const std::vector<InstanceProgress>& instances) {
  JsonWriter json;
  append(json, instances);
  return std::move(json).take() + "\n";
}

}  // namespace segue::rollout
