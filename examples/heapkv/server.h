// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <segue/segue.hpp>
#include <string>
#include <vector>

#include "loop.h"
#include "store.h"

namespace heapkv {

struct Options {
  std::string listen = "tcp:127.0.0.1:6390";
  std::string directory;
  std::size_t heap_mib = 256;
  std::size_t fill_mib = 0;
  unsigned threads = 1;
  std::uint32_t probation_ms = 0;  // 0: libsegue's default, likewise below
  std::uint32_t budget_us = 0;
  segue_on_crash on_crash = SEGUE_ON_CRASH_RESUME;
  std::string label;  // what INFO says of the version, in place of the form's
};

class Server : public segue::Service, public segue::ConnectionSource {
 public:
  explicit Server(Options options);

  // What failed, or "".
  std::string start();
  void run();

  // Of the loops: what a client asks for. With the lock held.
  std::mutex& store_lock() { return store_lock_; }
  void execute(const std::vector<std::string_view>& words, std::string& out);
  segue::Connection add(segue::Loop loop, int fd, Client* client);

 private:
  bool listener(const char* name, int fd) override;
  bool freeze() override;
  void resume(segue_resume_reason reason, bool released) override;
  bool check(std::string& why) override;
  bool check_arenas(std::string& why) override;
  void activate(const segue_activation& activation) override;
  void terminate(segue_end_reason reason) override;
  bool encode(segue::Connection conn, segue::Writer& out) override;
  bool adopt(segue::Connection conn, int fd, const segue::Record& record) override;
  bool update(segue::Connection conn, const segue::Record& record) override;
  void drop(segue::Connection conn) override;

  void fill();
  std::string open_loops();
  void get(std::string_view key, std::string& out) const;
  void set(std::string_view key, std::string_view value, std::string& out);
  void increment(std::string_view key, std::string& out);
  [[nodiscard]] std::string info() const;

  Options options_;
  Store store_;
  std::vector<std::unique_ptr<Loop>> loops_;  // the first is the instance's thread's
  std::unique_ptr<segue::Instance> instance_;
  segue::ConnectionClass clients_class_;
  std::size_t next_home_ = 0;  // of a connection that is adopted
  std::mutex store_lock_;
  std::uint64_t blackout_ns_ = 0;
  std::uint64_t resumed_from_arenas_ = 0;
  bool serving_ = false;
  bool ended_ = false;
  bool damaged_ = false;
};

}  // namespace heapkv
