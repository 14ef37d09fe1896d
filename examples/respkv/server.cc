// SPDX-License-Identifier: Apache-2.0
#include "server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <ctime>
#include <span>
#include <thread>
#include <utility>

namespace respkv {
namespace {

constexpr int kEventsPerTurn = 512;
constexpr int kAcceptsPerEvent = 64;

// What epoll returns with an event: one of these, a listener's number from kFirstListener on, or,
// above kMaxListeners, a Connection's address.
constexpr std::uint64_t kSegue = 0;
constexpr std::uint64_t kSignals = 1;
constexpr std::uint64_t kFirstListener = 2;
constexpr std::uint64_t kMaxListeners = 64;

bool epoll_add(int epoll, int fd, std::uint32_t events, std::uint64_t data) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = data;
  return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

std::uint64_t random_number() {
  std::uint64_t number = 0;
  if (getrandom(&number, sizeof number, 0) != sizeof number) number = Server::now_ms();
  return number;
}

int open_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

}  // namespace

Server::Server()
    : engine(*this, random_number()),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      signals_(open_signals()),
      reserve_(open("/dev/null", O_RDONLY | O_CLOEXEC)),
      read_buffer_(kReadBytes) {
  epoll_add(epoll_, signals_, EPOLLIN, kSignals);
}

Server::~Server() {
  for (const auto& [id, session] : engine.registry.sessions()) {
    delete static_cast<Connection*>(session);  // NOLINT(cppcoreguidelines-owning-memory)
  }
  ::close(epoll_);
  ::close(signals_);
  ::close(reserve_);
}

std::uint64_t Server::now_ms() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1000 +
         static_cast<std::uint64_t>(now.tv_nsec) / 1'000'000;
}

bool Server::set_listener(std::string_view name, int fd) {
  auto found = std::find_if(listeners_.begin(), listeners_.end(),
                            [&](const Listener& listener) { return listener.name == name; });
  if (found != listeners_.end() && found->fd >= 0) {
    epoll_ctl(epoll_, EPOLL_CTL_DEL, std::exchange(found->fd, -1), nullptr);
  }
  if (fd < 0) return true;
  if (found == listeners_.end()) {
    if (listeners_.size() >= kMaxListeners) return false;
    found = listeners_.insert(listeners_.end(), {std::string(name), fd});
  }
  found->fd = fd;
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) return false;
  const auto number = static_cast<std::uint64_t>(found - listeners_.begin());
  return epoll_add(epoll_, fd, EPOLLIN, kFirstListener + number);
}

void Server::start_serving() {
  engine.keys.set_now(now_ms());
  activated_at_ms = engine.keys.now_ms();
  service_changed_ = true;
  serving_ = true;
  frozen_ = false;
}

void Server::run() {
  epoll_add(epoll_, segue_fd(tables_.handle), EPOLLIN, kSegue);
  while (!stopped_) {
    if (serving_) {
      serve_turn();
    } else {
      // Frozen, nothing but libsegue counts; a successor that waits can still be told to end.
      std::array<pollfd, 2> fds{{{segue_fd(tables_.handle), POLLIN, 0}, {signals_, POLLIN, 0}}};
      if (poll(fds.data(), frozen_ ? 1 : 2, -1) < 0) continue;
      if (fds[1].revents != 0) stop();
      if (fds[0].revents != 0) segue_dispatch(tables_.handle);
    }
  }
}

void Server::after(std::uint64_t delay_ms, std::function<void()> action) {
  action_ = std::move(action);
  action_at_ms_ = now_ms() + delay_ms;
}

int Server::timeout_ms() const {
  if (!unsettled_.empty()) return 0;
  std::uint64_t due_ms = engine.next_due_ms();
  if (action_) due_ms = due_ms == 0 ? action_at_ms_ : std::min(due_ms, action_at_ms_);
  if (due_ms == 0) return -1;
  constexpr std::uint64_t kLongest = 60'000;  // the time of day may be set
  const std::uint64_t now = now_ms();
  return due_ms <= now ? 0 : static_cast<int>(std::min(due_ms - now, kLongest));
}

// libsegue comes last: there, nothing is half done, and all that changed is recorded.
void Server::serve_turn() {
  std::array<epoll_event, kEventsPerTurn> events;
  const int count = epoll_wait(epoll_, events.data(), kEventsPerTurn, timeout_ms());
  engine.keys.set_now(now_ms());
  bool dispatch = false;
  const std::span ready(events.data(), static_cast<std::size_t>(std::max(count, 0)));
  for (const epoll_event& event : ready) dispatch |= handle_event(event.data.u64, event.events);
  if (action_ && action_at_ms_ <= engine.keys.now_ms()) std::exchange(action_, nullptr)();
  engine.do_due();
  attend();
  if (!unsettled_.empty()) settle_some_totals();
  closed_.clear();
  if (service_changed_) segue_table_put(tables_.service, "service", 7);
  service_changed_ = false;
  if (dispatch) segue_dispatch(tables_.handle);
}

// True if it is libsegue's.
bool Server::handle_event(std::uint64_t data, std::uint32_t events) {
  if (data == kSegue) return true;
  if (data == kSignals) {
    stop();
    return false;
  }
  if (data < kFirstListener + kMaxListeners) {
    accept_clients(listeners_[data - kFirstListener].fd);
    return false;
  }
  auto* connection = reinterpret_cast<Connection*>(data);  // NOLINT(performance-no-int-to-ptr)
  if (connection->handle == nullptr) return false;         // closed earlier in this turn
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) receive(*connection);
  if (connection->handle != nullptr && (events & EPOLLOUT) != 0) flush(*connection);
  if (connection->handle != nullptr) finish(*connection);
  attend();
  return false;
}

void Server::attend() {
  for (engine.take_attention(attention_); !attention_.empty(); engine.take_attention(attention_)) {
    service_changed_ = true;
    for (Session* session : attention_) {
      auto& connection = static_cast<Connection&>(*session);
      if (connection.handle == nullptr) continue;
      if (!connection.wait && !connection.input.empty()) execute_input(connection);
      flush(connection);
      if (connection.handle != nullptr) finish(connection);
    }
  }
}

void Server::accept_clients(int listener) {
  for (int i = 0; i < kAcceptsPerEvent; ++i) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      add_client(fd);
    } else if (errno == EMFILE || errno == ENFILE) {
      if (!accept_without_descriptors(listener)) return;
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return;
    }
  }
}

// Without a free descriptor the client would wait for ever, and the listener stay readable.
bool Server::accept_without_descriptors(int listener) {
  if (reserve_ < 0) return false;
  ::close(reserve_);
  const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd >= 0) ::close(fd);
  reserve_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
  return fd >= 0;
}

void Server::add_client(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // a Unix socket has no such option
  auto connection = std::make_unique<Connection>();
  connection->fd = fd;
  connection->handle = segue_conn_add(tables_.clients, fd, connection.get());
  if (connection->handle == nullptr) {
    ::close(fd);
    return;
  }
  engine.add(*connection);
  service_changed_ = true;
  Connection& added = *connection.release();
  if (!watch_events(added)) close(added, SEGUE_CLOSE_RST);
}

bool Server::attach(std::unique_ptr<Connection> connection) {
  connection->totals_exact = false;
  unsettled_.push_back(segue_conn_id(connection->handle));
  if (!watch_events(*connection)) return false;
  engine.add(*connection.release());
  return true;
}

bool Server::follow(Connection& connection) {
  return watch_events(connection);
}

void Server::detach(Connection& connection) {
  epoll_ctl(epoll_, EPOLL_CTL_DEL, connection.fd, nullptr);
  engine.remove(connection);
  delete &connection;  // NOLINT(cppcoreguidelines-owning-memory): see attach()
}

std::string Server::check() {
  for (const auto& [id, session] : engine.registry.sessions()) {
    const auto& connection = static_cast<const Connection&>(*session);
    const std::uint64_t handle_id = segue_conn_id(connection.handle);
    if (segue_conn_find(tables_.handle, handle_id) != connection.handle) {
      return fmt::format("client {} has no connection", id);
    }
  }
  return engine.check();
}

std::string Server::information() {
  return fmt::format(
      "process_id:{}\r\nuptime_in_seconds:{}\r\n\r\n# "
      "Segue\r\nsegue_epoch:{}\r\nlast_blackout_ns:{}\r\n\r\n",
      getpid(), (now_ms() - std::min(activated_at_ms, now_ms())) / 1000, epoch, last_blackout_ns);
}

void Server::sleep(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  engine.keys.set_now(now_ms());
}

std::string Server::address_of(const Session& session) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (getpeername(static_cast<const Connection&>(session).fd, generic, &size) != 0) return "?";
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.ss_family == AF_INET) {
    const auto* ipv4 = reinterpret_cast<const sockaddr_in*>(&address);
    inet_ntop(AF_INET, &ipv4->sin_addr, text.data(), text.size());
    return fmt::format("{}:{}", text.data(), ntohs(ipv4->sin_port));
  }
  if (address.ss_family == AF_INET6) {
    const auto* ipv6 = reinterpret_cast<const sockaddr_in6*>(&address);
    inet_ntop(AF_INET6, &ipv6->sin6_addr, text.data(), text.size());
    return fmt::format("[{}]:{}", text.data(), ntohs(ipv6->sin6_port));
  }
  return "unix:0";
}

void Server::key_changed(const std::string& key) {
  service_changed_ = true;
  segue_table_put(tables_.keyspace, key.data(), key.size());
}

void Server::key_erased(const std::string& key) {
  service_changed_ = true;
  segue_table_erase(tables_.keyspace, key.data(), key.size());
}

}  // namespace respkv
