// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/error.h"
#include "builder/webhook.h"
#include "os/clock.h"
#include "os/epoll_loop.h"
#include "os/unique_fd.h"

namespace segue::builder {

// Takes HTTP/1.1 requests, one per connection, which ends with the answer or at the time limit.
// Whoever is beyond a bound gets an answer that says so, or none.
class WebhookServer {
 public:
  static constexpr std::size_t kMaxClients = 32;
  static constexpr std::size_t kMaxHeaderBytes = std::size_t{16} << 10;
  static constexpr base::Duration kLimit = std::chrono::seconds(20);

  using Answer = std::function<WebhookAnswer(const WebhookRequest&)>;

  // `loop` and `clock` outlive it.
  WebhookServer(os::EpollLoop& loop, const os::Clock& clock, Answer answer);
  ~WebhookServer();
  WebhookServer(const WebhookServer&) = delete;
  WebhookServer& operator=(const WebhookServer&) = delete;

  // "127.0.0.1:8790", "[::1]:8790"; port 0 takes a free one. Returns the port.
  base::Result<std::uint16_t> listen(const std::string& address);

 private:
  struct Client;

  void on_connection();
  void on_ready(int fd);
  void read(Client& client);
  void reply(Client& client, int status, const std::string& text);
  void flush(Client& client);
  void drop(int fd);

  os::EpollLoop& loop_;
  const os::Clock& clock_;
  Answer answer_;
  os::UniqueFd listener_;
  std::map<int, std::unique_ptr<Client>> clients_;
};

}  // namespace segue::builder
