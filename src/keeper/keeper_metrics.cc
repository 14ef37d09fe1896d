// SPDX-License-Identifier: Apache-2.0
// The keeper's figures: where they come from, and where they are read.
#include <fmt/format.h>
#include <unistd.h>

#include <utility>

#include "base/json_writer.h"
#include "control/name.h"
#include "control/reply.h"
#include "keeper/keeper.h"
#include "os/host_figures.h"

namespace segue::keeper {

std::string Keeper::metrics_text() const {
  const base::MonotonicTime now = clock_.monotonic_now();
  Metrics::Gauges gauges;
  gauges.component = line_.name;
  gauges.phase = component_->phase();
  gauges.generation = component_->owner();
  gauges.epoch = page_.look().epoch;
  gauges.listeners = listeners_.size();
  gauges.uptime_seconds = std::chrono::duration<double>(now - since_).count();
  gauges.log_lines_lost = step_log_.lines_lost() + history_log_.lines_lost();
  gauges.steps = last_step_;
  gauges.replaced = replaced_;
  if (const Instance* owner = component_->find(component_->owner())) {
    gauges.connections = owner->connections;
    gauges.hung = owner->hung;
  }
  for (const auto& [generation, instance] : component_->instances()) {
    const auto memory = os::process_memory(instance.pid);
    if (!memory) continue;  // it has just ended
    gauges.instances.push_back(
        {generation, instance.role,
         memory->anonymous_bytes + memory->file_bytes + memory->shared_bytes});
  }
  return metrics_.text(gauges);
}

// Without them the component is kept all the same.
void Keeper::start_metrics() {
  metrics_server_ =
      std::make_unique<MetricsServer>(loop_, clock_, [this] { return metrics_text(); });
  const auto note = [&](const base::Error& error) {
    execute(Step{"metrics.not_served", {{"why", error.to_string()}}, false});
  };
  const std::string path = paths_.runtime + "/" + std::string(control::kMetricsSocket);
  if (auto done = metrics_server_->listen_unix(path); !done) note(done.error());
  if (line_.run.metrics_listen.empty()) return;
  if (auto done = metrics_server_->listen_tcp(line_.run.metrics_listen); !done) {
    note(done.error());
  }
}

void Keeper::answer_metrics(RequestId id) {
  base::JsonWriter json;
  json.begin_object()
      .field(control::reply::kDone, true)
      .field(control::reply::kExit, 0)
      .field(control::reply::kMetrics, metrics_text());
  server_.finish(id, std::move(json.end()).take());
}

void Keeper::ask_registered(RequestId id) {
  const auto owner = processes_.find(component_->owner());
  if (owner == processes_.end() || !owner->second.channel_open) {
    return end_request(id, control::ExitCode::refused, line_.name + " does not serve now");
  }
  std::erase_if(survey_requests_, [this](RequestId request) { return !server_.has(request); });
  survey_requests_.push_back(id);
  survey_ping_ = ++last_ping_;
  send(owner->first, handoff::FrameType::keeper_ping, ask_payload(survey_ping_));
}

// An instance that cannot say it answers the ping all the same; whoever waits gets nothing then.
void Keeper::answer_registered(const PongReceived& pong) {
  if (survey_requests_.empty() || pong.generation != component_->owner() ||
      pong.number != survey_ping_) {
    return;
  }
  for (const RequestId id : std::exchange(survey_requests_, {})) {
    server_.finish(id, last_reply_with(control::reply::kRegistered,
                                       pong.registered.empty() ? "[]" : pong.registered));
  }
}

}  // namespace segue::keeper
