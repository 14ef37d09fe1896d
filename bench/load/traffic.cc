// SPDX-License-Identifier: Apache-2.0
// The schedule: what is sent when, and over which connection. What comes back is in answers.cc.
#include "load/traffic.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <span>

namespace segue::load {
namespace {

constexpr std::uint32_t kMaxConnecting = 256;
constexpr std::uint32_t kMaxSentPerCall = 4'096;

}  // namespace

Traffic::Traffic(const Options& options, const Route& route, const os::Clock& clock, int epoll_fd,
                 Results& results)
    : options_(options),
      route_(route),
      clock_(clock),
      epoll_fd_(epoll_fd),
      results_(results),
      connections_(options.connections + kMaxFresh),
      model_(options.protocol == Protocol::resp ? options.connections + options.write_keys : 0),
      input_(std::make_unique<std::array<char, kMaxAnswerBytes>>()) {
  for (std::uint32_t i = 0; i < options.connections; ++i) connections_[i].is_held = true;
  free_fresh_.reserve(kMaxFresh);
  for (std::uint32_t i = 0; i < kMaxFresh; ++i) free_fresh_.push_back(options.connections + i);
}

std::uint32_t Traffic::index_of(const Connection& connection) const {
  return static_cast<std::uint32_t>(&connection - connections_.data());
}

base::Result<void> Traffic::establish() {
  while (next_held_ < options_.connections && connecting_held_ < kMaxConnecting) {
    Connection& connection = connections_[next_held_];
    if (!open(connection, next_held_)) {
      return base::fail(base::ErrorCode::unavailable,
                        "connection {} of {} cannot be opened: check the server's limits",
                        next_held_ + 1, options_.connections);
    }
    ++connecting_held_;
    ++next_held_;
  }
  if (results_.counters.reconnect_failed > 0) {
    return base::fail(base::ErrorCode::unavailable, "the server refused one of {} connections",
                      options_.connections);
  }
  return {};
}

void Traffic::start(base::MonotonicTime start) {
  using std::chrono::seconds;
  is_running_ = true;
  for (std::uint32_t i = 0; i < options_.connections; ++i) {
    connections_[i].is_original = connections_[i].state == State::open;
    if (connections_[i].is_original) ++originals_;
  }
  held_pace_ = Pace(start, options_.period, options_.connections);
  write_pace_ = Pace(start, seconds(1), options_.writes_per_second);
  fresh_pace_ = Pace(start, seconds(1), options_.new_per_second);
}

void Traffic::stop() {
  is_running_ = false;
  held_pace_ = write_pace_ = fresh_pace_ = Pace();
}

base::MonotonicTime Traffic::next_due() const {
  return std::min({held_pace_.due(), write_pace_.due(), fresh_pace_.due()});
}

void Traffic::send_due(base::MonotonicTime now) {
  std::uint32_t sent = 0;
  for (; held_pace_.due() <= now && sent < kMaxSentPerCall; ++sent) {
    const auto index = static_cast<std::uint32_t>(held_pace_.index() % options_.connections);
    send_held(index, held_pace_.due());
    held_pace_.advance();
  }
  for (sent = 0; write_pace_.due() <= now && sent < kMaxSentPerCall; ++sent) {
    send_write(write_pace_.index(), write_pace_.due());
    write_pace_.advance();
  }
  for (sent = 0; fresh_pace_.due() <= now && sent < kMaxSentPerCall; ++sent) {
    send_fresh(fresh_pace_.due());
    fresh_pace_.advance();
  }
}

void Traffic::send_held(std::uint32_t index, base::MonotonicTime intended) {
  Connection& connection = connections_[index];
  enqueue(connection, {.intended = intended, .request = next_request(connection, index)});
}

// A write belongs to its key, and the key to one connection.
void Traffic::send_write(std::uint64_t number, base::MonotonicTime intended) {
  const auto offset = static_cast<std::uint32_t>(number % options_.write_keys);
  Connection& connection = connections_[offset % options_.connections];
  if (connection.queue.size() == PendingQueue::kDepth) {
    ++results_.counters.overruns;
    return;
  }
  const std::uint32_t key = options_.connections + offset;
  enqueue(connection,
          {.intended = intended,
           .request = {.kind = RequestKind::set, .key = key, .sequence = model_.send(key)}});
}

// RESP connections take turns between a ping, a set of their own key, and a get of it.
Request Traffic::next_request(Connection& connection, std::uint32_t index) {
  const bool has_room = connection.queue.size() < PendingQueue::kDepth;
  if (connection.probe != results_.probe.number && connection.is_original && has_room) {
    connection.probe = results_.probe.number;
    return {.kind = RequestKind::probe, .key = index, .sequence = ++next_token_};
  }
  const std::uint32_t turn = connection.turn++ % 3;
  if (options_.protocol == Protocol::resp && turn == 1 && has_room) {
    connection.own_key_is_known = true;
    return {.kind = RequestKind::set, .key = index, .sequence = model_.send(index)};
  }
  if (options_.protocol == Protocol::resp && turn == 2 && connection.own_key_is_known) {
    return {.kind = RequestKind::get, .key = index, .sequence = model_.last_sent(index)};
  }
  return {.kind = RequestKind::ping, .key = index, .sequence = ++next_token_};
}

void Traffic::enqueue(Connection& connection, const Pending& pending) {
  if (!connection.queue.push(pending)) {
    ++results_.counters.overruns;
    return;
  }
  ++outstanding_;
  ++results_.counters.requests;
  if (connection.state == State::open) {
    flush(connection);
  } else if (connection.state == State::closed) {
    open(connection, index_of(connection));
  }
}

void Traffic::send_fresh(base::MonotonicTime intended) {
  ++results_.counters.new_attempted;
  if (free_fresh_.empty()) {
    ++results_.counters.new_failed;
    return;
  }
  const std::uint32_t index = free_fresh_.back();
  Connection& connection = connections_[index];
  free_fresh_.pop_back();
  ++fresh_open_;
  connection.since = intended;
  connection.queue.push(
      {.intended = intended,
       .request = {.kind = RequestKind::ping, .key = index, .sequence = ++next_token_}});
  if (!open(connection, index)) end_fresh(connection, true);
}

bool Traffic::open(Connection& connection, std::uint32_t index) {
  auto fd = connection.is_held ? route_.connect(index) : route_.connect(std::nullopt);
  epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                    .data = {.u64 = std::uint64_t{++connection.generation} << 32 | index}};
  if (!fd || ::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd->get(), &event) != 0) {
    if (connection.is_held) ++results_.counters.reconnect_failed;
    return false;
  }
  connection.fd = std::move(*fd);
  connection.state = State::connecting;
  return true;
}

void Traffic::flush(Connection& connection) {
  if (!connection.unsent.empty()) return;
  const std::uint32_t allowed = options_.protocol == Protocol::http ? 1U : PendingQueue::kDepth;
  std::array<char, 4'096> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  std::size_t used = 0;
  while (connection.queue.unsent() > 0 && connection.queue.in_flight() < allowed &&
         buffer.size() - used >= kMaxRequestBytes) {
    used += write_next(connection, std::span(buffer).subspan(used));
    connection.queue.mark_sent();
  }
  if (used == 0) return;
  send_bytes(connection, std::string_view(buffer.data(), used));
  // What did not fit in the buffer follows, unless the socket is full.
  if (connection.queue.unsent() > 0 && connection.queue.in_flight() < allowed) flush(connection);
}

std::size_t Traffic::write_next(Connection& connection, std::span<char> out) {
  const Request& request = connection.queue.next_unsent().request;
  if (request.kind == RequestKind::probe && !probe_bytes_.empty()) {
    std::copy(probe_bytes_.begin(), probe_bytes_.end(), out.begin());
    return probe_bytes_.size();
  }
  return write_request(options_.protocol, request, out);
}

// Errors are not looked at here: the next event of the connection tells.
void Traffic::send_bytes(Connection& connection, std::string_view bytes) {
  const ssize_t sent = ::send(connection.fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  const auto taken = static_cast<std::size_t>(std::max<ssize_t>(sent, 0));
  if (taken < bytes.size()) connection.unsent.append(bytes.substr(taken));
}

base::Result<void> Traffic::begin_probe(std::string_view command, std::string marker) {
  if (options_.protocol == Protocol::resp) {
    std::array<char, kMaxRequestBytes> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
    const std::size_t size = write_command(command, buffer);
    if (size == 0) {
      return base::fail(base::ErrorCode::invalid_argument,
                        "a probe needs a command of less than {} bytes, not '{}'", kMaxRequestBytes,
                        command);
    }
    probe_bytes_.assign(buffer.data(), size);
  }
  if (!probe_is_complete()) {
    return base::fail(base::ErrorCode::failed_precondition,
                      "the probe before is still waiting for answers");
  }
  probe_marker_ = std::move(marker);
  results_.probe = {.number = results_.probe.number + 1, .answered = 0, .on_new = 0};
  unprobed_ = originals_;
  return {};
}

bool Traffic::probe_is_complete() const {
  return unprobed_ == 0;
}

void Traffic::expire(base::MonotonicTime now) {
  for (std::uint32_t i = options_.connections; i < connections_.size(); ++i) {
    Connection& connection = connections_[i];
    if (connection.state != State::closed && now - connection.since > kFreshDeadline) {
      end_fresh(connection, true);
    }
  }
}

void Traffic::close_all() {
  for (Connection& connection : connections_) {
    if (connection.is_held) {
      results_.counters.unanswered += connection.queue.size();
      connection.queue.clear();
      close(connection);
    } else if (connection.state != State::closed) {
      end_fresh(connection, true);
    }
  }
}

}  // namespace segue::load
