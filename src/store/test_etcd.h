// SPDX-License-Identifier: Apache-2.0
// For tests: a cluster of real etcd processes on ports of their own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "os/process.h"
#include "os/temp_directory.h"
#include "os/unique_fd.h"
#include "store/etcd_client.h"
#include "store/test_store.h"

namespace segue::store {

// A port of 127.0.0.1 that no other test is given while this lives, tests/integration's included.
class TestPort {
 public:
  static TestPort take();
  [[nodiscard]] int number() const { return number_; }

 private:
  TestPort(int number, os::UniqueFd lock) : number_(number), lock_(std::move(lock)) {}
  int number_;
  os::UniqueFd lock_;
};

class TestEtcd {
 public:
  // Whether this machine has etcd at all.
  static bool is_installed();

  // Starts so many members and waits until they have a leader.
  // With TLS and certificates of clients asked for when `tls` names files.
  TestEtcd(TestLoop& loop, std::size_t members, fetch::TlsFiles tls = {});
  ~TestEtcd();

  void kill(std::size_t member);
  void start(std::size_t member);
  void signal(std::size_t member, int number);
  // The member that leads, once all that are named agree.
  [[nodiscard]] std::size_t leader(const std::vector<std::size_t>& among);
  [[nodiscard]] EtcdSettings settings() const;
  [[nodiscard]] std::size_t size() const { return members_.size(); }

 private:
  struct Member {
    TestPort client = TestPort::take();
    TestPort peer = TestPort::take();
    os::Child process;
  };
  struct Status {
    std::string id;
    std::string leader;
  };
  std::optional<Status> status(std::size_t member);

  [[nodiscard]] std::string url_of(const TestPort& port) const;

  TestLoop* loop_;
  fetch::TlsFiles tls_;
  os::TempDirectory directory_;
  std::vector<std::unique_ptr<Member>> members_;
  fetch::AsyncHttp http_;
};

}  // namespace segue::store
