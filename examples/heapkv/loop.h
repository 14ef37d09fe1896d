// SPDX-License-Identifier: Apache-2.0
// One event loop: accepts, reads, executes and writes for its clients, on its thread.
#pragma once

#include <cstdint>
#include <memory>
#include <segue/segue.hpp>
#include <string>
#include <unordered_map>

#include "parser.h"

namespace heapkv {

class Server;
class Loop;

struct Client {
  segue::Connection conn;
  Loop* home = nullptr;
  respkv::RequestParser parser;
  std::string input;
  std::string output;
  bool wants_write = false;
};

class Loop {
 public:
  explicit Loop(Server& server);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Of a loop with a thread of its own; the first one is the instance's thread's.
  void set_handle(segue::Loop handle) { handle_ = handle; }
  [[nodiscard]] int fd() const { return epoll_; }
  // Such a thread's whole life.
  void run();
  // What is ready, without waiting.
  void serve_some();

  // While no loop runs.
  void watch_listener(int fd);  // -1: no longer
  bool adopt(segue::Connection conn, int fd);
  void refresh(Client& client) const;  // its output was replaced
  void drop(Client& client);

 private:
  void accept_some();
  void ready(std::uint64_t id, std::uint32_t events);
  bool receive(Client& client);
  bool answer(Client& client);
  void flush(Client& client);
  void close(Client& client);
  void watch(int fd, std::uint64_t id, std::uint32_t events, int operation) const;

  Server& server_;
  segue::Loop handle_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Client>> clients_;
  int epoll_;
  int listener_ = -1;
};

}  // namespace heapkv
