// SPDX-License-Identifier: Apache-2.0
// For tests only: a service with some of everything, linked with the shared library like any other
// program's. Usage: test_service DIRECTORY. It answers each line on its standard input with
// "FDS RSS_KIB RECORDS CONNECTIONS FIRST" and ends when its standard input does.
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "segue/segue.h"

namespace {

constexpr int kRecords = 2000;
constexpr int kPairs = 50;
constexpr size_t kArenaBytes = 1 << 20;

struct State {
  std::map<std::string, std::string> records;
  int connections = 0;
  bool active = false;
  bool first = false;
  bool ended = false;
};

State& of(void* state) {
  return *static_cast<State*>(state);
}

std::string text(const void* data, size_t size) {
  return {static_cast<const char*>(data), size};
}

[[noreturn]] void die(const char* why) {
  fprintf(stderr, "test_service: %s\n", why);
  exit(1);
}

segue_callbacks callbacks() {
  segue_callbacks c{};
  c.size = sizeof c;
  c.freeze = [](void* state) { return of(state).active = false, 0; };
  c.resume = [](void* state, segue_resume_reason, int) { of(state).active = true; };
  c.activate = [](void* state, const segue_activation* activation) {
    of(state).active = true;
    of(state).first = activation->first == 1;
  };
  c.terminate = [](void* state, segue_end_reason) { of(state).ended = true; };
  return c;
}

segue_form form(const char* name) {
  segue_form f{};
  f.size = sizeof f;
  f.version = 1;
  f.oldest = 1;
  f.name = name;
  return f;
}

segue_table* open_table(segue_instance* s, State* state) {
  segue_table_ops ops{};
  ops.size = sizeof ops;
  ops.scan = [](void* user, uint64_t*, uint32_t, segue_scan* out) {
    for (const auto& [key, value] : of(user).records) segue_scan_key(out, key.data(), key.size());
    return 0;
  };
  ops.encode = [](void* user, const void* key, size_t size, segue_writer* out) {
    const auto found = of(user).records.find(text(key, size));
    if (found == of(user).records.end()) return int{SEGUE_GONE};
    segue_put(out, 1, found->second.data(), found->second.size());
    return int{SEGUE_OK};
  };
  ops.put = [](void* user, const void* key, size_t size, const segue_record* record) {
    const void* value = nullptr;
    size_t value_size = 0;
    if (segue_get(record, 1, &value, &value_size) != SEGUE_OK) return -1;
    of(user).records[text(key, size)] = text(value, value_size);
    return 0;
  };
  ops.erase = [](void* user, const void* key, size_t size) {
    return of(user).records.erase(text(key, size)), 0;
  };
  ops.clear = [](void* user) { of(user).records.clear(); };
  const segue_form f = form("test.record");
  return segue_table_open(s, "records", &f, &ops, 0, state);
}

segue_class* open_class(segue_instance* s, State* state) {
  segue_class_ops ops{};
  ops.size = sizeof ops;
  ops.encode = [](void*, segue_conn*, segue_writer*) { return 0; };
  ops.adopt = [](void* user, segue_conn*, int, const segue_record*) {
    return ++of(user).connections, 0;
  };
  ops.update = [](void*, segue_conn*, const segue_record*) { return 0; };
  ops.drop = [](void* user, segue_conn*) { --of(user).connections; };
  const segue_form f = form("test.connection");
  return segue_class_open(s, "connections", &f, &ops, state);
}

void fill(segue_instance* s, State& state, segue_table* table, segue_class* cls) {
  for (int i = 0; i < kRecords; ++i) {
    const std::string key = "record " + std::to_string(i);
    state.records[key] = std::string(100, 'v');
    segue_table_put(table, key.data(), key.size());
  }
  for (int i = 0; i < kPairs; ++i) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) die("socketpair");
    for (const int end : ends) segue_conn_add(cls, end, nullptr);
    state.connections += 2;
  }
  segue_fd_put(s, "null", open("/dev/null", O_RDWR | O_CLOEXEC));
}

int open_fds() {
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) die("/proc/self/fd");
  int entries = 0;
  while (readdir(directory) != nullptr) ++entries;
  closedir(directory);
  return entries - 3;  // ".", ".." and the listing itself
}

long resident_kib() {
  FILE* file = fopen("/proc/self/statm", "re");
  long total = 0;
  long resident = 0;
  if (file == nullptr || fscanf(file, "%ld %ld", &total, &resident) != 2) die("/proc/self/statm");
  fclose(file);
  return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

void answer(const State& state) {
  printf("%d %ld %zu %d %d\n", open_fds(), resident_kib(), state.records.size(), state.connections,
         state.first ? 1 : 0);
  fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) die("usage: test_service DIRECTORY");
  State state;
  segue_options options{};
  options.size = sizeof options;
  options.service = "test";
  options.version = "1";
  options.directory = argv[1];
  options.poll_interval_ms = 1;
  options.budget_us = 1'000'000;
  options.probation_ms = 1;
  const segue_callbacks c = callbacks();
  char why[256] = "";
  segue_instance* s = segue_open(&options, &c, &state, why, sizeof why);
  if (s == nullptr) die(why);
  segue_table* table = open_table(s, &state);
  segue_class* cls = open_class(s, &state);
  segue_arena* arena = segue_arena_open(s, "arena", 1, kArenaBytes);
  if (segue_listen(s, "main", "tcp:127.0.0.1:0", 16) != SEGUE_OK || segue_start(s) != SEGUE_OK) {
    die(segue_error(s));
  }
  if (state.first) {
    fill(s, state, table, cls);
    memset(segue_arena_data(arena), 'a', kArenaBytes);
    segue_arena_set_used(arena, kArenaBytes);
  }
  while (!state.ended) {
    pollfd fds[2] = {{segue_fd(s), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    poll(fds, 2, -1);
    char byte = 0;
    segue_dispatch(s);  // first: what has happened before the question is part of the answer
    if (fds[1].revents != 0) {
      if (read(STDIN_FILENO, &byte, 1) != 1) break;
      answer(state);
    }
  }
  segue_free(s);
  return 0;
}
