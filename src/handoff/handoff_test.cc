// SPDX-License-Identifier: Apache-2.0
// Whole handoffs through the public header, both sides in this process, met in a directory.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "handoff/clock.h"
#include "segue/segue.h"

namespace {

using segue::handoff::monotonic_ns;

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    char pattern[] = "/tmp/segue-test-XXXXXX";
    path_ = mkdtemp(pattern);
  }
  ~TemporaryDirectory() {
    const std::string command = "rm -rf " + path_;
    (void)!system(command.c_str());
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct ServiceOptions {
  std::string directory;
  std::string service = "kv";
  uint32_t form_version = 1;
  uint32_t form_oldest = 1;
  uint32_t budget_us = 1'000'000;
  bool spoil_encoding = false;
  bool fail_check = false;
  bool fail_acquire = false;
  bool vote_required = false;
};

constexpr uint32_t kValueTag = 1;
constexpr uint32_t kStampTag = 2;  // added by version 2

// A service with a table of strings, a class of connections and one listener.
class Service {
 public:
  explicit Service(const ServiceOptions& options) : options_(options) {
    segue_options o{};
    o.size = sizeof o;
    o.service = options_.service.c_str();
    o.version = "test";
    o.directory = options_.directory.c_str();
    o.poll_interval_ms = 1;
    o.budget_us = options_.budget_us;
    o.probation_ms = 1;
    o.answer_ms = 2000;
    o.spin_us = 1;
    o.vote_required = options_.vote_required ? 1 : 0;
    segue_callbacks c{};
    c.size = sizeof c;
    c.listener = [](void* self, const char*, int fd) { return of(self).listener_fd = fd, 0; };
    c.freeze = [](void* self) { return of(self).log("freeze"), 0; };
    c.resume = [](void* self, segue_resume_reason reason, int) {
      of(self).log("resume " + std::to_string(reason));
    };
    c.check = [](void* self, char* why, size_t size) {
      if (!of(self).options_.fail_check) return 0;
      snprintf(why, size, "the sum is wrong");
      return -1;
    };
    c.acquire = [](void* self) { return of(self).options_.fail_acquire ? -1 : 0; };
    c.activate = [](void* self, const segue_activation* a) {
      of(self).log(a->first == 1 ? "activate first" : "activate");
    };
    c.terminate = [](void* self, segue_end_reason reason) {
      of(self).log("terminate " + std::to_string(reason));
    };
    char why[256] = "";
    instance.reset(segue_open(&o, &c, this, why, sizeof why));
    EXPECT_NE(instance, nullptr) << why;
    declare();
  }

  int start() { return segue_start(instance.get()); }

  void put(const std::string& key, const std::string& value) {
    data[key] = value;
    segue_table_put(table, key.data(), key.size());
  }
  void erase(const std::string& key) {
    data.erase(key);
    segue_table_erase(table, key.data(), key.size());
  }
  // Returns the client's end.
  int connect(const std::string& state) {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    segue_conn* conn = segue_conn_add(cls, ends[0], nullptr);
    connections[segue_conn_id(conn)] = state;
    return ends[1];
  }
  [[nodiscard]] bool active() const { return segue_is_active(instance.get()) == 1; }
  [[nodiscard]] bool ended() const { return has("terminate"); }
  [[nodiscard]] bool has(const std::string& prefix) const {
    for (const std::string& entry : events) {
      if (entry.starts_with(prefix)) return true;
    }
    return false;
  }
  [[nodiscard]] std::string error() const { return segue_error(instance.get()); }

  struct Free {
    void operator()(segue_instance* s) const { segue_free(s); }
  };
  std::unique_ptr<segue_instance, Free> instance;
  segue_table* table = nullptr;
  segue_class* cls = nullptr;
  int listener_fd = -1;
  std::map<std::string, std::string> data;
  std::map<std::string, uint64_t> stamps;
  std::map<std::string, std::string> kept;
  std::map<uint64_t, std::string> connections;
  std::vector<std::string> events;

 private:
  static Service& of(void* self) { return *static_cast<Service*>(self); }
  void log(std::string event) { events.push_back(std::move(event)); }

  void declare() {
    EXPECT_EQ(segue_listen(instance.get(), "main", "tcp:127.0.0.1:0", 16), SEGUE_OK);
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
    t.scan = [](void* self, uint64_t* cursor, uint32_t max, segue_scan* scan) {
      return of(self).scan(cursor, max, scan);
    };
    t.encode = [](void* self, const void* key, size_t size, segue_writer* out) {
      return of(self).encode(std::string(static_cast<const char*>(key), size), out);
    };
    t.put = [](void* self, const void* key, size_t size, const segue_record* record) {
      return of(self).decode(std::string(static_cast<const char*>(key), size), record);
    };
    t.erase = [](void* self, const void* key, size_t size) {
      of(self).data.erase(std::string(static_cast<const char*>(key), size));
      return 0;
    };
    t.clear = [](void* self) { of(self).data.clear(); };
    table = segue_table_open(instance.get(), "data", &form, &t, 0, this);
    EXPECT_NE(table, nullptr) << error();
    segue_form conn_form{};
    conn_form.size = sizeof conn_form;
    conn_form.version = 1;
    conn_form.oldest = 1;
    conn_form.name = "kv.client";
    segue_class_ops ops{};
    ops.size = sizeof ops;
    ops.encode = [](void* self, segue_conn* conn, segue_writer* out) {
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
    ops.drop = [](void* self, segue_conn* conn) {
      of(self).connections.erase(segue_conn_id(conn));
    };
    cls = segue_class_open(instance.get(), "clients", &conn_form, &ops, this);
    EXPECT_NE(cls, nullptr) << error();
  }

  static int copy(const segue_record* in, segue_writer* out, uint32_t add, uint64_t value) {
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

  // By bucket of the key's hash: changes move no key past the cursor.
  int scan(uint64_t* cursor, uint32_t, segue_scan* out) {
    constexpr uint64_t kBuckets = 128;
    for (const auto& [key, value] : data) {
      if (std::hash<std::string>()(key) % kBuckets != *cursor) continue;
      segue_scan_key(out, key.data(), key.size());
    }
    return ++*cursor < kBuckets ? 1 : 0;
  }
  int encode(const std::string& key, segue_writer* out) {
    const auto found = data.find(key);
    if (found == data.end()) return SEGUE_GONE;
    const std::string value = options_.spoil_encoding && key == "k1" ? "spoilt" : found->second;
    segue_put(out, kValueTag, value.data(), value.size());
    if (options_.form_version >= 2) segue_put_u64(out, kStampTag, stamps[key]);
    if (kept.contains(key)) segue_put_fields(out, kept[key].data(), kept[key].size());
    return SEGUE_OK;
  }
  int decode(const std::string& key, const segue_record* record) {
    const void* bytes = nullptr;
    size_t size = 0;
    if (segue_get(record, kValueTag, &bytes, &size) != SEGUE_OK) return SEGUE_INVALID;
    data[key] = std::string(static_cast<const char*>(bytes), size);
    stamps[key] = segue_get_u64(record, kStampTag, 0);
    const uint32_t known[] = {kValueTag, kStampTag};
    const size_t count = options_.form_version >= 2 ? 2 : 1;
    std::string rest(segue_unknown(record, known, count, nullptr, 0), '\0');
    segue_unknown(record, known, count, rest.data(), rest.size());
    kept.erase(key);
    if (!rest.empty()) kept[key] = rest;
    return SEGUE_OK;
  }
  int take_state(segue_conn* conn, const segue_record* record) {
    const void* bytes = nullptr;
    size_t size = 0;
    if (segue_get(record, 1, &bytes, &size) != SEGUE_OK) return SEGUE_INVALID;
    connections[segue_conn_id(conn)] = std::string(static_cast<const char*>(bytes), size);
    return SEGUE_OK;
  }

  ServiceOptions options_;
};

class Handoff : public testing::Test {
 protected:
  // Runs both sides until `done`; false after ten seconds.
  static bool run(std::vector<Service*> services, const std::function<bool()>& done) {
    const uint64_t deadline = monotonic_ns() + 10'000'000'000U;
    while (!done()) {
      if (monotonic_ns() > deadline) return false;
      std::vector<pollfd> fds;
      for (Service* s : services) fds.push_back({segue_fd(s->instance.get()), POLLIN, 0});
      poll(fds.data(), fds.size(), 100);
      for (Service* s : services) {
        if (!s->ended()) segue_dispatch(s->instance.get());
      }
    }
    return true;
  }
  ServiceOptions options() {
    ServiceOptions o;
    o.directory = directory_.path();
    return o;
  }
  static void hand_over(Service& from, Service& to) {
    ASSERT_EQ(to.start(), SEGUE_OK) << to.error();
    ASSERT_TRUE(run({&from, &to}, [&] { return from.ended() && to.active(); }))
        << from.error() << " / " << to.error();
  }
  TemporaryDirectory directory_;
};

TEST_F(Handoff, first_instance_is_active_at_once) {
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK) << first.error();
  EXPECT_TRUE(first.active());
  EXPECT_GE(first.listener_fd, 0);
  EXPECT_EQ(first.events, std::vector<std::string>{"activate first"});
}

TEST_F(Handoff, records_connections_and_listeners_arrive) {
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  for (int i = 0; i < 1000; ++i) first.put("k" + std::to_string(i), std::to_string(i * i));
  first.put("large", std::string(300'000, 'x'));
  std::vector<int> clients;
  for (int i = 0; i < 300; ++i) clients.push_back(first.connect("c" + std::to_string(i)));
  Service second(options());
  hand_over(first, second);
  EXPECT_EQ(second.data, first.data);
  EXPECT_EQ(second.connections, first.connections);
  EXPECT_GE(second.listener_fd, 0);
  EXPECT_EQ(first.events.back(), "terminate 1");
  for (const int fd : clients) close(fd);
}

TEST_F(Handoff, changes_during_the_background_arrive) {
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  for (int i = 0; i < 20'000; ++i) first.put("k" + std::to_string(i), "old");
  const int kept = first.connect("kept");
  const int closed = first.connect("closed");
  segue_conn* to_close = segue_conn_find(first.instance.get(), first.connections.rbegin()->first);
  Service second(options());
  ASSERT_EQ(second.start(), SEGUE_OK);
  int step = 0;
  ASSERT_TRUE(run({&first, &second},
                  [&] {
                    if (!first.active()) return first.ended() && second.active();
                    ++step;
                    first.put("k" + std::to_string(step % 20'000), "new" + std::to_string(step));
                    if (step % 3 == 0) first.erase("k" + std::to_string(19'999 - step));
                    if (step == 10) {
                      first.connections.erase(segue_conn_id(to_close));
                      segue_conn_close(to_close, SEGUE_CLOSE_FIN);
                    }
                    if (step == 12) close(first.connect("fresh"));
                    return false;
                  }))
      << first.error() << " / " << second.error();
  EXPECT_GT(step, 12);
  EXPECT_EQ(second.data, first.data);
  EXPECT_EQ(second.connections, first.connections);
  close(kept);
  close(closed);
}

TEST_F(Handoff, peer_sees_a_close_although_the_successor_holds_the_socket) {
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  const int client = first.connect("c");
  Service second(options());
  hand_over(first, second);
  segue_conn* conn = segue_conn_find(second.instance.get(), second.connections.begin()->first);
  ASSERT_NE(conn, nullptr);
  ASSERT_EQ(segue_conn_close(conn, SEGUE_CLOSE_FIN), SEGUE_OK);
  pollfd entry{client, POLLIN, 0};
  ASSERT_EQ(poll(&entry, 1, 1000), 1);
  char byte = 0;
  EXPECT_EQ(read(client, &byte, 1), 0);
  close(client);
}

TEST_F(Handoff, forms_are_converted_up_and_down_and_unknown_fields_survive) {
  ServiceOptions v1 = options();
  ServiceOptions v2 = options();
  v2.form_version = 2;
  Service a(v1);
  ASSERT_EQ(a.start(), SEGUE_OK);
  a.put("k", "v");
  Service b(v2);
  hand_over(a, b);
  EXPECT_EQ(b.stamps["k"], 7U);  // the converter's default
  b.stamps["k"] = 42;
  segue_table_put(b.table, "k", 1);
  Service c(v1);
  hand_over(b, c);
  EXPECT_EQ(c.data["k"], "v");
  Service d(v2);
  hand_over(c, d);
  EXPECT_EQ(d.stamps["k"], 42U);
}

TEST_F(Handoff, form_without_common_version_is_refused_by_name) {
  ServiceOptions newer = options();
  newer.form_version = 3;
  newer.form_oldest = 2;
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  Service second(newer);
  ASSERT_EQ(second.start(), SEGUE_OK);
  ASSERT_TRUE(run({&first, &second}, [&] { return second.ended(); }));
  EXPECT_NE(second.error().find("kv.entry"), std::string::npos) << second.error();
  EXPECT_TRUE(first.active());
  EXPECT_FALSE(first.has("freeze"));
}

TEST_F(Handoff, another_service_is_refused) {
  ServiceOptions other = options();
  other.service = "mail";
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  Service second(other);
  ASSERT_EQ(second.start(), SEGUE_OK);
  ASSERT_TRUE(run({&first, &second}, [&] { return second.ended(); }));
  EXPECT_NE(second.error().find("mail"), std::string::npos) << second.error();
  EXPECT_TRUE(first.active());
}

TEST_F(Handoff, rehearsal_names_the_record_that_differs) {
  ServiceOptions spoilt = options();
  spoilt.spoil_encoding = true;
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  for (int i = 0; i < 10; ++i) first.put("k" + std::to_string(i), "v");
  Service second(spoilt);
  ASSERT_EQ(second.start(), SEGUE_OK);
  ASSERT_TRUE(run({&first, &second}, [&] { return second.ended(); }));
  EXPECT_NE(first.error().find("data k1"), std::string::npos) << first.error();
  EXPECT_TRUE(first.active());
  EXPECT_FALSE(first.has("freeze"));
}

TEST_F(Handoff, rehearsal_finds_a_change_that_was_not_told) {
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  for (int i = 0; i < 20'000; ++i) first.put("k" + std::to_string(i), "v");
  Service second(options());
  ASSERT_EQ(second.start(), SEGUE_OK);
  ASSERT_TRUE(run({&first, &second}, [&] {
    if (second.data.size() > 10) first.data["k0"] = "silently changed";
    return second.ended();
  }));
  EXPECT_NE(first.error().find("data k0"), std::string::npos) << first.error();
  EXPECT_TRUE(first.active());
}

TEST_F(Handoff, service_check_and_acquire_can_decline) {
  for (const bool check : {true, false}) {
    Service first(options());
    ASSERT_EQ(first.start(), SEGUE_OK);
    ServiceOptions failing = options();
    failing.fail_check = check;
    failing.fail_acquire = !check;
    Service second(failing);
    ASSERT_EQ(second.start(), SEGUE_OK);
    ASSERT_TRUE(run({&first, &second}, [&] { return second.ended(); }));
    EXPECT_TRUE(first.active()) << first.error();
    EXPECT_NE(first.error().find(check ? "the sum is wrong" : "resource"), std::string::npos)
        << first.error();
    EXPECT_EQ(first.has("resume 2"), !check);
  }
}

TEST_F(Handoff, second_successor_is_refused_while_one_is_served) {
  ServiceOptions waits = options();
  waits.vote_required = true;
  Service first(waits);
  ASSERT_EQ(first.start(), SEGUE_OK);
  Service second(options());
  ASSERT_EQ(second.start(), SEGUE_OK);
  ASSERT_TRUE(run({&first, &second}, [&] { return second.active(); }));
  Service third(options());
  ASSERT_EQ(third.start(), SEGUE_OK);
  ASSERT_TRUE(run({&first, &second, &third}, [&] { return third.ended(); }));
  EXPECT_NE(third.error().find("under way"), std::string::npos) << third.error();
  segue_vote(second.instance.get(), 1, nullptr);
  ASSERT_TRUE(run({&first, &second}, [&] { return first.ended(); }));
  EXPECT_TRUE(second.active());
}

TEST_F(Handoff, fifty_in_a_row) {
  auto current = std::make_unique<Service>(options());
  ASSERT_EQ(current->start(), SEGUE_OK);
  const int client = current->connect("c");
  for (int i = 0; i < 50; ++i) {
    current->put("round", std::to_string(i));
    auto next = std::make_unique<Service>(options());
    hand_over(*current, *next);
    ASSERT_EQ(next->data["round"], std::to_string(i));
    ASSERT_EQ(next->connections.size(), 1U);
    current = std::move(next);
  }
  close(client);
}

}  // namespace
