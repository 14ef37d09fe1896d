// SPDX-License-Identifier: Apache-2.0
#include "handoff/test_loops.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cstdio>
#include <future>
#include <utility>

#include "handoff/clock.h"

namespace segue::handoff::test {
namespace {

constexpr uint64_t kPatienceNs = 20'000'000'000;
constexpr uint32_t kValueTag = 1;

std::string text(const void* data, size_t size) {
  return {static_cast<const char*>(data), size};
}

std::string text_in(const segue_record* record) {
  const void* data = nullptr;
  size_t size = 0;
  if (segue_get(record, kValueTag, &data, &size) != SEGUE_OK) return "";
  return text(data, size);
}

segue_form form(const char* name) {
  segue_form f{};
  f.size = sizeof f;
  f.version = 1;
  f.oldest = 1;
  f.name = name;
  return f;
}

LoopedService& service_of(void* user) {
  return *static_cast<LoopedService*>(user);
}
LoopedService::Shard& shard_of(void* user) {
  return *static_cast<LoopedService::Shard*>(user);
}

}  // namespace

// ---- LoopThread --------------------------------------------------------------------------------

LoopThread::LoopThread(segue_loop* loop, std::function<void()> turn)
    : loop_(loop), turn_(std::move(turn)), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  thread_ = std::thread([this] { run(); });
}

LoopThread::~LoopThread() {
  thread_.join();
}

void LoopThread::post(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  const uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof one);
}

bool LoopThread::run_tasks() {
  std::deque<std::function<void()>> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(tasks_);
  }
  for (const auto& task : tasks) task();
  return !tasks.empty();
}

void LoopThread::run() {
  while (segue_loop_dispatch(loop_) == SEGUE_OK) {
    pollfd fds[2] = {{segue_loop_fd(loop_), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    do {
      poll(fds, 2, 1);
      uint64_t count = 0;
      (void)!read(wake_.get(), &count, sizeof count);
      if (!run_tasks()) turn_();
      ++turns_;
    } while (fds[0].revents == 0);
  }
  ended_ = true;
}

// ---- LoopedService -----------------------------------------------------------------------------

segue_callbacks LoopedService::callbacks() {
  segue_callbacks c{};
  c.size = sizeof c;
  c.freeze = [](void* user) { return ++service_of(user).freezes, 0; };
  c.resume = [](void* user, segue_resume_reason, int) { ++service_of(user).resumes; };
  c.check = [](void* user, char* why, size_t size) -> int {
    LoopedService& self = service_of(user);
    if (!self.options_.fail_check) return SEGUE_OK;
    snprintf(why, size, "on purpose");
    return SEGUE_REFUSED;
  };
  c.activate = [](void* user, const segue_activation*) { ++service_of(user).activations; };
  c.terminate = [](void* user, segue_end_reason reason) { service_of(user).end_reason = reason; };
  return c;
}

LoopedService::LoopedService(const LoopedOptions& options)
    : changing(options.bind), options_(options) {
  segue_options o{};
  o.size = sizeof o;
  o.service = "looped";
  o.version = "test";
  o.directory = options_.directory.c_str();
  o.poll_interval_ms = 1;
  o.budget_us = options_.budget_us;
  o.answer_ms = options_.answer_ms;
  o.slice_us = options_.slice_us;
  o.max_attempts = options_.max_attempts;
  o.probation_ms = 1;
  o.hang_ms = 20'000;
  o.vote_required = options_.vote_required ? 1 : 0;
  const segue_callbacks c = callbacks();
  char why[256] = "";
  instance.reset(segue_open(&o, &c, this, why, sizeof why));
  if (instance == nullptr) {
    fprintf(stderr, "segue_open: %s\n", why);
    abort();
  }
  for (uint32_t i = 0; i < options_.loops; ++i) {
    loops.push_back(segue_loop_open(instance.get(), ("worker-" + std::to_string(i + 1)).c_str()));
    EXPECT_NE(loops.back(), nullptr) << error();
  }
  for (uint32_t i = 0; i < kShards; ++i) declare_shard(i);
  declare_shared();
  declare_clients();
  for (uint32_t i = 0; i < options_.loops; ++i) {
    threads.push_back(std::make_unique<LoopThread>(loops[i], [this, i] {
      if (!changing) return;
      for (Shard& shard : shards) {
        if (shard.loop == loops[i]) change_something(shard);
      }
    }));
  }
}

LoopedService::~LoopedService() {
  segue_stop(instance.get());
  join();
}

void LoopedService::join() {
  threads.clear();
}

void LoopedService::declare_shard(uint32_t number) {
  Shard& shard = shards[number];
  shard.service = this;
  segue_table_ops ops{};
  ops.size = sizeof ops;
  ops.scan = [](void* user, uint64_t* cursor, uint32_t, segue_scan* out) -> int {
    constexpr uint64_t kBuckets = 16;
    for (const auto& [key, value] : shard_of(user).records) {
      if (std::hash<std::string>()(key) % kBuckets != *cursor) continue;
      segue_scan_key(out, key.data(), key.size());
    }
    return ++*cursor < kBuckets ? 1 : 0;
  };
  ops.encode = [](void* user, const void* key, size_t size, segue_writer* out) -> int {
    const auto& records = shard_of(user).records;
    const auto found = records.find(text(key, size));
    if (found == records.end()) return SEGUE_GONE;
    segue_put(out, kValueTag, found->second.data(), found->second.size());
    return SEGUE_OK;
  };
  ops.put = [](void* user, const void* key, size_t size, const segue_record* record) -> int {
    shard_of(user).records[text(key, size)] = text_in(record);
    return SEGUE_OK;
  };
  ops.erase = [](void* user, const void* key, size_t size) -> int {
    shard_of(user).records.erase(text(key, size));
    return SEGUE_OK;
  };
  ops.clear = [](void* user) { shard_of(user).records.clear(); };
  const segue_form f = form("looped.record");
  const std::string name = "shard." + std::to_string(number);
  shard.table = segue_table_open(instance.get(), name.c_str(), &f, &ops, 0, &shard);
  EXPECT_NE(shard.table, nullptr) << error();
  if (loops.empty() || !options_.bind) return;
  shard.loop = loops[number % loops.size()];
  EXPECT_EQ(segue_table_bind(shard.table, shard.loop), SEGUE_OK);
}

void LoopedService::declare_shared() {
  segue_table_ops ops{};
  ops.size = sizeof ops;
  ops.scan = [](void* user, uint64_t*, uint32_t, segue_scan* out) -> int {
    LoopedService& self = service_of(user);
    const std::lock_guard lock(self.shared_mutex);
    for (const auto& [key, value] : self.shared) segue_scan_key(out, key.data(), key.size());
    return 0;
  };
  ops.encode = [](void* user, const void* key, size_t size, segue_writer* out) -> int {
    LoopedService& self = service_of(user);
    const std::lock_guard lock(self.shared_mutex);
    const auto found = self.shared.find(text(key, size));
    if (found == self.shared.end()) return SEGUE_GONE;
    segue_put_u64(out, kValueTag, found->second);
    return SEGUE_OK;
  };
  ops.put = [](void* user, const void* key, size_t size, const segue_record* record) -> int {
    service_of(user).shared[text(key, size)] = segue_get_u64(record, kValueTag, 0);
    return SEGUE_OK;
  };
  ops.erase = [](void* user, const void* key, size_t size) -> int {
    service_of(user).shared.erase(text(key, size));
    return SEGUE_OK;
  };
  ops.clear = [](void* user) { service_of(user).shared.clear(); };
  const segue_form f = form("looped.count");
  shared_table = segue_table_open(instance.get(), "shared", &f, &ops, 0, this);
  EXPECT_NE(shared_table, nullptr) << error();
}

// A connection's shard follows from its state, "SHARD:...".
LoopedService::Shard& LoopedService::home_of(segue_conn* conn) {
  return *static_cast<Shard*>(segue_conn_data(conn));
}

void LoopedService::declare_clients() {
  segue_class_ops ops{};
  ops.size = sizeof ops;
  ops.encode = [](void* user, segue_conn* conn, segue_writer* out) -> int {
    const std::string& state = service_of(user).home_of(conn).clients.at(segue_conn_id(conn)).state;
    segue_put(out, kValueTag, state.data(), state.size());
    return SEGUE_OK;
  };
  ops.adopt = [](void* user, segue_conn* conn, int, const segue_record* record) -> int {
    const std::string state = text_in(record);
    if (state.empty()) return SEGUE_INVALID;
    Shard& shard = service_of(user).shards.at(static_cast<size_t>(state[0] - '0'));
    segue_conn_set_data(conn, &shard);
    shard.clients[segue_conn_id(conn)] = {conn, state};
    return segue_conn_bind(conn, shard.loop);
  };
  ops.update = [](void* user, segue_conn* conn, const segue_record* record) -> int {
    service_of(user).home_of(conn).clients.at(segue_conn_id(conn)).state = text_in(record);
    return SEGUE_OK;
  };
  ops.drop = [](void* user, segue_conn* conn) {
    service_of(user).home_of(conn).clients.erase(segue_conn_id(conn));
  };
  const segue_form f = form("looped.client");
  clients = segue_class_open(instance.get(), "clients", &f, &ops, this);
  EXPECT_NE(clients, nullptr) << error();
}

void LoopedService::change_something(Shard& shard) {
  const uint64_t number = ++shard.changes;
  const std::string key = "k" + std::to_string(number * 7 % 501);
  if (number % 5 == 0) {
    shard.records.erase(key);
    segue_table_erase(shard.table, key.data(), key.size());
  } else {
    shard.records[key] = std::to_string(number);
    segue_table_put(shard.table, key.data(), key.size());
  }
  for (auto& [id, client] : shard.clients) {
    if ((number + id) % 7 != 0) continue;
    client.state = client.state.substr(0, client.state.find('@')) + "@" + std::to_string(number);
    segue_conn_touch(client.conn);
  }
  const std::lock_guard lock(shared_mutex);
  ++shared[key];
  segue_table_put(shared_table, key.data(), key.size());
}

void LoopedService::on_loop(uint32_t shard, const std::function<void(Shard&)>& task) {
  Shard& target = shards[shard];
  if (target.loop == nullptr) return task(target);
  std::promise<void> done;
  for (size_t i = 0; i < loops.size(); ++i) {
    if (loops[i] != target.loop) continue;
    threads[i]->post([&] {
      task(target);
      done.set_value();
    });
  }
  done.get_future().wait();
}

UniqueFd LoopedService::connect(uint32_t shard, const std::string& state) {
  int ends[2];
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  on_loop(shard, [&](Shard& home) {
    segue_conn* conn = home.loop == nullptr ? segue_conn_add(clients, ends[0], &home)
                                            : segue_conn_add_to(clients, home.loop, ends[0], &home);
    ASSERT_NE(conn, nullptr);
    home.clients[segue_conn_id(conn)] = {conn, std::to_string(shard) + ":" + state};
  });
  return UniqueFd(ends[1]);
}

segue_progress LoopedService::progress() const {
  segue_progress progress{};
  segue_get_progress(instance.get(), &progress);
  return progress;
}

std::map<uint64_t, std::string> LoopedService::client_states() const {
  std::map<uint64_t, std::string> states;
  for (const Shard& shard : shards) {
    for (const auto& [id, client] : shard.clients) states[id] = client.state;
  }
  return states;
}

bool run_looped(const std::vector<LoopedService*>& services, const std::function<bool()>& done) {
  const uint64_t deadline = monotonic_ns() + kPatienceNs;
  while (!done()) {
    if (monotonic_ns() > deadline) return false;
    std::vector<pollfd> fds;
    fds.reserve(services.size());
    for (const LoopedService* s : services) fds.push_back({segue_fd(s->instance.get()), POLLIN, 0});
    poll(fds.data(), fds.size(), 10);
    for (LoopedService* s : services) {
      if (!s->ended()) segue_dispatch(s->instance.get());
    }
  }
  return true;
}

}  // namespace segue::handoff::test
