// SPDX-License-Identifier: Apache-2.0
#include "handoff/test_service.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "handoff/clock.h"

namespace segue::handoff::test {
namespace {

constexpr uint64_t kPatienceNs = 10'000'000'000;
constexpr uint32_t kValueTag = 1;
constexpr uint32_t kStampTag = 2;  // added by version 2

// Copies all fields; adds the number `value` under the tag `add` (unless 0) where it is missing.
int copy(const segue_record* in, segue_writer* out, uint32_t add, uint64_t value) {
  size_t cursor = 0;
  uint32_t tag = 0;
  const void* data = nullptr;
  size_t size = 0;
  bool had = false;
  while (segue_next(in, &cursor, &tag, &data, &size) == SEGUE_OK) {
    segue_put(out, tag, data, size);
    had = had || tag == add;
  }
  if (add != 0 && !had) segue_put_u64(out, add, value);
  return SEGUE_OK;
}

std::string text(const void* data, size_t size) {
  return {static_cast<const char*>(data), size};
}

template <typename Hook, typename... Args>
void call(const Hook& hook, Args&&... args) {
  if (hook) hook(std::forward<Args>(args)...);
}

}  // namespace

TemporaryDirectory::TemporaryDirectory() {
  std::string pattern = std::filesystem::temp_directory_path() / "segue-XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) abort();
  path_ = pattern;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

// ---- Service ---------------------------------------------------------------------------------

segue_options Service::library_options() const {
  segue_options o{};
  o.size = sizeof o;
  o.service = options_.service.c_str();
  o.version = "test";
  o.directory = options_.directory.empty() ? nullptr : options_.directory.c_str();
  o.meeting = options_.meeting;
  o.flag = options_.flag.empty() ? nullptr : options_.flag.c_str();
  o.poll_interval_ms = 1;
  o.budget_us = options_.budget_us;
  o.max_rounds = options_.max_rounds;
  o.max_attempts = options_.max_attempts;
  o.probation_ms = options_.probation_ms;
  o.answer_ms = options_.answer_ms;
  o.hang_ms = options_.hang_ms;
  o.spin_us = 1;
  o.on_crash = options_.on_crash;
  o.vote_required = options_.vote_required ? 1 : 0;
  o.skip_rehearsal = options_.skip_rehearsal ? 1 : 0;
  return o;
}

segue_callbacks Service::library_callbacks() {
  segue_callbacks c{};
  c.size = sizeof c;
  c.listener = [](void* self, const char*, int fd) { return of(self).listener_fd = fd, 0; };
  c.descriptor = [](void* self, const char* name, int fd) {
    return of(self).descriptors[name] = fd, 0;
  };
  c.freeze = [](void* self) {
    of(self).log("freeze");
    call(of(self).options_.hooks.freeze);
    return 0;
  };
  c.resume = [](void* self, segue_resume_reason reason, int released) {
    call(of(self).options_.hooks.resume, released);
    of(self).log("resume " + std::to_string(reason));
  };
  c.check = [](void* self, char* why, size_t size) {
    if (of(self).options_.hooks.check) return of(self).options_.hooks.check(why, size);
    if (!of(self).options_.fail_check) return 0;
    snprintf(why, size, "the sum is wrong");
    return -1;
  };
  c.acquire = [](void* self) {
    const ServiceOptions& options = of(self).options_;
    if (options.fail_acquire) return -1;
    return options.hooks.acquire ? options.hooks.acquire() : 0;
  };
  c.yield = [](void* self) { call(of(self).options_.hooks.yield); };
  c.activate = [](void* self, const segue_activation* a) {
    call(of(self).options_.hooks.activate);
    of(self).log(a->first == 1 ? "activate first" : "activate");
  };
  c.terminate = [](void* self, segue_end_reason reason) {
    of(self).log("terminate " + std::to_string(reason));
  };
  c.progress = [](void* self, const segue_progress* progress) {
    of(self).log_lingering(progress->predecessor_lingers_ms > 0);
  };
  return c;
}

Service::Service(const ServiceOptions& options) : options_(options) {
  const segue_options o = library_options();
  segue_callbacks c = library_callbacks();
  if (options_.hooks.release) {
    c.release = [](void* self) { return of(self).options_.hooks.release(); };
  }
  char why[256] = "";
  instance.reset(segue_open(&o, &c, this, why, sizeof why));
  if (instance == nullptr) {
    fprintf(stderr, "segue_open: %s\n", why);
    abort();
  }
  EXPECT_EQ(segue_listen(instance.get(), "main", options_.address.c_str(), 16), SEGUE_OK);
  declare_table();
  declare_class();
}

void Service::declare_table() {
  segue_form form{};
  form.size = sizeof form;
  form.version = options_.form_version;
  form.oldest = options_.form_oldest;
  form.name = "kv.entry";
  form.up = [](void*, uint32_t, const segue_record* in, segue_writer* out) {
    return copy(in, out, kStampTag, 7);
  };
  form.down = [](void*, uint32_t, const segue_record* in, segue_writer* out) {
    return copy(in, out, 0, 0);  // version 1 keeps the stamp as an unknown field
  };
  segue_table_ops t{};
  t.size = sizeof t;
  t.scan = [](void* self, uint64_t* cursor, uint32_t, segue_scan* scan) {
    return of(self).scan(cursor, scan);
  };
  t.encode = [](void* self, const void* key, size_t size, segue_writer* out) {
    return of(self).encode(text(key, size), out);
  };
  t.put = [](void* self, const void* key, size_t size, const segue_record* record) {
    return of(self).decode(text(key, size), record);
  };
  t.erase = [](void* self, const void* key, size_t size) {
    return of(self).data.erase(text(key, size)), 0;
  };
  t.clear = [](void* self) { of(self).data.clear(); };
  table = segue_table_open(instance.get(), "data", &form, &t, options_.table_flags, this);
  EXPECT_NE(table, nullptr) << error();
}

void Service::declare_class() {
  segue_form form{};
  form.size = sizeof form;
  form.version = 1;
  form.oldest = 1;
  form.name = "kv.client";
  segue_class_ops ops{};
  ops.size = sizeof ops;
  ops.encode = [](void* self, segue_conn* conn, segue_writer* out) {
    call(of(self).options_.hooks.encode_connection);
    const std::string& state = of(self).connections[segue_conn_id(conn)];
    segue_put(out, 1, state.data(), state.size());
    return 0;
  };
  ops.adopt = [](void* self, segue_conn* conn, int, const segue_record* record) {
    return of(self).take_state(conn, record);
  };
  ops.update = [](void* self, segue_conn* conn, const segue_record* record) {
    return of(self).take_state(conn, record);
  };
  ops.drop = [](void* self, segue_conn* conn) { of(self).connections.erase(segue_conn_id(conn)); };
  cls = segue_class_open(instance.get(), "clients", &form, &ops, this);
  EXPECT_NE(cls, nullptr) << error();
}

void Service::put(const std::string& key, const std::string& value) {
  data[key] = value;
  segue_table_put(table, key.data(), key.size());
}

void Service::erase(const std::string& key) {
  data.erase(key);
  segue_table_erase(table, key.data(), key.size());
}

uint64_t Service::add(int fd, const std::string& state) {
  segue_conn* conn = segue_conn_add(cls, fd, nullptr);
  const uint64_t id = segue_conn_id(conn);
  connections[id] = state;
  return id;
}

int Service::connect(const std::string& state) {
  int ends[2];
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  add(ends[0], state);
  return ends[1];
}

size_t Service::count(const std::string& prefix) const {
  return static_cast<size_t>(
      std::count_if(events.begin(), events.end(),
                    [&](const std::string& event) { return event.starts_with(prefix); }));
}

segue_progress Service::progress() const {
  segue_progress progress{};
  segue_get_progress(instance.get(), &progress);
  return progress;
}

uint16_t Service::port() const {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  EXPECT_EQ(getsockname(listener_fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  return ntohs(address.sin_port);
}

void Service::log(std::string event) {
  events.push_back(std::move(event));
  call(on_event, events.back());
}

void Service::log_lingering(bool lingers) {
  if (std::exchange(predecessor_lingers_, lingers) == lingers) return;
  log(lingers ? "predecessor lingers" : "predecessor gone");
}

// By bucket of the key's hash: changes move no key past the cursor.
int Service::scan(uint64_t* cursor, segue_scan* out) const {
  constexpr uint64_t kBuckets = 128;
  for (const auto& [key, value] : data) {
    if (std::hash<std::string>()(key) % kBuckets != *cursor) continue;
    segue_scan_key(out, key.data(), key.size());
  }
  return ++*cursor < kBuckets ? 1 : 0;
}

int Service::encode(const std::string& key, segue_writer* out) {
  call(options_.hooks.encode, key);
  const auto found = data.find(key);
  if (found == data.end()) return SEGUE_GONE;
  const std::string value = options_.spoil_encoding && key == "k1" ? "spoilt" : found->second;
  segue_put(out, kValueTag, value.data(), value.size());
  if (options_.form_version >= 2) segue_put_u64(out, kStampTag, stamps[key]);
  if (kept.contains(key)) segue_put_fields(out, kept[key].data(), kept[key].size());
  return SEGUE_OK;
}

int Service::decode(const std::string& key, const segue_record* record) {
  call(options_.hooks.put, key);
  const void* bytes = nullptr;
  size_t size = 0;
  if (segue_get(record, kValueTag, &bytes, &size) != SEGUE_OK) return SEGUE_INVALID;
  data[key] = text(bytes, size);
  stamps[key] = segue_get_u64(record, kStampTag, 0);
  const uint32_t known[] = {kValueTag, kStampTag};
  const size_t count = options_.form_version >= 2 ? 2 : 1;
  std::string rest(segue_unknown(record, known, count, nullptr, 0), '\0');
  segue_unknown(record, known, count, rest.data(), rest.size());
  kept.erase(key);
  if (!rest.empty()) kept[key] = rest;
  return SEGUE_OK;
}

int Service::take_state(segue_conn* conn, const segue_record* record) {
  const void* bytes = nullptr;
  size_t size = 0;
  if (segue_get(record, 1, &bytes, &size) != SEGUE_OK) return SEGUE_INVALID;
  connections[segue_conn_id(conn)] = text(bytes, size);
  return SEGUE_OK;
}

// ---- Running ---------------------------------------------------------------------------------

bool run(const std::vector<Service*>& services, const std::function<bool()>& done) {
  const uint64_t deadline = monotonic_ns() + kPatienceNs;
  while (!done()) {
    if (monotonic_ns() > deadline) return false;
    std::vector<pollfd> fds;
    fds.reserve(services.size());
    for (const Service* s : services) fds.push_back({segue_fd(s->instance.get()), POLLIN, 0});
    poll(fds.data(), fds.size(), 100);
    for (Service* s : services) {
      if (!s->ended()) segue_dispatch(s->instance.get());
    }
  }
  return true;
}

bool eventually(const std::function<bool()>& done) {
  const uint64_t deadline = monotonic_ns() + kPatienceNs;
  while (!done()) {
    if (monotonic_ns() > deadline) return false;
    poll(nullptr, 0, 1);
  }
  return true;
}

void HandoffTest::hand_over(Service& from, Service& to) {
  ASSERT_EQ(to.start(), SEGUE_OK) << to.error();
  ASSERT_TRUE(run({&from, &to}, [&] { return from.ended() && to.active(); }))
      << from.error() << " / " << to.error();
}

}  // namespace segue::handoff::test
