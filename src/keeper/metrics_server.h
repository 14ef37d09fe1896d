// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "os/clock.h"
#include "os/epoll_loop.h"
#include "os/unique_fd.h"

namespace segue::keeper {

// Answers GET /metrics over stream sockets: one request per connection, which ends with the answer
// or at the time limit.
class MetricsServer {
 public:
  static constexpr std::size_t kMaxClients = 16;  // more are closed at once
  static constexpr base::Duration kLimit = std::chrono::seconds(5);

  using Text = std::function<std::string()>;

  // `loop` and `clock` outlive it.
  MetricsServer(os::EpollLoop& loop, const os::Clock& clock, Text text)
      : loop_(loop), clock_(clock), text_(std::move(text)) {}
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  // A Unix socket in a directory that is this user's alone.
  base::Result<void> listen_unix(const std::string& path);
  // "127.0.0.1:9100", "[::1]:9100": only of this host.
  base::Result<void> listen_tcp(const std::string& address);

 private:
  struct Client {
    os::UniqueFd fd;
    std::string request;
    std::string answer;
    std::size_t sent = 0;
    os::EpollLoop::TimerId timer;
  };

  base::Result<void> watch(os::UniqueFd listener);
  void on_connection(int listener);
  void on_ready(int fd);
  void read(Client& client);
  void flush(Client& client);
  void drop(int fd);

  os::EpollLoop& loop_;
  const os::Clock& clock_;
  Text text_;
  std::vector<os::UniqueFd> listeners_;
  std::map<int, Client> clients_;
};

}  // namespace segue::keeper
