// SPDX-License-Identifier: Apache-2.0
#include "agent/fleet_agent.h"

#include <filesystem>
#include <utility>

#include "fleet/logs.h"
#include "os/files.h"

namespace segue::agent {
namespace {

using base::Result;

constexpr std::string_view kMemory = "/memory.json";

Result<reconcile::Memory> read_kept(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return reconcile::Memory{};
  SEGUE_ASSIGN(const std::string text, os::read_file(path, reconcile::kMaxMemoryBytes));
  auto memory = reconcile::read_memory(text);
  if (memory) return memory;
  return base::fail(memory.error().with("cannot use " + path));
}

}  // namespace

Result<std::unique_ptr<FleetAgent>> FleetAgent::open(os::EpollLoop& loop, const os::Clock& clock,
                                                     const base::Log& log, Settings settings,
                                                     membership::MembershipFiles files,
                                                     membership::Membership membership) {
  SEGUE_TRY(os::ensure_private_directory(settings.directory));
  SEGUE_ASSIGN(auto specs, SpecFiles::open(settings.directory + "/specs"));
  SEGUE_ASSIGN(auto memory, read_kept(settings.directory + std::string(kMemory)));
  memory.desired.observe_only = settings.observe_only;  // as it was started now, not before
  return std::unique_ptr<FleetAgent>(new FleetAgent(loop, clock, log, std::move(settings),
                                                    std::move(files), std::move(membership),
                                                    std::move(specs), std::move(memory)));
}

FleetAgent::FleetAgent(os::EpollLoop& loop, const os::Clock& clock, const base::Log& log,
                       Settings settings, membership::MembershipFiles files,
                       membership::Membership membership, SpecFiles specs, reconcile::Memory memory)
    : loop_(loop),
      clock_(clock),
      log_(log),
      settings_(std::move(settings)),
      specs_(std::move(specs)),
      decider_(std::move(memory)),
      line_(loop, clock, log, std::move(files), std::move(membership),
            {.attached = [this] { say_hello(); },
             .beat = [this] { send(rpc::EnvelopeKind::heartbeat, generation(), ""); },
             .received = [this](const rpc::Envelope& envelope) { received(envelope); }}) {}

FleetAgent::~FleetAgent() {
  for (auto* timer : {&timer_, &keep_timer_, &report_timer_}) {
    if (*timer) loop_.cancel(**timer);
  }
}

void FleetAgent::start() {
  for (const auto& [key, spec] : specs_.all()) {
    settings_.order(Know{key.first, key.second, spec});
  }
  decide([this] { return decider_.resume(clock_.monotonic_now()); });
  for (const auto& key : decider_.instances()) watch(key);
  line_.start();
}

std::string FleetAgent::hello() const {
  const membership::Membership& membership = line_.membership();
  return fleet::write_hello({.site = membership.site,
                             .labels = membership.labels,
                             .program_version = SEGUE_VERSION,
                             .boot_id = settings_.boot_id,
                             .incarnation = settings_.incarnation,
                             .fleet = specs_.fleet(),
                             .observe_only = settings_.observe_only});
}

// ---- From the server

void FleetAgent::received(const rpc::Envelope& envelope) {
  switch (envelope.kind) {
    case rpc::EnvelopeKind::desired:
      return take_desired(envelope.document);
    case rpc::EnvelopeKind::refused:
      log_.warning("agent.refused", {{"why", envelope.document}});
      return;
    case rpc::EnvelopeKind::again_wanted:
      return say_hello();
    case rpc::EnvelopeKind::logs_wanted:
      return take_logs_wanted(envelope);
    default:
      return;  // of a newer version
  }
}

void FleetAgent::take_desired(const std::string& document) {
  const auto desired = fleet::read_desired(document);
  if (!desired) return say_trouble(desired.error().to_string());
  if (const auto kept = specs_.keep(*desired); !kept) return say_trouble(kept.error().to_string());
  say_trouble("");
  for (const auto& [key, text] : desired->specs) {
    if (const auto* spec = specs_.find(key.first, key.second)) {
      settings_.order(Know{key.first, key.second, *spec});
    }
  }
  give(reconcile::DesiredArrived{reconcile::desired_of(*desired, settings_.observe_only)});
  for (const auto& [key, assignment] : desired->instances) watch({key.first, key.second});
}

void FleetAgent::take_logs_wanted(const rpc::Envelope& envelope) {
  const auto wanted = fleet::read_logs_wanted(envelope.document);
  if (!wanted) {
    send(rpc::EnvelopeKind::logs, envelope.number,
         fleet::write_logs_read({.lines = {}, .at = "", .trouble = wanted.error().message()}));
    return;
  }
  settings_.order(
      ReadLogs{{wanted->component, wanted->slot}, envelope.number, wanted->from, wanted->lines});
}

void FleetAgent::answered(const OrderAnswer& answer) {
  if (const auto* logs = std::get_if<LogsRead>(&answer)) {
    send(rpc::EnvelopeKind::logs, logs->request, logs->document);
    return;
  }
  give(std::get<reconcile::Event>(answer));
}

// ---- Deciding

void FleetAgent::give(reconcile::Event event) {
  events_.push_back(std::move(event));
  work();
}

void FleetAgent::work() {
  if (working_ || pending_) return;
  working_ = true;
  while (!events_.empty() && !pending_) {
    const reconcile::Event event = std::move(events_.front());
    events_.pop_front();
    decide([&] { return decider_.handle(event, clock_.monotonic_now()); });
  }
  working_ = false;
  set_timer();
}

// What cannot be kept is not carried out, and nothing else is decided before it is.
void FleetAgent::decide(const std::function<reconcile::Decision()>& decision) {
  pending_ = decision();
  if (pending_->keep) {
    if (const auto kept = keep(); !kept) {
      say_trouble(kept.error().to_string());
      const auto timer = loop_.call_at(clock_.monotonic_now() + kKeepRetry, [this] {
        keep_timer_.reset();
        if (!pending_) return;
        decide([this] { return *std::exchange(pending_, std::nullopt); });
        work();
      });
      if (timer) keep_timer_ = *timer;
      return;
    }
    say_trouble("");
  }
  const reconcile::Decision decided = *std::exchange(pending_, std::nullopt);
  for (const auto& command : decided.commands) carry_out(command);
}

Result<void> FleetAgent::keep() {
  return os::write_file_atomically(settings_.directory + std::string(kMemory),
                                   reconcile::write_memory(decider_.memory()));
}

void FleetAgent::carry_out(const reconcile::Command& command) {
  std::visit(
      [this](const auto& one) {
        using Command = std::decay_t<decltype(one)>;
        if constexpr (std::is_same_v<Command, reconcile::Report>) {
          report_soon();
        } else if constexpr (std::is_same_v<Command, reconcile::RefuseDesired>) {
          say_trouble(one.text);
        } else {
          settings_.order(one);
        }
      },
      command);
}

void FleetAgent::watch(const reconcile::InstanceKey& key) {
  if (watched_.insert(key).second) settings_.order(Watch{key});
}

void FleetAgent::set_timer() {
  const auto deadline = decider_.next_deadline();
  if (timer_) loop_.cancel(*timer_);
  timer_.reset();
  if (!deadline) return;
  const auto timer = loop_.call_at(*deadline, [this] {
    timer_.reset();
    give(reconcile::TimePassed{});
  });
  if (timer) timer_ = *timer;
}

// ---- To the server

void FleetAgent::report_soon() {
  if (report_timer_) return;
  const auto timer = loop_.call_at(clock_.monotonic_now() + kReportAfter, [this] {
    report_timer_.reset();
    report();
  });
  if (timer) report_timer_ = *timer;
}

void FleetAgent::report() {
  fleet::ObservedHost observed{.generation = decider_.memory().desired.generation,
                               .trouble = trouble_};
  for (const auto& key : decider_.instances()) {
    observed.instances[{key.component, key.slot}] = decider_.observation(key);
  }
  observed.shares = decider_.shares();
  send(rpc::EnvelopeKind::observed, observed.generation, fleet::write_observed(observed));
}

void FleetAgent::say_hello() {
  send(rpc::EnvelopeKind::hello, generation(), hello());
  report();
}

std::uint64_t FleetAgent::generation() const {
  return decider_.memory().desired.generation;
}

bool FleetAgent::send(rpc::EnvelopeKind kind, std::uint64_t number, std::string document) {
  return line_.send({line_.membership().host, kind, number, std::move(document)});
}

void FleetAgent::say_trouble(const std::string& trouble) {
  if (trouble == trouble_) return;
  trouble_ = trouble;
  if (!trouble.empty()) log_.warning("agent.trouble", {{"why", trouble}});
  report_soon();
}

}  // namespace segue::agent
