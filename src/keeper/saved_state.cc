// SPDX-License-Identifier: Apache-2.0
#include "keeper/saved_state.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "control/name.h"
#include "handoff/siphash.h"
#include "keeper/state_archive.h"

namespace segue::keeper {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::string_view kMagic = "SEGUEKST";
constexpr std::size_t kHeaderBytes = 32;
}  // namespace

// ---- The format. Tags are never used again for anything else.

template <class Archive>
void fields(Archive& a, Constness<Archive, control::Launch>& launch) {
  a.texts(1, launch.argv);
  a.text(2, launch.cwd);
  a.texts(3, launch.env);
}

template <class Archive>
void fields(Archive& a, Constness<Archive, Previous>& previous) {
  a.record(1, previous.launch);
  a.text(2, previous.version);
  a.optional_text(3, previous.forms);
}

template <class Archive>
void fields(Archive& a, Constness<Archive, Instance>& instance) {
  a.number(1, instance.generation);
  a.choice(2, instance.role, kRoleCount);
  a.record(3, instance.launch);
  a.text(4, instance.service);
  a.text(5, instance.version);
  a.number(6, instance.pid);
  a.number(7, instance.channel_open);
  a.number(8, instance.said_hello);
  a.time(9, instance.spawned);
  a.time(10, instance.active_since);
  a.time(11, instance.last_pong);
  a.number(12, instance.connections);
  a.choice(13, instance.end_policy, kEndPolicyCount);
  a.time(14, instance.ending_since);
  a.number(15, instance.end_step);
  a.number(16, instance.abilities);
  a.optional_text(17, instance.forms);
}

template <class Archive>
void fields(Archive& a, Constness<Archive, Attempt>& attempt) {
  a.number(1, attempt.id);
  a.choice(2, attempt.kind, kKindCount);
  a.record(3, attempt.launch);
  a.options(4, attempt.options);
  a.number(5, attempt.predecessor);
  a.number(6, attempt.successor);
  a.number(7, attempt.carried);
  a.text(8, attempt.from);
  a.text(9, attempt.to);
  a.number(10, attempt.tries);
  a.time(11, attempt.began);
  a.time(12, attempt.sent);
  a.time(13, attempt.activated);
  a.number(14, attempt.blackout_ns);
  a.number(15, attempt.frozen_max_ns);
  a.text(16, attempt.why);
  a.time(17, attempt.committed);
  a.optional_text(18, attempt.from_forms);
}

template <class Archive>
void fields(Archive& a, Constness<Archive, SavedSide>& saved) {
  auto& side = saved.side;
  a.number(1, saved.generation);
  a.flag(2, side.is_ready);
  a.flag(3, side.said_ready);
  a.flag(4, side.accepting);
  a.flag(5, side.stored);
  a.flag(6, side.healthy);
  a.flag(7, side.reloading);
  a.flag(8, side.awaits_main);
  a.text(9, side.status);
  a.duration(10, side.watchdog);
  a.time(11, side.last_ping);
  a.choice(12, side.leaving, kLeavingCount);
  a.time(13, side.leaving_until);
  a.time(14, side.cut_until);
  a.number(15, side.at_stop);
  a.number(16, side.left);
  a.number(17, side.cut);
  a.number(18, side.kept);
  a.flag(19, side.was_limit);
}

template <class Archive>
void fields(Archive& a, Constness<Archive, ComponentSnapshot>& component) {
  a.choice(1, component.phase, kPhaseCount);
  a.time(2, component.phase_since);
  a.number(3, component.last_generation);
  a.number(4, component.last_attempt);
  a.number(5, component.owner);
  a.text(6, component.service);
  a.record(7, component.owner_launch);
  a.records(8, component.previous);
  a.number(9, component.restarts_in_row);
  a.records(10, component.instances);
  a.maybe(11, component.attempt);
  a.maybe(12, component.undone);
  a.records(13, component.closing);
  a.records(14, component.sides);
  a.time(15, component.deadline);
  a.flag(16, component.contract_found);
  a.time(17, component.stopped_at);
}

template <class Archive>
void fields(Archive& a, Constness<Archive, SavedProcess>& process) {
  a.number(1, process.generation);
  a.number(2, process.pid);
  a.number(3, process.start_ticks);
  a.number(4, process.owner_name);
  a.number(5, process.is_child);
  a.number(6, process.channel_open);
  a.signed_number(7, process.channel_fd);
  a.signed_number(8, process.pidfd);
  a.number(9, process.next_out);
  a.number(10, process.next_in);
}

template <class Archive>
void fields(Archive& a, Constness<Archive, SavedStarter>& starter) {
  a.number(1, starter.generation);
  a.number(2, starter.pid);
  a.signed_number(3, starter.pidfd);
}

template <class Archive>
void fields(Archive& a, Constness<Archive, SavedFd>& entry) {
  a.text(1, entry.name);
  a.signed_number(2, entry.fd);
}

template <class Archive>
void fields(Archive& a, Constness<Archive, SavedClient>& client) {
  a.number(1, client.request);
  a.signed_number(2, client.fd);
  a.number(3, client.asked);
  a.number(4, client.finished);
  a.number(5, client.follows);
  a.texts(6, client.queue);
}

template <class Archive>
void fields(Archive& a, Constness<Archive, SavedStep>& step) {
  a.number(1, step.number);
  a.text(2, step.json);
}

template <class Archive>
void fields(Archive& a, Constness<Archive, SavedHeld>& held) {
  a.text(1, held.name);
  a.signed_number(2, held.fd);
  a.number(3, held.identity.device);
  a.number(4, held.identity.inode);
  a.number(5, held.identity.access);
  a.flag(6, held.is_watched);
}

template <class Archive>
void fields(Archive& a, Constness<Archive, SavedMain>& main) {
  a.number(1, main.generation);
  a.number(2, main.pid);
}

template <class Archive>
void fields(Archive& a, Constness<Archive, SavedPrograms>& programs) {
  a.options(1, programs.contract);
  a.options(2, programs.health);
  a.signed_number(3, programs.notify_fd);
  a.records(4, programs.sockets);
  a.records(5, programs.stored);
  a.text(6, programs.binary_name);
  a.records(7, programs.announced);
}

template <class Archive>
void fields(Archive& a, Constness<Archive, SavedState>& state) {
  a.text(1, state.name);
  a.text(2, state.boot_id);
  a.number(3, state.foreground);
  a.options(4, state.run);
  a.record(5, state.launch);
  a.time(6, state.since);
  a.number(7, state.replaced);
  a.record(8, state.component);
  a.records(9, state.processes);
  a.signed_number(10, state.page_fd);
  a.signed_number(11, state.keeper_lock_fd);
  a.signed_number(12, state.instances_lock_fd);
  a.signed_number(13, state.control_fd);
  a.records(14, state.listeners);
  a.records(15, state.clients);
  a.number(16, state.last_request);
  a.number(17, state.answer_to);
  a.text(18, state.replaces);
  a.number(19, state.last_step);
  a.records(20, state.steps);
  a.number(21, state.last_ping);
  a.text(22, state.rendezvous_nonce);
  a.maybe(23, state.programs);
  a.records(24, state.starters);
}

namespace {

// ---- The header: magic, version, the oldest reader, size and digest of the body

template <class T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <class T>
T load(std::string_view bytes, std::size_t offset) {
  T value{};
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

Result<std::string_view> body_of(std::string_view bytes) {
  if (bytes.size() > kMaxStateBytes) {
    return fail(ErrorCode::invalid_argument, "a state of {} bytes; at most {} are read",
                bytes.size(), kMaxStateBytes);
  }
  if (bytes.size() < kHeaderBytes || !bytes.starts_with(kMagic)) {
    return fail(ErrorCode::invalid_argument, "this is not the state of a keeper");
  }
  const auto readable_from = load<std::uint32_t>(bytes, 12);
  if (readable_from > kStateVersion) {
    return fail(ErrorCode::invalid_argument,
                "the state has version {} and needs a keeper that reads version {}; this one reads "
                "{}",
                load<std::uint32_t>(bytes, 8), readable_from, kStateVersion);
  }
  const std::string_view body = bytes.substr(kHeaderBytes);
  if (load<std::uint64_t>(bytes, 16) != body.size() ||
      load<std::uint64_t>(bytes, 24) != handoff::siphash24(body)) {
    return fail(ErrorCode::data_loss, "the state is cut off or damaged");
  }
  return body;
}

auto wrong(std::string_view what) {
  return fail(ErrorCode::invalid_argument, "the state contradicts itself: {}", what);
}

// A component that goes on in its phase needs what the phase speaks of.
Result<void> check_programs(const SavedState& state) {
  SEGUE_TRY(control::check_contract(state.programs->contract));
  const ComponentSnapshot& component = state.component;
  const auto is_there = [&](Generation generation) {
    return std::any_of(component.instances.begin(), component.instances.end(),
                       [&](const Instance& each) { return each.generation == generation; });
  };
  std::set<Generation> sides;
  for (const auto& saved : component.sides) {
    if (!is_there(saved.generation) || !sides.insert(saved.generation).second) {
      return wrong("what is known of no instance");
    }
  }
  const auto& attempt = component.attempt;
  switch (component.phase) {
    case Phase::starting:
    case Phase::backoff:
    case Phase::serving:
    case Phase::stopping:
      if (attempt || component.undone) return wrong("an attempt that nobody makes");
      return {};
    case Phase::preparing:
    case Phase::attempting:
    case Phase::probation:
      break;
    default:
      return wrong("a phase that a program without libsegue cannot be in");
  }
  if (!attempt || attempt->kind == Kind::rehearse || attempt->launch.argv.empty() ||
      component.owner_launch.argv.empty()) {
    return wrong("no attempt where there is one");
  }
  const bool is_active = component.phase == Phase::probation;
  if (is_active != attempt->activated.has_value() || (is_active && !is_there(attempt->successor))) {
    return wrong("a probation of nobody");
  }
  if (attempt->kind == Kind::undo && !component.undone && component.previous.empty()) {
    return wrong("an undo of nothing");
  }
  return {};
}

// What refers to something refers to what is there.
Result<void> check(const SavedState& state) {
  SEGUE_TRY(control::check_name(state.name));
  std::set<Generation> generations;
  for (const auto& instance : state.component.instances) {
    if (instance.launch.argv.empty()) return wrong("an instance without a program");
    if (instance.generation == 0 || instance.generation > state.component.last_generation ||
        !generations.insert(instance.generation).second) {
      return wrong("a generation that cannot be");
    }
  }
  std::set<Generation> with_process;
  for (const auto& process : state.processes) {
    if (!generations.contains(process.generation) ||
        !with_process.insert(process.generation).second || process.pid <= 0) {
      return wrong("a process of no instance");
    }
  }
  std::set<int> descriptors;
  for (const int fd : descriptors_of(state)) {
    if (fd < 3) return wrong("a descriptor below 3");
    if (!descriptors.insert(fd).second) return wrong("a descriptor in two places");
  }
  return state.programs ? check_programs(state) : Result<void>();
}

}  // namespace

std::string encode_state(const SavedState& state) {
  Writing writing;
  fields(writing, state);
  const std::string body = writing.take();
  std::string bytes(kMagic);
  const std::uint32_t version = state.programs ? kStateVersion : kStateReadableFrom;
  append(bytes, version);
  append(bytes, version);
  append(bytes, static_cast<std::uint64_t>(body.size()));
  append(bytes, handoff::siphash24(body));
  return bytes + body;
}

Result<SavedState> decode_state(std::string_view bytes) {
  SEGUE_ASSIGN(const std::string_view body, body_of(bytes));
  SavedState state;
  std::string problem;
  Reading reading(body, problem);
  if (problem.empty()) fields(reading, state);
  if (!problem.empty()) return fail(ErrorCode::invalid_argument, "the state's {}", problem);
  SEGUE_TRY(check(state));
  return state;
}

std::vector<int> descriptors_of(const SavedState& state) {
  std::vector<int> found;
  const auto add = [&](int fd) {
    if (fd != -1) found.push_back(fd);
  };
  for (const int fd :
       {state.page_fd, state.keeper_lock_fd, state.instances_lock_fd, state.control_fd}) {
    add(fd);
  }
  for (const auto& process : state.processes) {
    add(process.channel_fd);
    add(process.pidfd);
  }
  for (const auto& starter : state.starters) add(starter.pidfd);
  for (const auto& listener : state.listeners) add(listener.fd);
  for (const auto& client : state.clients) add(client.fd);
  if (state.programs) {
    add(state.programs->notify_fd);
    for (const auto& socket : state.programs->sockets) add(socket.fd);
    for (const auto& stored : state.programs->stored) add(stored.fd);
  }
  return found;
}

}  // namespace segue::keeper
