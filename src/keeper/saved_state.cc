// SPDX-License-Identifier: Apache-2.0
#include "keeper/saved_state.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <set>
#include <type_traits>
#include <utility>

#include "control/name.h"
#include "handoff/fields.h"
#include "handoff/siphash.h"

namespace segue::keeper {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::string_view kMagic = "SEGUEKST";
constexpr std::size_t kHeaderBytes = 32;
constexpr std::size_t kMaxTextBytes = std::size_t{1} << 20;

template <class Archive, class T>
using Constness = std::conditional_t<Archive::kReads, T, const T>;

// fields() below names each member of a structure once, with its tag; an archive writes or reads.
class Writing {
 public:
  static constexpr bool kReads = false;

  template <class T>
  void number(std::uint32_t tag, const T& value) {
    handoff::put_number(out_, tag, static_cast<std::uint64_t>(value));
  }
  template <class T>
  void choice(std::uint32_t tag, const T& value, int /*count*/) {
    number(tag, value);
  }
  void signed_number(std::uint32_t tag, std::int32_t value) { number(tag, handoff::zigzag(value)); }
  void time(std::uint32_t tag, const MonotonicTime& value) {
    number(tag, handoff::zigzag(value.time_since_epoch().count()));
  }
  void time(std::uint32_t tag, const std::optional<MonotonicTime>& value) {
    if (value) time(tag, *value);
  }
  void text(std::uint32_t tag, const std::string& value) { handoff::put_field(out_, tag, value); }
  template <class Texts>
  void texts(std::uint32_t tag, const Texts& values) {
    for (const auto& value : values) text(tag, value);
  }
  template <class T>
  void record(std::uint32_t tag, const T& value);
  template <class Records>
  void records(std::uint32_t tag, const Records& values) {
    for (const auto& value : values) record(tag, value);
  }
  template <class Options>
  void options(std::uint32_t tag, const Options& value) {
    control::Request words;
    control::append_options(words, value);
    for (const auto& option : words.options) text(tag, option.key + "=" + option.value);
  }
  template <class T>
  void maybe(std::uint32_t tag, const std::optional<T>& value) {
    if (value) record(tag, *value);
  }
  [[nodiscard]] std::string take() { return std::move(out_.fields); }

 private:
  segue_writer out_;
};

class Reading {
 public:
  static constexpr bool kReads = true;

  Reading(std::string_view record, std::string& problem) : record_(record), problem_(problem) {
    if (!handoff::is_record(record)) complain(0, "is not a record");
  }

  template <class T>
  void number(std::uint32_t tag, T& value) {
    const auto field = handoff::find_field(record_, tag);
    if (!field) return;
    const auto got = handoff::number_of(*field);
    constexpr auto kMax = std::is_same_v<T, bool>
                              ? std::uint64_t{1}
                              : static_cast<std::uint64_t>(std::numeric_limits<T>::max());
    if (!got || *got > kMax) return complain(tag, "is not a number in its range");
    value = static_cast<T>(*got);
  }
  template <class T>
  void choice(std::uint32_t tag, T& value, int count) {
    std::uint32_t index = 0;
    number(tag, index);
    if (index >= static_cast<std::uint32_t>(count)) return complain(tag, "is out of its range");
    value = static_cast<T>(index);
  }
  void signed_number(std::uint32_t tag, std::int32_t& value) {
    std::uint64_t coded = handoff::zigzag(value);
    number(tag, coded);
    const std::int64_t number = handoff::unzigzag(coded);
    if (number < std::numeric_limits<std::int32_t>::min() ||
        number > std::numeric_limits<std::int32_t>::max()) {
      return complain(tag, "is not a number in its range");
    }
    value = static_cast<std::int32_t>(number);
  }
  void time(std::uint32_t tag, MonotonicTime& value) {
    std::uint64_t coded = handoff::zigzag(value.time_since_epoch().count());
    number(tag, coded);
    const std::int64_t ns = handoff::unzigzag(coded);
    // Far from the ends, so that durations can be added to it.
    if (ns < 0 || ns > std::numeric_limits<std::int64_t>::max() / 4) {
      return complain(tag, "is not a time");
    }
    value = MonotonicTime(base::Duration(ns));
  }
  void time(std::uint32_t tag, std::optional<MonotonicTime>& value) {
    if (!handoff::find_field(record_, tag)) return;
    value.emplace();
    time(tag, *value);
  }
  void text(std::uint32_t tag, std::string& value) {
    if (const auto field = handoff::find_field(record_, tag)) take_text(tag, *field, value);
  }
  template <class Texts>
  void texts(std::uint32_t tag, Texts& values) {
    each(tag, [&](std::string_view field) { take_text(tag, field, values.emplace_back()); });
  }
  template <class T>
  void record(std::uint32_t tag, T& value) {
    if (const auto field = handoff::find_field(record_, tag)) take_record(*field, value);
  }
  template <class Records>
  void records(std::uint32_t tag, Records& values) {
    each(tag, [&](std::string_view field) { take_record(field, values.emplace_back()); });
  }
  template <class T>
  void maybe(std::uint32_t tag, std::optional<T>& value) {
    if (handoff::find_field(record_, tag)) record(tag, value.emplace());
  }
  // Options that this program does not know are skipped, as unknown tags are.
  void options(std::uint32_t tag, control::RunOptions& value) { value = known_options(tag).run; }
  void options(std::uint32_t tag, control::AttemptOptions& value) {
    value = known_options(tag).attempt;
  }

 private:
  template <class Visit>
  void each(std::uint32_t tag, const Visit& visit) {
    std::size_t count = 0;
    for (std::string_view rest = record_; !rest.empty();) {
      const auto field = handoff::take_field(rest);
      if (!field) return;  // said before
      if (field->tag != tag) continue;
      if (++count > kMaxStateEntries) return complain(tag, "occurs too often");
      visit(field->bytes);
    }
  }
  void take_text(std::uint32_t tag, std::string_view field, std::string& value) {
    if (field.size() > kMaxTextBytes) return complain(tag, "is too long");
    value = field;
  }
  template <class T>
  void take_record(std::string_view field, T& value);

  control::ParsedRequest known_options(std::uint32_t tag) {
    control::Request known;
    each(tag, [&](std::string_view word) {
      const std::size_t equals = word.find('=');
      if (equals == std::string_view::npos) return complain(tag, "is not KEY=VALUE");
      control::Request one;
      one.options.push_back(
          {std::string(word.substr(0, equals)), std::string(word.substr(equals + 1))});
      if (control::parse_options(one)) known.options.push_back(one.options.front());
    });
    return control::parse_options(known).value_or(control::ParsedRequest{});
  }
  void complain(std::uint32_t tag, std::string_view what) {
    if (problem_.empty()) problem_ = fmt::format("field {} {}", tag, what);
  }

  std::string_view record_;
  std::string& problem_;
};

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
}

template <class T>
void Writing::record(std::uint32_t tag, const T& value) {
  Writing inner;
  fields(inner, value);
  handoff::put_field(out_, tag, inner.take());
}

template <class T>
void Reading::take_record(std::string_view field, T& value) {
  Reading inner(field, problem_);
  if (problem_.empty()) fields(inner, value);
}

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

// What refers to something refers to what is there.
Result<void> check(const SavedState& state) {
  const auto wrong = [](std::string_view what) {
    return fail(ErrorCode::invalid_argument, "the state contradicts itself: {}", what);
  };
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
  return {};
}

}  // namespace

std::string encode_state(const SavedState& state) {
  Writing writing;
  fields(writing, state);
  const std::string body = writing.take();
  std::string bytes(kMagic);
  append(bytes, kStateVersion);
  append(bytes, kStateReadableFrom);
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
  for (const auto& listener : state.listeners) add(listener.fd);
  for (const auto& client : state.clients) add(client.fd);
  return found;
}

}  // namespace segue::keeper
