// SPDX-License-Identifier: Apache-2.0
#include "loop.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <mutex>
#include <vector>

#include "server.h"

namespace heapkv {
namespace {

// In epoll events; ids of connections lie between.
constexpr std::uint64_t kListener = 0;
constexpr std::uint64_t kLibrary = UINT64_MAX;
constexpr std::size_t kMaxInputBytes = std::size_t{64} << 20U;
constexpr int kAcceptsPerTurn = 8;  // the other loops take their part
constexpr int kEventsPerTurn = 256;

}  // namespace

Loop::Loop(Server& server) : server_(server), epoll_(epoll_create1(EPOLL_CLOEXEC)) {}

Loop::~Loop() {
  ::close(epoll_);
}

void Loop::watch(int fd, std::uint64_t id, std::uint32_t events, int operation) const {
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  epoll_ctl(epoll_, operation, fd, &event);
}

void Loop::run() {
  watch(handle_.fd(), kLibrary, EPOLLIN, EPOLL_CTL_ADD);
  epoll_event event{};
  while (handle_.dispatch()) {
    // Only to wait: what is ready is fetched after it, and served before the next dispatch.
    if (epoll_wait(epoll_, &event, 1, -1) > 0) serve_some();
  }
}

void Loop::serve_some() {
  std::array<epoll_event, kEventsPerTurn> events{};
  const int count = epoll_wait(epoll_, events.data(), kEventsPerTurn, 0);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events.at(static_cast<std::size_t>(i));
    if (event.data.u64 == kLibrary) continue;
    event.data.u64 == kListener ? accept_some() : ready(event.data.u64, event.events);
  }
}

// ---- While no loop runs ----------------------------------------------------------------------

void Loop::watch_listener(int fd) {
  if (listener_ >= 0) epoll_ctl(epoll_, EPOLL_CTL_DEL, listener_, nullptr);
  listener_ = fd;
  // A connection wakes one loop, not all.
  if (fd >= 0) watch(fd, kListener, EPOLLIN | EPOLLEXCLUSIVE, EPOLL_CTL_ADD);
}

bool Loop::adopt(segue::Connection conn, int fd) {
  if (handle_.valid() && !conn.bind(handle_)) return false;
  auto client = std::make_unique<Client>();
  client->conn = conn;
  client->home = this;
  conn.set_data(client.get());
  fcntl(fd, F_SETFL, O_NONBLOCK);
  clients_[conn.id()] = std::move(client);
  watch(fd, conn.id(), EPOLLIN, EPOLL_CTL_ADD);
  return true;
}

void Loop::refresh(Client& client) const {
  client.parser.reset();
  const bool wants_write = !client.output.empty();
  if (wants_write == client.wants_write) return;
  client.wants_write = wants_write;
  watch(client.conn.fd(), client.conn.id(), EPOLLIN | (wants_write ? EPOLLOUT : 0U), EPOLL_CTL_MOD);
}

void Loop::drop(Client& client) {
  epoll_ctl(epoll_, EPOLL_CTL_DEL, client.conn.fd(), nullptr);
  clients_.erase(client.conn.id());
}

// ---- Clients ---------------------------------------------------------------------------------

void Loop::accept_some() {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    auto client = std::make_unique<Client>();
    client->home = this;
    client->conn = server_.add(handle_, fd, client.get());
    if (!client->conn.valid()) {
      ::close(fd);
      return;
    }
    const std::uint64_t id = client->conn.id();
    clients_[id] = std::move(client);
    watch(fd, id, EPOLLIN, EPOLL_CTL_ADD);
  }
}

void Loop::ready(std::uint64_t id, std::uint32_t events) {
  const auto found = clients_.find(id);
  if (found == clients_.end()) return;
  Client& client = *found->second;
  const bool open = (events & ~static_cast<std::uint32_t>(EPOLLOUT)) == 0 || receive(client);
  if (!open || !answer(client)) return close(client);
  flush(client);
}

bool Loop::receive(Client& client) {
  std::array<char, 65'536> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  const ssize_t got = client.conn.read(buffer.data(), buffer.size());
  if (got <= 0) return got < 0 && (errno == EAGAIN || errno == EINTR);
  client.input.append(buffer.data(), static_cast<std::size_t>(got));
  return client.input.size() <= kMaxInputBytes;
}

bool Loop::answer(Client& client) {
  std::size_t done = 0;
  std::vector<std::string_view> words;
  const std::lock_guard lock(server_.store_lock());
  while (done < client.input.size()) {
    const std::string_view rest = std::string_view(client.input).substr(done);
    const auto status = client.parser.parse(rest);
    if (status == respkv::RequestParser::Status::malformed) return false;
    if (status == respkv::RequestParser::Status::incomplete) break;
    client.parser.arguments(rest, words);
    if (!words.empty()) server_.execute(words, client.output);
    done += client.parser.size();
    client.parser.reset();
  }
  if (done > 0) {
    client.input.erase(0, done);
    client.parser.reset();
  }
  return true;
}

void Loop::flush(Client& client) {
  if (!client.output.empty()) {
    const ssize_t sent = client.conn.write(client.output);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return close(client);
    client.output.erase(0, sent < 0 ? 0 : static_cast<std::size_t>(sent));
  }
  const bool wants_write = !client.output.empty();
  if (wants_write != client.wants_write) {
    client.wants_write = wants_write;
    watch(client.conn.fd(), client.conn.id(), EPOLLIN | (wants_write ? EPOLLOUT : 0U),
          EPOLL_CTL_MOD);
  }
  client.conn.touch();
}

void Loop::close(Client& client) {
  const std::uint64_t id = client.conn.id();
  epoll_ctl(epoll_, EPOLL_CTL_DEL, client.conn.fd(), nullptr);
  client.conn.close();
  clients_.erase(id);
}

}  // namespace heapkv
