// SPDX-License-Identifier: Apache-2.0
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "event_loop.h"
#include "kernel_totals.h"
#include "reply.h"
#include "server.h"

// The part of EventLoop that reads, executes, writes and closes.
namespace respkv {
namespace {

constexpr std::size_t kKeptOutputBytes = std::size_t{64} << 10U;
constexpr std::size_t kTotalsPerTurn = 100;
// Sent bytes stay in front of a long output until there are so many of them.
constexpr std::size_t kCompactedBytes = std::size_t{1} << 20U;

}  // namespace

void EventLoop::receive(Connection& connection) {
  if (!connection.totals_exact) settle_totals(connection);
  const ssize_t count = segue_read(connection.handle, read_buffer_.data(), read_buffer_.size());
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) return close(connection, count == 0 ? SEGUE_CLOSE_FIN : SEGUE_CLOSE_RST);
  connection.received += static_cast<std::uint64_t>(count);
  const std::string_view bytes(read_buffer_.data(), static_cast<std::size_t>(count));
  {
    const Server::Batch batch(*server_, *this);
    server_->service_changed = true;
    if (connection.output.capacity() < spare_output_.capacity() && connection.output.empty()) {
      connection.output.swap(spare_output_);
    }
    if (connection.input.empty()) {
      const std::size_t executed = execute_all(connection, bytes);
      connection.input.append(bytes.substr(executed));
    } else {
      const std::size_t wanted = std::min(connection.parser.wanted(), kMaxInputBytes);
      if (wanted > connection.input.capacity()) connection.input.reserve(wanted);
      connection.input.append(bytes);
      if (!connection.wait) execute_input(connection);
    }
    fetch_output(connection);
    note_change(connection);
  }
  if (connection.unexecuted_bytes > kMaxInputBytes) return close(connection, SEGUE_CLOSE_RST);
  flush(connection);
}

void EventLoop::execute_input(Connection& connection) {
  const std::size_t executed = execute_all(connection, connection.input);
  if (executed == connection.input.size()) {
    connection.input = std::string();
  } else {
    connection.input.erase(0, executed);
  }
}

std::size_t EventLoop::execute_all(Connection& connection, std::string_view bytes) {
  std::size_t done = 0;
  while (done < bytes.size() && !connection.wait && !connection.close_after_reply) {
    const std::string_view rest = bytes.substr(done);
    const RequestParser::Status status = connection.parser.parse(rest);
    if (status == RequestParser::Status::incomplete) return done;
    if (status == RequestParser::Status::malformed) {
      Reply(connection.output, connection.protocol).error(connection.parser.error());
      connection.close_after_reply = true;
      break;
    }
    connection.parser.arguments(rest, arguments_);
    if (!arguments_.empty()) server_->engine.execute(connection, arguments_);
    done += connection.parser.size();
    connection.parser.reset();
  }
  return connection.close_after_reply ? bytes.size() : done;
}

void EventLoop::note_change(Connection& connection) {
  if (std::exchange(connection.changed, false)) segue_conn_touch(connection.handle);
}

// With the lock held: other loops may add to the session's output at any other time.
void EventLoop::fetch_output(Connection& connection) {
  connection.unexecuted_bytes = connection.input.size();
  if (connection.over_limit || connection.unsent() > connection.max_output()) {
    if (!std::exchange(connection.cut_off, true)) ++server_->engine.statistics.closed_over_limit;
    return;
  }
  connection.more_output = connection.outgoing_left() > 0 && !connection.output.empty();
  connection.is_over_when_sent = connection.close_after_reply && !connection.more_output;
  if (connection.outgoing_left() > 0) return;
  connection.outgoing.swap(connection.output);
  connection.sending.set(connection.outgoing.size());
}

// True when everything that was fetched is sent.
bool EventLoop::send_outgoing(Connection& connection) {
  if (connection.outgoing_left() > 0) {
    if (!connection.totals_exact) settle_totals(connection);
    const ssize_t count =
        segue_write(connection.handle, connection.outgoing.data() + connection.outgoing_sent,
                    connection.outgoing_left());
    if (count < 0 && errno != EAGAIN && errno != EINTR) {
      close(connection, SEGUE_CLOSE_RST);
      return false;
    }
    if (count > 0) {
      connection.outgoing_sent += static_cast<std::size_t>(count);
      connection.sent += static_cast<std::uint64_t>(count);
      connection.sending.set(connection.outgoing_left());
    }
  }
  if (connection.outgoing_left() > 0) {
    if (connection.outgoing_sent >= kCompactedBytes) {
      connection.outgoing.erase(0, std::exchange(connection.outgoing_sent, 0));
    }
    return false;
  }
  connection.outgoing.clear();
  connection.outgoing_sent = 0;
  if (connection.outgoing.capacity() > kKeptOutputBytes) connection.outgoing = std::string();
  if (connection.outgoing.capacity() > spare_output_.capacity()) {
    connection.outgoing.swap(spare_output_);
  }
  return true;
}

void EventLoop::flush(Connection& connection) {
  while (!connection.cut_off) {
    if (!send_outgoing(connection)) return;
    if (!connection.more_output) break;
    const Server::Batch batch(*server_, *this);
    fetch_output(connection);
  }
  if (connection.cut_off) return close(connection, SEGUE_CLOSE_RST);
  if (connection.is_over_when_sent) close(connection, SEGUE_CLOSE_FIN);
}

// What libsegue and epoll have to know when an event has been handled.
void EventLoop::finish(Connection& connection) {
  if (!watch_events(connection)) return close(connection, SEGUE_CLOSE_RST);
  const bool buffers = connection.unexecuted_bytes > 0 || connection.outgoing_left() > 0;
  if (!buffers && !connection.recorded_buffers) return;
  connection.recorded_buffers = buffers;
  segue_conn_touch(connection.handle);
}

bool EventLoop::watch_events(Connection& connection) {
  const std::uint32_t wanted = connection.outgoing_left() > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN;
  if (connection.epoll_events == wanted) return true;
  epoll_event event{};
  event.events = wanted;
  event.data.ptr = &connection;
  const int operation = connection.epoll_events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  connection.epoll_events = wanted;
  return epoll_ctl(epoll_, operation, connection.fd, &event) == 0;
}

// Another process may hold the same socket, so closing it would not take it out of epoll.
void EventLoop::close(Connection& connection, segue_close_how how) {
  forget_client(connection);
  segue_conn_close(std::exchange(connection.handle, nullptr), how);
  closed_.emplace_back(&connection);
}

void EventLoop::detach(Connection& connection) {
  forget_client(connection);
}

// Nobody else finds it afterwards.
void EventLoop::forget_client(Connection& connection) {
  forget(connection.fd);
  const Server::Batch batch(*server_, *this);
  server_->engine.remove(connection);
  if (connection.in_inbox) std::erase(inbox_, &connection);
  --client_count_;
  server_->service_changed = true;
}

void EventLoop::settle_totals(Connection& connection) {
  connection.totals_exact = true;
  const auto totals = kernel_totals(connection.fd);
  if (!totals) return;
  connection.received = totals->received;
  connection.sent = totals->sent;
}

void EventLoop::unsettle(Connection& connection) {
  connection.totals_exact = false;
  unsettled_.push_back(segue_conn_id(connection.handle));
}

void EventLoop::settle_some_totals() {
  for (std::size_t i = 0; i < kTotalsPerTurn && !unsettled_.empty(); ++i) {
    segue_conn* handle = segue_conn_find(server_->tables().handle, unsettled_.back());
    unsettled_.pop_back();
    if (handle == nullptr) continue;
    auto& connection = *static_cast<Connection*>(segue_conn_data(handle));
    if (!connection.totals_exact) settle_totals(connection);
  }
}

}  // namespace respkv
