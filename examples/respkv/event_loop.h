// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <segue/segue.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "connection.h"

namespace respkv {

class Server;

// One event loop: accepts, reads, executes and writes for its clients, on its thread.
class EventLoop {
 public:
  // `alone`: there is no other loop.
  EventLoop(Server& server, unsigned number, bool alone);
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  static constexpr std::size_t kMaxListeners = 64;

  // nullptr: that of the instance's thread.
  void set_handle(segue_loop* handle) { handle_ = handle; }
  [[nodiscard]] segue_loop* handle() const { return handle_; }

  // An event of this descriptor ends the turn with a dispatch by the caller.
  void watch_segue(int fd);
  void watch_signals(int fd);
  bool watch_listener(int fd, std::size_t number, bool shared);
  void forget(int fd);

  // One turn: waits for events and handles them. What the caller has to do then:
  struct Due {
    bool dispatch = false;
    bool stop = false;
  };
  Due turn();
  // A thread's whole life, for a loop with a handle.
  void run();

  // While no loop runs, or on its own thread.
  void own(Connection& connection);
  bool watch_events(Connection& connection);
  void close(Connection& connection, segue_close_how how);
  void detach(Connection& connection);
  void delete_closed() { closed_.clear(); }
  void settle_totals(Connection& connection);
  // Its totals are read from the kernel again before it is used.
  void unsettle(Connection& connection);

  // What its events lead to. Also called to do again what a dead successor did.
  void handle_input(Connection& connection);
  void handle_output(Connection& connection);
  void catch_up(Connection& connection);  // with what other sessions left for it, too
  bool welcome(segue_conn* handle, int fd);
  void end_due();

  // With Server's lock held: what waited behind a request that blocked; of any loop's client.
  void execute_input(Connection& connection);
  // Likewise; true if the loop has to be told.
  bool put_in_inbox(Connection& connection);
  void look_into_inbox() { look_into_inbox_ = true; }  // tells it, on its own thread
  void wake();                                         // from any other
  [[nodiscard]] unsigned number() const { return number_; }
  void set_due_ms(std::uint64_t due_ms) { due_ms_ = due_ms; }
  [[nodiscard]] std::size_t client_count() const { return client_count_; }

 private:
  static constexpr std::size_t kReadBytes = std::size_t{64} << 10U;

  [[nodiscard]] int timeout_ms() const;
  void handle_event(std::uint64_t data, std::uint32_t events, Due& due);
  void do_due();
  void accept_clients(int listener);
  void add_client(int fd);
  Connection& enrol(segue_conn* handle, int fd);
  bool begin_client(Connection& connection);
  bool accept_without_descriptors(int listener);

  void receive(Connection& connection);
  // Executes what is complete in `bytes`; returns how many bytes that were.
  std::size_t execute_all(Connection& connection, std::string_view bytes);
  void note_change(Connection& connection);
  void fetch_output(Connection& connection);
  bool send_outgoing(Connection& connection);
  void flush(Connection& connection);
  void finish(Connection& connection);
  void attend();
  void forget_client(Connection& connection);
  void settle_some_totals();

  Server* server_;
  unsigned number_;
  segue_loop* handle_ = nullptr;
  int epoll_ = -1;
  int wake_ = -1;
  int reserve_ = -1;  // given up to accept, and refuse, a client when descriptors run out
  std::uint64_t turn_at_ms_ = 0;  // when the turn began
  std::uint64_t due_ms_ = 0;      // when the engine has something to do, as far as this loop knows
  std::vector<Connection*> inbox_;  // to be attended to; guarded by Server's lock
  std::size_t client_count_ = 0;    // likewise
  bool look_into_inbox_ = false;
  std::vector<char> read_buffer_;
  std::string spare_output_;  // the capacity of the last output, for the next
  std::vector<std::string_view> arguments_;
  std::vector<Connection*> attended_;
  std::vector<std::unique_ptr<Connection>> closed_;
  std::vector<std::uint64_t> unsettled_;  // connections whose totals are not known to be exact
};

}  // namespace respkv
