// SPDX-License-Identifier: Apache-2.0
// For tests only: a small service on segue.h, with a table of strings, a class of connections and
// one listener, and what runs several of them in one process.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "segue/segue.h"

namespace segue::handoff::test {

class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// What a test puts in the place of a callback's own work. Each may be empty.
struct Hooks {
  std::function<void()> freeze;
  std::function<int()> release;
  std::function<void(int released)> resume;
  std::function<int()> acquire;
  std::function<void()> yield;
  std::function<void()> activate;
  std::function<void(const std::string& key)> encode;
  std::function<void()> encode_connection;
  std::function<void(const std::string& key)> put;
  std::function<int(char* why, size_t size)> check;
};

struct ServiceOptions {
  std::string directory;
  std::string service = "kv";
  std::string address = "tcp:127.0.0.1:0";
  uint32_t meeting = SEGUE_MEET_PREDECESSOR_LISTENS;
  std::string flag;
  uint32_t form_version = 1;
  uint32_t form_oldest = 1;
  uint32_t budget_us = 1'000'000;
  uint32_t max_rounds = 0;
  uint32_t max_attempts = 0;
  uint32_t answer_ms = 2000;
  uint32_t probation_ms = 1;
  uint32_t hang_ms = 0;
  uint32_t table_flags = 0;
  uint32_t on_crash = SEGUE_ON_CRASH_RESUME;
  bool vote_required = false;
  bool skip_rehearsal = false;
  bool spoil_encoding = false;
  bool fail_check = false;
  bool fail_acquire = false;
  Hooks hooks;
};

class Service {
 public:
  explicit Service(const ServiceOptions& options);
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  int start() { return segue_start(instance.get()); }

  void put(const std::string& key, const std::string& value);
  void erase(const std::string& key);
  // Registers one end of a socket pair and returns the client's end.
  int connect(const std::string& state);
  // Registers `fd`; returns the connection's id.
  uint64_t add(int fd, const std::string& state);

  [[nodiscard]] bool active() const { return segue_is_active(instance.get()) == 1; }
  [[nodiscard]] bool ended() const { return has("terminate"); }
  [[nodiscard]] bool has(const std::string& prefix) const { return count(prefix) > 0; }
  [[nodiscard]] size_t count(const std::string& prefix) const;
  [[nodiscard]] std::string error() const { return segue_error(instance.get()); }
  [[nodiscard]] segue_progress progress() const;
  [[nodiscard]] uint16_t port() const;  // of the listener

  struct Free {
    void operator()(segue_instance* s) const { segue_free(s); }
  };
  std::unique_ptr<segue_instance, Free> instance;
  segue_table* table = nullptr;
  segue_class* cls = nullptr;
  int listener_fd = -1;
  std::map<std::string, int> descriptors;
  std::map<std::string, std::string> data;
  std::map<std::string, uint64_t> stamps;
  std::map<std::string, std::string> kept;
  std::map<uint64_t, std::string> connections;
  // "freeze", "resume 1", "activate first", "activate", "terminate 1", "predecessor lingers",
  // "predecessor gone", in order.
  std::vector<std::string> events;
  // Told about each event as it happens.
  std::function<void(const std::string& event)> on_event;

 private:
  static Service& of(void* self) { return *static_cast<Service*>(self); }
  [[nodiscard]] segue_options library_options() const;
  static segue_callbacks library_callbacks();
  void declare_table();
  void declare_class();
  void log(std::string event);
  void log_lingering(bool lingers);
  int scan(uint64_t* cursor, segue_scan* out) const;
  int encode(const std::string& key, segue_writer* out);
  int decode(const std::string& key, const segue_record* record);
  int take_state(segue_conn* conn, const segue_record* record);

  ServiceOptions options_;
  bool predecessor_lingers_ = false;
};

// Dispatches the services in turn until `done`; false after ten seconds.
bool run(const std::vector<Service*>& services, const std::function<bool()>& done);

// Calls `done` until it is true, waiting for up to a millisecond in between; false after ten
// seconds. For what no descriptor tells.
bool eventually(const std::function<bool()>& done);

// Services that meet in a directory of the test's own.
class HandoffTest : public testing::Test {
 protected:
  [[nodiscard]] ServiceOptions options() const {
    ServiceOptions o;
    o.directory = directory_.path();
    return o;
  }
  // Starts `to` and runs both until it serves and `from` has ended.
  static void hand_over(Service& from, Service& to);

  TemporaryDirectory directory_;
};

}  // namespace segue::handoff::test
