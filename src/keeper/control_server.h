// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "control/request.h"
#include "keeper/types.h"
#include "os/epoll_loop.h"
#include "os/unix_socket.h"

namespace segue::keeper {

// The component's control socket. A connection carries one request, then its replies, one message
// each; it is closed after the last one. Only this user and root are heard.
class ControlServer {
 public:
  static constexpr std::size_t kMaxClients = 64;
  static constexpr std::size_t kMaxQueued = 2'048;  // replies for one client that does not read

  using OnRequest = std::function<void(RequestId, base::Result<control::Request>)>;

  // `loop` outlives it.
  ControlServer(os::EpollLoop& loop, OnRequest on_request)
      : loop_(loop), on_request_(std::move(on_request)) {}
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  base::Result<void> listen(const std::string& path);
  // A client that is connected already and whose request is known.
  base::Result<RequestId> adopt(os::UniqueFd client);

  // ---- For a keeper that is replaced by another program with the same descriptors
  struct Seat {
    RequestId id = 0;
    int fd = -1;
    bool asked = false;
    bool finished = false;
    std::deque<std::string> queue;
  };
  [[nodiscard]] std::vector<Seat> seats() const;
  [[nodiscard]] int listening_fd() const { return listener_.get(); }
  [[nodiscard]] RequestId last_request() const { return last_; }
  // Instead of listen(); takes ownership of the descriptors.
  base::Result<void> resume(os::UniqueFd listener, const std::string& path, RequestId last,
                            std::vector<Seat> seats);

  enum class Weight { needed, droppable };
  // Droppable replies are left out while earlier ones wait to be read.
  void send(RequestId client, std::string reply, Weight weight);
  // Sends it, then closes.
  void finish(RequestId client, std::string reply);
  // The same with copies of `fds` (borrowed), at once: a client whose socket is full gets neither.
  void finish_with(RequestId client, std::string_view reply, std::span<const int> fds);
  [[nodiscard]] bool has_clients() const { return !clients_.empty(); }
  [[nodiscard]] bool has(RequestId client) const { return clients_.contains(client); }

 private:
  struct Client {
    os::UniqueFd fd;
    std::deque<std::string> queue;
    bool asked = false;
    bool finished = false;
    std::uint32_t interest = 0;
  };

  void on_connection();
  base::Result<RequestId> add(os::UniqueFd fd, bool asked);
  void on_ready(RequestId id);
  void read(RequestId id);
  void flush(RequestId id);
  void drop(RequestId id);

  os::EpollLoop& loop_;
  OnRequest on_request_;
  os::UniqueFd listener_;
  std::string path_;
  std::map<RequestId, Client> clients_;
  RequestId last_ = 0;
};

}  // namespace segue::keeper
