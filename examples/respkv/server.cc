// SPDX-License-Identifier: Apache-2.0
#include "server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <ctime>
#include <utility>

#include "kernel_totals.h"

namespace respkv {
namespace {

std::uint64_t random_number() {
  std::uint64_t number = 0;
  if (getrandom(&number, sizeof number, 0) != sizeof number) number = Server::now_ms();
  return number;
}

// Blocked here, before other threads begin, and thus in them too.
int open_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

}  // namespace

Server::Server(unsigned threads) : engine(*this, random_number()), signals_(open_signals()) {
  for (unsigned number = 0; number < std::max(threads, 1U); ++number) {
    loops_.push_back(std::make_unique<EventLoop>(*this, number, threads <= 1));
  }
  loops_[0]->watch_signals(signals_);
}

Server::~Server() {
  for (const auto& [id, session] : engine.registry.sessions()) {
    delete static_cast<Connection*>(session);  // NOLINT(cppcoreguidelines-owning-memory)
  }
  ::close(signals_);
}

std::string Server::open_loops(segue_instance* handle) {
  for (std::size_t i = 1; i < loops_.size(); ++i) {
    segue_loop* loop = segue_loop_open(handle, fmt::format("thread-{}", i + 1).c_str());
    if (loop == nullptr) return segue_error(handle);
    loops_[i]->set_handle(loop);
  }
  return {};
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
    for (const auto& loop : loops_) loop->forget(found->fd);
    found->fd = -1;
  }
  if (fd < 0) return true;
  if (found == listeners_.end()) {
    if (listeners_.size() >= EventLoop::kMaxListeners) return false;
    found = listeners_.insert(listeners_.end(), {std::string(name), fd});
  }
  found->fd = fd;
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) return false;
  const auto number = static_cast<std::size_t>(found - listeners_.begin());
  return std::all_of(loops_.begin(), loops_.end(),
                     [&](const auto& loop) { return loop->watch_listener(fd, number, several()); });
}

// Every other loop waits meanwhile.
void Server::start_serving() {
  engine.keys.set_now(now_ms());
  activated_at_ms = engine.keys.now_ms();
  service_changed = true;
  serving_ = true;
  frozen_ = false;
  loops_[0]->set_due_ms(engine.next_due_ms());
  // One that was answered by another loop as its own had stopped already may have more to do.
  for (const std::uint64_t id : std::exchange(came_with_input_, {})) {
    segue_conn* handle = segue_conn_find(tables_.handle, id);
    if (handle == nullptr) continue;
    auto& connection = *static_cast<Connection*>(segue_conn_data(handle));
    if (!connection.wait && !connection.input.empty()) engine.draw_attention(connection);
  }
  route_attention(*loops_[0]);
  loops_[0]->look_into_inbox();
  wake_others(std::exchange(to_be_woken_, 0));
}

void Server::run() {
  loops_[0]->watch_segue(segue_fd(tables_.handle));
  std::vector<std::thread> threads;
  for (std::size_t i = 1; i < loops_.size(); ++i) {
    threads.emplace_back([loop = loops_[i].get()] { loop->run(); });
  }
  while (!stopped_) {
    if (serving_) {
      const EventLoop::Due due = loops_[0]->turn();
      if (due.stop) stop();
      if (due.dispatch) segue_dispatch(tables_.handle);
    } else {
      // Frozen, nothing but libsegue counts; a successor that waits can still be told to end.
      std::array<pollfd, 2> fds{{{segue_fd(tables_.handle), POLLIN, 0}, {signals_, POLLIN, 0}}};
      if (poll(fds.data(), frozen_ ? 1 : 2, -1) < 0) continue;
      if (fds[1].revents != 0) stop();
      if (fds[0].revents != 0) segue_dispatch(tables_.handle);
    }
  }
  if (!threads.empty()) segue_stop(tables_.handle);
  for (std::thread& thread : threads) thread.join();
}

void Server::after(std::uint64_t delay_ms, std::function<void()> action) {
  action_ = std::move(action);
  action_at_ms_ = now_ms() + delay_ms;
}

void Server::act_if_due() {
  if (action_ && action_at_ms_ <= now_ms()) std::exchange(action_, nullptr)();
}

// ---- Between the loops -------------------------------------------------------------------------

std::uint64_t Server::begin_turn() {
  const Exclusive exclusive(*this);
  look_at_clock(Note::turn);
  return engine.keys.now_ms();
}

void Server::begin_batch() {
  mutex_.lock();
}

void Server::end_batch(EventLoop& loop) {
  route_attention(loop);
  tell_of_service_change();
  loop.set_due_ms(engine.next_due_ms());
  const std::uint64_t others = std::exchange(to_be_woken_, 0);
  mutex_.unlock();
  if (others != 0) wake_others(others);
}

void Server::wake_others(std::uint64_t loops) {
  for (const auto& loop : loops_) {
    if ((loops >> loop->number() & 1) != 0) loop->wake();
  }
}

void Server::route_attention(EventLoop& from) {
  engine.take_attention(attention_);
  while (!attention_.empty()) {
    for (Session* session : attention_) {
      auto& connection = static_cast<Connection&>(*session);
      if (!connection.wait && !connection.input.empty()) from.execute_input(connection);
      pass_on(connection, from);
    }
    engine.take_attention(attention_);
  }
}

void Server::pass_on(Connection& connection, const EventLoop& from) {
  EventLoop& home = *connection.home;
  if (several()) {
    connection.changed = false;
    segue_conn_touch(connection.handle);
  }
  if (!home.put_in_inbox(connection)) return;
  if (&home == &from) {
    home.look_into_inbox();
  } else {
    to_be_woken_ |= std::uint64_t{1} << home.number();
  }
}

void Server::tell_of_service_change() {
  if (std::exchange(service_changed, false)) segue_table_put(tables_.service, "service", 7);
}

// ---- Connections that were handed over ---------------------------------------------------------

bool Server::attach(std::unique_ptr<Connection> connection) {
  EventLoop& home = *loops_[next_home_++ % loops_.size()];
  connection->totals_exact = false;
  home.own(*connection);
  if (segue_conn_bind(connection->handle, home.handle()) != SEGUE_OK) return false;
  if (!follow(*connection)) return false;
  engine.add(*connection.release());
  return true;
}

bool Server::follow(Connection& connection) {
  if (!connection.input.empty()) came_with_input_.push_back(segue_conn_id(connection.handle));
  return connection.home->watch_events(connection);
}

void Server::detach(Connection& connection) {
  connection.home->detach(connection);
  delete &connection;  // NOLINT(cppcoreguidelines-owning-memory): see attach()
}

void Server::close_used_by_successor() {
  const SessionsById sessions = engine.registry.sessions();
  for (const auto& [id, session] : sessions) {
    auto& connection = static_cast<Connection&>(*session);
    const auto totals = kernel_totals(connection.fd);
    if (connection.totals_exact && totals && totals->received == connection.received &&
        totals->sent == connection.sent) {
      continue;
    }
    ++engine.statistics.closed_on_reclaim;
    connection.home->close(connection, SEGUE_CLOSE_RST);
  }
  for (const auto& loop : loops_) loop->delete_closed();
}

// ---- What a dead successor did, done again -----------------------------------------------------

void Server::look_at_clock(Note what) {
  std::uint64_t now = now_ms();
  segue_note(tables_.handle, static_cast<std::uint32_t>(what), &now, sizeof now, sizeof now);
  engine.keys.set_now(now);
}

bool Server::welcome(segue_conn* handle, int fd) {
  EventLoop& home = *loops_[next_home_++ % loops_.size()];
  return segue_conn_bind(handle, home.handle()) == SEGUE_OK && home.welcome(handle, fd);
}

void Server::replay_note(std::uint32_t tag, const void* data, std::size_t size) {
  switch (static_cast<Note>(tag)) {
    case Note::turn: {
      std::uint64_t now = 0;
      if (size != sizeof now) return;
      std::memcpy(&now, data, sizeof now);
      engine.keys.set_now(now);
      return;
    }
    case Note::due:
      return loops_[0]->end_due();
    default:
      return;  // asked for where it is needed, or a newer version's
  }
}

void Server::end_replay(std::uint64_t closed) {
  engine.statistics.closed_on_reclaim += closed;
  for (const auto& loop : loops_) loop->delete_closed();
  for (const auto& [id, session] : engine.registry.sessions()) {
    auto& connection = static_cast<Connection&>(*session);
    connection.home->unsettle(connection);
  }
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

std::size_t Server::client_count() {
  const Exclusive exclusive(*this);
  return engine.registry.sessions().size();
}

// ---- What the engine asks ----------------------------------------------------------------------

std::string Server::information() {
  std::string clients;
  for (const auto& loop : loops_) {
    clients += fmt::format("{}{}", clients.empty() ? "" : ",", loop->client_count());
  }
  return fmt::format(
      "process_id:{}\r\nuptime_in_seconds:{}\r\nthreads:{}\r\nclients_per_thread:{}\r\n\r\n# "
      "Segue\r\nsegue_epoch:{}\r\nlast_blackout_ns:{}\r\n\r\n",
      getpid(), (now_ms() - std::min(activated_at_ms, now_ms())) / 1000, loops_.size(), clients,
      epoch, last_blackout_ns);
}

void Server::sleep(double seconds) {
  if (segue_is_replaying(tables_.handle) == 0) {
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  }
  look_at_clock(Note::clock);
}

void Server::note(Note what, std::string& text) {
  constexpr std::size_t kLongest = std::size_t{64} << 10U;
  if (note_buffer_.size() < std::max(text.size(), kLongest)) {
    note_buffer_.resize(std::max(text.size(), kLongest));
  }
  std::copy(text.begin(), text.end(), note_buffer_.begin());
  const std::size_t size = segue_note(tables_.handle, static_cast<std::uint32_t>(what),
                                      note_buffer_.data(), text.size(), note_buffer_.size());
  text.assign(note_buffer_.data(), size);
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
  service_changed = true;
  segue_table_put(tables_.keyspace, key.data(), key.size());
}

void Server::key_erased(const std::string& key) {
  service_changed = true;
  segue_table_erase(tables_.keyspace, key.data(), key.size());
}

void Server::all_keys_erased() {
  service_changed = true;
  segue_table_clear(tables_.keyspace);
}

}  // namespace respkv
