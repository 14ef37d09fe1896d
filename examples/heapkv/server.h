// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <segue/segue.hpp>
#include <string>
#include <unordered_map>
#include <vector>

#include "parser.h"
#include "store.h"

namespace heapkv {

struct Options {
  std::string listen = "tcp:127.0.0.1:6390";
  std::string directory;
  std::size_t heap_mib = 256;
  std::size_t fill_mib = 0;
  std::uint32_t probation_ms = 0;  // 0: libsegue's default, likewise below
  std::uint32_t budget_us = 0;
};

class Server : public segue::Service, public segue::ConnectionSource {
 public:
  explicit Server(Options options);
  ~Server() override;

  // What failed, or "".
  std::string start();
  void run();

 private:
  struct Client {
    segue::Connection conn;
    respkv::RequestParser parser;
    std::string input;
    std::string output;
    bool wants_write = false;
  };

  bool listener(const char* name, int fd) override;
  bool freeze() override;
  void resume(segue_resume_reason reason, bool released) override;
  bool check(std::string& why) override;
  void activate(const segue_activation& activation) override;
  void terminate(segue_end_reason reason) override;
  bool encode(segue::Connection conn, segue::Writer& out) override;
  bool adopt(segue::Connection conn, int fd, const segue::Record& record) override;
  bool update(segue::Connection conn, const segue::Record& record) override;
  void drop(segue::Connection conn) override;

  void fill();
  void serve_some();
  void accept_some();
  void ready(std::uint64_t id, std::uint32_t events);
  bool receive(Client& client);
  bool answer(Client& client);
  void flush(Client& client);
  void close(Client& client);
  void watch(int fd, std::uint64_t id, bool writes, int operation) const;
  void execute(const std::vector<std::string_view>& words, std::string& out);
  void get(std::string_view key, std::string& out) const;
  [[nodiscard]] std::string info() const;

  Options options_;
  Store store_;
  std::unique_ptr<segue::Instance> instance_;
  segue::ConnectionClass clients_class_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Client>> clients_;
  std::uint64_t blackout_ns_ = 0;
  int epoll_ = -1;
  int listener_ = -1;
  bool serving_ = false;
  bool ended_ = false;
  bool damaged_ = false;
};

}  // namespace heapkv
