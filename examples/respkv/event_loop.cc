// SPDX-License-Identifier: Apache-2.0
#include "event_loop.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>
#include <utility>

#include "server.h"

namespace respkv {
namespace {

constexpr int kEventsPerTurn = 512;
constexpr int kAcceptsPerEvent = 64;
constexpr int kAcceptsPerEventShared = 8;  // the other loops take their part

// What epoll returns with an event: one of these, a listener's number from kFirstListener on, or,
// above kMaxListeners, a Connection's address.
constexpr std::uint64_t kSegue = 0;
constexpr std::uint64_t kSignals = 1;
constexpr std::uint64_t kWake = 2;
constexpr std::uint64_t kFirstListener = 3;

bool epoll_add(int epoll, int fd, std::uint32_t events, std::uint64_t data) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = data;
  return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

}  // namespace

EventLoop::EventLoop(Server& server, unsigned number, bool alone)
    : server_(&server),
      number_(number),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      reserve_(open("/dev/null", O_RDONLY | O_CLOEXEC)),
      read_buffer_(kReadBytes) {
  if (alone) return;
  wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  epoll_add(epoll_, wake_, EPOLLIN, kWake);
}

EventLoop::~EventLoop() {
  ::close(epoll_);
  ::close(reserve_);
  if (wake_ >= 0) ::close(wake_);
}

void EventLoop::watch_segue(int fd) {
  epoll_add(epoll_, fd, EPOLLIN, kSegue);
}

void EventLoop::watch_signals(int fd) {
  epoll_add(epoll_, fd, EPOLLIN, kSignals);
}

bool EventLoop::watch_listener(int fd, std::size_t number, bool shared) {
  return epoll_add(epoll_, fd, shared ? EPOLLIN | EPOLLEXCLUSIVE : std::uint32_t{EPOLLIN},
                   kFirstListener + number);
}

void EventLoop::forget(int fd) {
  epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
}

void EventLoop::run() {
  watch_segue(segue_loop_fd(handle_));
  while (segue_loop_dispatch(handle_) == SEGUE_OK) {
    while (!turn().dispatch) continue;
  }
}

int EventLoop::timeout_ms() const {
  if (!unsettled_.empty() || look_into_inbox_) return 0;
  std::uint64_t due_ms = server_->several() ? due_ms_ : server_->engine.next_due_ms();
  const std::uint64_t action_at_ms = handle_ == nullptr ? server_->action_at_ms() : 0;
  if (action_at_ms != 0) due_ms = due_ms == 0 ? action_at_ms : std::min(due_ms, action_at_ms);
  if (due_ms == 0) return -1;
  constexpr std::uint64_t kLongest = 60'000;  // the time of day may be set
  const std::uint64_t now = Server::now_ms();
  return due_ms <= now ? 0 : static_cast<int>(std::min(due_ms - now, kLongest));
}

// libsegue comes after it: then nothing is half done, and all that changed is recorded.
EventLoop::Due EventLoop::turn() {
  std::array<epoll_event, kEventsPerTurn> events;
  const int count = epoll_wait(epoll_, events.data(), kEventsPerTurn, timeout_ms());
  Due due;
  if (segue_turn_begin(server_->tables().handle) != SEGUE_OK) {
    due.dispatch = true;
    return due;
  }
  turn_at_ms_ = server_->begin_turn();
  const std::span ready(events.data(), static_cast<std::size_t>(std::max(count, 0)));
  for (const epoll_event& event : ready) handle_event(event.data.u64, event.events, due);
  if (handle_ == nullptr) server_->act_if_due();
  do_due();
  attend();
  if (!unsettled_.empty()) settle_some_totals();
  closed_.clear();
  if (!server_->several()) server_->tell_of_service_change();
  segue_turn_end(server_->tables().handle);
  return due;
}

void EventLoop::do_due() {
  const std::uint64_t due_ms = server_->several() ? due_ms_ : server_->engine.next_due_ms();
  if (due_ms == 0 || due_ms > turn_at_ms_) return;
  segue_note(server_->tables().handle, static_cast<std::uint32_t>(Note::due), nullptr, 0, 0);
  end_due();
}

void EventLoop::end_due() {
  {
    const Server::Batch batch(*server_, *this);
    server_->engine.do_due();
  }
  attend();
}

void EventLoop::handle_event(std::uint64_t data, std::uint32_t events, Due& due) {
  if (data == kSegue) {
    due.dispatch = true;
    return;
  }
  if (data == kSignals) {
    due.stop = true;
    return;
  }
  if (data == kWake) {
    std::uint64_t times = 0;
    (void)!read(wake_, &times, sizeof times);
    look_into_inbox_ = true;
    return;
  }
  if (data < kFirstListener + kMaxListeners) {
    return accept_clients(server_->listener(data - kFirstListener));
  }
  auto* connection = reinterpret_cast<Connection*>(data);  // NOLINT(performance-no-int-to-ptr)
  if (connection->handle == nullptr) return;               // closed earlier in this turn
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) handle_input(*connection);
  if (connection->handle != nullptr && (events & EPOLLOUT) != 0) handle_output(*connection);
}

void EventLoop::handle_input(Connection& connection) {
  receive(connection);
  if (connection.handle != nullptr) finish(connection);
  attend();
}

void EventLoop::handle_output(Connection& connection) {
  flush(connection);
  if (connection.handle != nullptr) finish(connection);
  attend();
}

void EventLoop::catch_up(Connection& connection) {
  {
    const Server::Batch batch(*server_, *this);
    fetch_output(connection);
  }
  handle_output(connection);
}

void EventLoop::accept_clients(int listener) {
  const int limit = server_->several() ? kAcceptsPerEventShared : kAcceptsPerEvent;
  for (int i = 0; i < limit; ++i) {
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
bool EventLoop::accept_without_descriptors(int listener) {
  if (reserve_ < 0) return false;
  ::close(reserve_);
  const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd >= 0) ::close(fd);
  reserve_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
  return fd >= 0;
}

void EventLoop::add_client(int fd) {
  segue_class* cls = server_->tables().clients;
  segue_conn* handle = nullptr;
  {
    const Server::Batch batch(*server_, *this);
    handle = handle_ == nullptr ? segue_conn_add(cls, fd, nullptr)
                                : segue_conn_add_to(cls, handle_, fd, nullptr);
    if (handle != nullptr) enrol(handle, fd);
  }
  if (handle == nullptr) {
    ::close(fd);
    return;
  }
  begin_client(*static_cast<Connection*>(segue_conn_data(handle)));
}

// With the lock held.
Connection& EventLoop::enrol(segue_conn* handle, int fd) {
  auto* connection = new Connection();  // NOLINT(cppcoreguidelines-owning-memory): see close()
  connection->fd = fd;
  connection->home = this;
  connection->handle = handle;
  segue_conn_set_data(handle, connection);
  server_->engine.add(*connection);
  ++client_count_;
  server_->service_changed = true;
  return *connection;
}

bool EventLoop::welcome(segue_conn* handle, int fd) {
  return begin_client(enrol(handle, fd));
}

bool EventLoop::begin_client(Connection& connection) {
  const int on = 1;  // a Unix socket has no such option
  setsockopt(connection.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (watch_events(connection)) return true;
  close(connection, SEGUE_CLOSE_RST);
  return false;
}

void EventLoop::own(Connection& connection) {
  connection.home = this;
  ++client_count_;
  unsettled_.push_back(segue_conn_id(connection.handle));
}

bool EventLoop::put_in_inbox(Connection& connection) {
  if (std::exchange(connection.in_inbox, true)) return false;
  inbox_.push_back(&connection);
  return inbox_.size() == 1;
}

void EventLoop::wake() {
  const std::uint64_t one = 1;
  (void)!write(wake_, &one, sizeof one);
}

// Sessions that got output, or changed, by what this loop or another one did.
void EventLoop::attend() {
  // A dead successor's loops did so in turns of their own: see catch_up().
  if (segue_is_replaying(server_->tables().handle) != 0) return;
  const bool alone = !server_->several();
  if (!std::exchange(look_into_inbox_, false) && !alone) return;
  while (true) {
    {
      const Server::Batch batch(*server_, *this);
      attended_.clear();
      attended_.swap(inbox_);
      if (!attended_.empty()) server_->service_changed = true;
      for (Connection* connection : attended_) {
        connection->in_inbox = false;
        fetch_output(*connection);
        note_change(*connection);
      }
    }
    if (attended_.empty()) return;
    for (Connection* connection : attended_) {
      if (connection->handle == nullptr) continue;
      if (!alone) connection->recorded_buffers = true;  // it was touched as it was put here
      flush(*connection);
      if (connection->handle != nullptr) finish(*connection);
    }
  }
}

}  // namespace respkv
