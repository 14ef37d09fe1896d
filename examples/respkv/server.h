// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <segue/segue.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "connection.h"
#include "engine.h"

namespace respkv {

// The event loop and the clients' sockets. Handoff tells it when to serve.
class Server final : public Host {
 public:
  Server();
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // What libsegue is told about; set before the first change.
  struct Tables {
    segue_instance* handle = nullptr;
    segue_class* clients = nullptr;
    segue_table* keyspace = nullptr;
    segue_table* service = nullptr;
  };
  void set_tables(const Tables& tables) { tables_ = tables; }

  // Runs until stop().
  void run();
  void stop() { stopped_ = true; }

  // Registered at once, polled only while serving. -1: it is gone.
  bool set_listener(std::string_view name, int fd);

  void start_serving();
  void freeze() {
    serving_ = false;
    frozen_ = true;
  }
  // The successor was active and is dead: closes the connections that it used, or may have used.
  void close_used_by_successor();

  // A connection that came from the predecessor; its session is complete. Takes ownership.
  bool attach(std::unique_ptr<Connection> connection);
  // Its session was replaced by a newer record: epoll and indices follow.
  bool follow(Connection& connection);
  // Forgets it; libsegue closes the descriptor.
  void detach(Connection& connection);

  std::string check();

  // Calls `action` once, after so many milliseconds of serving; the newest one only.
  void after(std::uint64_t delay_ms, std::function<void()> action);

  Engine engine;
  std::uint64_t epoch = 0;
  std::uint64_t last_blackout_ns = 0;
  std::uint64_t activated_at_ms = 0;  // time of day
  static std::uint64_t now_ms();

 private:
  static constexpr std::size_t kReadBytes = std::size_t{64} << 10U;

  std::string address_of(const Session& session) override;
  std::string information() override;
  void sleep(double seconds) override;
  void key_changed(const std::string& key) override;
  void key_erased(const std::string& key) override;

  void serve_turn();
  [[nodiscard]] int timeout_ms() const;
  bool handle_event(std::uint64_t data, std::uint32_t events);
  void accept_clients(int listener);
  void add_client(int fd);
  bool accept_without_descriptors(int listener);

  void receive(Connection& connection);
  // Executes what is complete in `bytes`; returns how many bytes that were.
  std::size_t execute_all(Connection& connection, std::string_view bytes);
  void execute_input(Connection& connection);
  void flush(Connection& connection);
  void finish(Connection& connection);
  void attend();
  void close(Connection& connection, segue_close_how how);
  bool watch_events(Connection& connection);
  void settle_totals(Connection& connection);
  void settle_some_totals();

  Tables tables_;
  int epoll_ = -1;
  int signals_ = -1;
  int reserve_ = -1;  // given up to accept, and refuse, a client when descriptors run out
  bool serving_ = false;
  bool frozen_ = false;  // has served, and may serve again
  bool stopped_ = false;
  bool service_changed_ = false;
  std::function<void()> action_;  // due at action_at_ms_
  std::uint64_t action_at_ms_ = 0;
  struct Listener {
    std::string name;
    int fd;
  };
  std::vector<Listener> listeners_;
  std::vector<char> read_buffer_;
  std::string spare_output_;  // the capacity of the last output, for the next
  std::vector<std::string_view> arguments_;
  std::vector<Session*> attention_;
  std::vector<std::unique_ptr<Connection>> closed_;
  std::vector<std::uint64_t> unsettled_;  // connections whose totals are not known to be exact
};

}  // namespace respkv
