// SPDX-License-Identifier: Apache-2.0
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "kernel_totals.h"
#include "reply.h"
#include "server.h"

// The part of Server that reads, executes, writes and closes.
namespace respkv {
namespace {

constexpr std::size_t kKeptOutputBytes = std::size_t{64} << 10U;
constexpr std::size_t kTotalsPerTurn = 100;
// Sent bytes stay in front of a long output until there are so many of them.
constexpr std::size_t kCompactedBytes = std::size_t{1} << 20U;

}  // namespace

void Server::receive(Connection& connection) {
  if (!connection.totals_exact) settle_totals(connection);
  const ssize_t count = recv(connection.fd, read_buffer_.data(), read_buffer_.size(), 0);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) return close(connection, count == 0 ? SEGUE_CLOSE_FIN : SEGUE_CLOSE_RST);
  connection.received += static_cast<std::uint64_t>(count);
  service_changed_ = true;
  const std::string_view bytes(read_buffer_.data(), static_cast<std::size_t>(count));
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
  if (connection.input.size() > kMaxInputBytes) return close(connection, SEGUE_CLOSE_RST);
  flush(connection);
}

void Server::execute_input(Connection& connection) {
  const std::size_t executed = execute_all(connection, connection.input);
  if (executed == connection.input.size()) {
    connection.input = std::string();
  } else {
    connection.input.erase(0, executed);
  }
}

std::size_t Server::execute_all(Connection& connection, std::string_view bytes) {
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
    if (!arguments_.empty()) engine.execute(connection, arguments_);
    done += connection.parser.size();
    connection.parser.reset();
  }
  return connection.close_after_reply ? bytes.size() : done;
}

void Server::flush(Connection& connection) {
  if (connection.over_limit || connection.unsent() > connection.max_output()) {
    ++engine.statistics.closed_over_limit;
    return close(connection, SEGUE_CLOSE_RST);
  }
  if (connection.unsent() > 0) {
    if (!connection.totals_exact) settle_totals(connection);
    const ssize_t count = send(connection.fd, connection.output.data() + connection.output_sent,
                               connection.unsent(), MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN && errno != EINTR) return close(connection, SEGUE_CLOSE_RST);
    if (count > 0) {
      connection.output_sent += static_cast<std::size_t>(count);
      connection.sent += static_cast<std::uint64_t>(count);
    }
  }
  if (connection.unsent() > 0) {
    if (connection.output_sent >= kCompactedBytes) {
      connection.output.erase(0, std::exchange(connection.output_sent, 0));
    }
    return;
  }
  connection.output.clear();
  connection.output_sent = 0;
  if (connection.output.capacity() > kKeptOutputBytes) connection.output = std::string();
  if (connection.output.capacity() > spare_output_.capacity())
    connection.output.swap(spare_output_);
  if (connection.close_after_reply) close(connection, SEGUE_CLOSE_FIN);
}

// What libsegue and epoll have to know when an event has been handled.
void Server::finish(Connection& connection) {
  if (!watch_events(connection)) return close(connection, SEGUE_CLOSE_RST);
  const bool buffers = !connection.input.empty() || connection.unsent() > 0;
  if (!connection.changed && !buffers && !connection.recorded_buffers) return;
  connection.changed = false;
  connection.recorded_buffers = buffers;
  segue_conn_touch(connection.handle);
}

bool Server::watch_events(Connection& connection) {
  const std::uint32_t wanted = connection.unsent() > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN;
  if (connection.epoll_events == wanted) return true;
  epoll_event event{};
  event.events = wanted;
  event.data.ptr = &connection;
  const int operation = connection.epoll_events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  connection.epoll_events = wanted;
  return epoll_ctl(epoll_, operation, connection.fd, &event) == 0;
}

// Another process may hold the same socket, so closing it would not take it out of epoll.
void Server::close(Connection& connection, segue_close_how how) {
  epoll_ctl(epoll_, EPOLL_CTL_DEL, connection.fd, nullptr);
  engine.remove(connection);
  segue_conn_close(std::exchange(connection.handle, nullptr), how);
  closed_.emplace_back(&connection);
  service_changed_ = true;
}

void Server::settle_totals(Connection& connection) {
  connection.totals_exact = true;
  const auto totals = kernel_totals(connection.fd);
  if (!totals) return;
  connection.received = totals->received;
  connection.sent = totals->sent;
}

void Server::settle_some_totals() {
  for (std::size_t i = 0; i < kTotalsPerTurn && !unsettled_.empty(); ++i) {
    segue_conn* handle = segue_conn_find(tables_.handle, unsettled_.back());
    unsettled_.pop_back();
    if (handle == nullptr) continue;
    auto& connection = *static_cast<Connection*>(segue_conn_data(handle));
    if (!connection.totals_exact) settle_totals(connection);
  }
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
    close(connection, SEGUE_CLOSE_RST);
  }
  closed_.clear();
}

}  // namespace respkv
