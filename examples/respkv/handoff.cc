// SPDX-License-Identifier: Apache-2.0
#include "handoff.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "handoff_client.h"
#include "handoff_keyspace.h"
#include "version.h"

namespace respkv {
namespace {

constexpr int kBacklog = 4096;
constexpr std::uint64_t kBreakDelayMs = 200;  // serves before it crashes or hangs

Handoff& self(void* user) {
  return *static_cast<Handoff*>(user);
}

segue_callbacks callbacks() {
  segue_callbacks calls{};
  calls.size = sizeof calls;
  calls.listener = [](void* user, const char* name, int fd) -> int {
    Server& server = self(user).server();
    return server.set_listener(name, fd) ? SEGUE_OK : SEGUE_SYSTEM;
  };
  calls.freeze = [](void* user) -> int {
    self(user).server().freeze();
    return SEGUE_OK;
  };
  calls.resume = [](void* user, segue_resume_reason reason, int /*released*/) {
    self(user).resume(reason);
  };
  calls.check = [](void* user, char* why, std::size_t why_size) -> int {
    const std::string reason = self(user).check();
    if (reason.empty()) return SEGUE_OK;
    *fmt::format_to_n(why, why_size - 1, "{}", reason).out = '\0';
    return SEGUE_REFUSED;
  };
  calls.activate = [](void* user, const segue_activation* activation) {
    self(user).activate(*activation);
  };
  calls.terminate = [](void* user, segue_end_reason reason) { self(user).terminate(reason); };
  calls.progress = [](void* user, const segue_progress* progress) {
    self(user).see_off_predecessor(progress->predecessor_lingers_ms);
  };
  calls.replay_note = [](void* user, std::uint32_t tag, const void* data, std::size_t size) {
    self(user).server().replay_note(tag, data, size);
  };
  return calls;
}

std::string_view resume_name(segue_resume_reason reason) {
  switch (reason) {
    case SEGUE_RESUME_LATE:
      return "late";
    case SEGUE_RESUME_DECLINED:
      return "declined";
    case SEGUE_RESUME_ABORTED:
      return "aborted";
    case SEGUE_RESUME_RECLAIMED:
      return "reclaimed";
    case SEGUE_RESUME_REPLAYED:
      return "replayed";
    case SEGUE_RESUME_FROM_ARENAS:
      return "from-arenas";
  }
  return "unknown";
}

std::string_view end_name(segue_end_reason reason) {
  switch (reason) {
    case SEGUE_END_COMMITTED:
      return "committed";
    case SEGUE_END_REFUSED:
      return "refused";
    case SEGUE_END_REHEARSED:
      return "rehearsed";
    case SEGUE_END_STOPPED:
      return "stopped";
    case SEGUE_END_CRASHED:
      return "crashed";
  }
  return "unknown";
}

}  // namespace

Handoff::~Handoff() {
  if (handle_ != nullptr) segue_free(handle_);
}

void Handoff::log(const std::string& event) const {
  fmt::print(stderr, "respkv: version={} pid={} epoch={} connections={} {}\n", kVersion, getpid(),
             server_->epoch, server_->client_count(), event);
}

std::string Handoff::open() {
  const segue_callbacks calls = callbacks();
  const std::string version = std::to_string(kVersion);
  segue_options settings{};
  settings.size = sizeof settings;
  settings.service = options_.breaks == Break::other_service ? "respkv-other" : "respkv";
  settings.version = version.c_str();
  settings.directory = options_.directory.empty() ? nullptr : options_.directory.c_str();
  settings.budget_us = options_.budget_us;
  settings.probation_ms = options_.probation_ms;
  settings.on_crash = options_.on_crash == OnCrash::replay    ? SEGUE_ON_CRASH_REPLAY
                      : options_.on_crash == OnCrash::restart ? SEGUE_ON_CRASH_RESTART
                                                              : SEGUE_ON_CRASH_RESUME;
  settings.journal_bytes = options_.journal_bytes;
  std::array<char, 512> why{};
  handle_ = segue_open(&settings, &calls, this, why.data(), why.size());
  if (handle_ == nullptr) return fmt::format("cannot open libsegue: {}", why.data());
  return declare();
}

std::string Handoff::declare() {
  if (const std::string why = server_->open_loops(handle_); !why.empty()) {
    return fmt::format("cannot declare the event loops: {}", why);
  }
  Server::Tables tables;
  tables.handle = handle_;
  tables.clients = open_client_class(handle_, *server_);
  tables.keyspace = open_keyspace_table(handle_, *server_, options_.breaks == Break::form,
                                        options_.breaks == Break::rehearsal);
  tables.service = open_service_table(handle_, *server_);
  if (tables.clients == nullptr || tables.keyspace == nullptr || tables.service == nullptr) {
    return fmt::format("cannot declare the state: {}", segue_error(handle_));
  }
  server_->set_tables(tables);
  for (std::size_t i = 0; i < options_.listen.size(); ++i) {
    const std::string name = fmt::format("clients.{}", i);
    if (segue_listen(handle_, name.c_str(), options_.listen[i].c_str(), kBacklog) != SEGUE_OK) {
      return fmt::format("cannot listen on {}: {}", options_.listen[i], segue_error(handle_));
    }
  }
  return {};
}

std::string Handoff::start() {
  if (segue_start(handle_) == SEGUE_OK) return {};
  return fmt::format("cannot start: {}", segue_error(handle_));
}

std::string Handoff::check() {
  if (options_.breaks == Break::invariant) return "broken on purpose (--break invariant)";
  return server_->check();
}

void Handoff::activate(const segue_activation& activation) {
  server_->epoch = activation.epoch;
  server_->last_blackout_ns = activation.blackout_ns;
  if (activation.first == 0) ++server_->engine.statistics.handoffs;
  server_->start_serving();
  // Clients come before the log: what this callback takes belongs to the blackout.
  server_->after(0, [this, activation] { activated(activation); });
}

void Handoff::activated(const segue_activation& activation) {
  log(fmt::format("event=activated first={} blackout_us={}", activation.first,
                  activation.blackout_ns / 1000));
  switch (options_.breaks) {
    case Break::vote:
      segue_vote(handle_, 0, "bad on purpose (--break vote)");
      break;
    case Break::crash_in_probation:
      server_->after(kBreakDelayMs, [] { std::abort(); });
      break;
    case Break::hang_in_probation:
      server_->after(kBreakDelayMs, [] {
        while (true) pause();
      });
      break;
    default:
      break;
  }
}

void Handoff::resume(segue_resume_reason reason) {
  if (reason == SEGUE_RESUME_RECLAIMED) server_->close_used_by_successor();
  if (reason == SEGUE_RESUME_REPLAYED) {
    segue_progress progress{};
    progress.size = sizeof progress;
    segue_get_progress(handle_, &progress);
    server_->end_replay(progress.closed_on_reclaim);
    log(fmt::format("event=replayed inputs={} repaired={} closed={}", progress.replayed,
                    progress.repaired, progress.closed_on_reclaim));
  }
  server_->start_serving();
  log(fmt::format("event=resumed reason={} why=\"{}\"", resume_name(reason), segue_error(handle_)));
}

void Handoff::see_off_predecessor(std::uint64_t lingers_ms) {
  if (std::exchange(predecessor_lingers_ms_, lingers_ms) == lingers_ms) return;
  if (lingers_ms == 0) return log("event=predecessor_gone");
  log(fmt::format("event=predecessor_lingers why=\"{}\"", segue_error(handle_)));
}

void Handoff::terminate(segue_end_reason reason) {
  server_->stop();
  const bool refused = reason == SEGUE_END_REFUSED;
  exit_code_ = refused ? 1 : 0;
  committed_ = reason == SEGUE_END_COMMITTED;
  log(fmt::format("event=ended reason={}{}", end_name(reason),
                  refused ? fmt::format(" why=\"{}\"", segue_error(handle_)) : ""));
}

}  // namespace respkv
