// SPDX-License-Identifier: Apache-2.0
// What comes back over the connections: answers, and their end.
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>

#include "load/traffic.h"

namespace segue::load {

void Traffic::handle(std::uint64_t tag, std::uint32_t events) {
  Connection& connection = connections_[tag & 0xffffffffU];
  if (connection.generation != tag >> 32 || connection.state == State::closed) return;
  if (connection.state == State::connecting && !finish_connect(connection)) return;
  if ((events & EPOLLOUT) != 0 && !connection.unsent.empty()) {
    const std::string rest = std::move(connection.unsent);
    connection.unsent.clear();
    send_bytes(connection, rest);
  }
  if ((events & EPOLLOUT) != 0 && connection.queue.unsent() > 0) flush(connection);
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
    receive(connection, (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);
  }
}

bool Traffic::finish_connect(Connection& connection) {
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(connection.fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  const bool is_establishing = !is_running_ && connection.is_held && connecting_held_ > 0;
  if (is_establishing) --connecting_held_;
  if (error == 0) {
    connection.state = State::open;
    if (is_establishing) ++open_held_;
    return true;
  }
  if (!connection.is_held) {
    end_fresh(connection, true);
    return false;
  }
  // The next request of its schedule tries again.
  ++results_.counters.reconnect_failed;
  close(connection);
  return false;
}

// Edge-triggered: reads until the socket is drained. A short read means drained, unless the events
// said that an end or an error stands behind the data.
void Traffic::receive(Connection& connection, bool until_end) {
  while (connection.state == State::open) {
    const ssize_t received = ::recv(connection.fd.get(), input_->data(), input_->size(), 0);
    if (received < 0 && errno == EINTR) continue;
    if (received < 0 && errno == EAGAIN) return;
    if (received <= 0) {
      end(connection, received < 0);
      return;
    }
    const auto size = static_cast<std::size_t>(received);
    bool good = true;
    if (connection.partial.empty()) {
      const std::string_view input(input_->data(), size);
      const std::size_t used = take_answers(connection, input, good);
      if (good && used < size) connection.partial.assign(input.substr(used));
    } else {
      connection.partial.append(input_->data(), size);
      const std::string input = std::move(connection.partial);
      connection.partial.clear();
      const std::size_t used = take_answers(connection, input, good);
      if (good && used < input.size()) connection.partial.assign(input, used);
    }
    if (!good) return;
    if (size < input_->size() && !until_end) return;
  }
}

std::size_t Traffic::take_answers(Connection& connection, std::string_view input, bool& good) {
  std::size_t used = 0;
  const std::uint32_t generation = connection.generation;
  while (used < input.size()) {
    const Answer answer = parse_answer(options_.protocol, input.substr(used));
    if (answer.status == ParseStatus::incomplete) return used;
    if (answer.status == ParseStatus::malformed || connection.queue.in_flight() == 0) {
      note_wrong(connection, {}, input.substr(used));
      end(connection, false);
      good = false;
      return used;
    }
    used += answer.size_bytes;
    take_answer(connection, answer);
    if (connection.state != State::open || connection.generation != generation) {
      good = false;
      return used;
    }
  }
  return used;
}

void Traffic::take_answer(Connection& connection, const Answer& answer) {
  const base::MonotonicTime now = clock_.monotonic_now();
  const Pending pending = connection.queue.front();
  const Request& request = pending.request;
  const bool fits = answer_fits(options_.protocol, request, answer);
  if (!fits) note_wrong(connection, request, answer.text);
  if (!connection.is_held) {
    if (fits) results_.fresh.record(now - pending.intended);
    end_fresh(connection, !fits);
    return;
  }
  connection.queue.pop();
  --outstanding_;
  ++results_.counters.answers;
  results_.record_held(now - pending.intended, now);
  if (request.kind == RequestKind::probe && connection.is_original) {
    connection.probe_answered = results_.probe.number;
    take_probe(answer);
  }
  if (fits && request.kind == RequestKind::set) {
    model_.acknowledge(request.key, request.sequence);
    ++results_.counters.writes_acknowledged;
  }
  if (answer.closes) return;  // the end follows; what waits goes over the next connection
  if (connection.queue.unsent() > 0) flush(connection);
}

void Traffic::take_probe(const Answer& answer) {
  if (unprobed_ > 0) --unprobed_;
  ++results_.probe.answered;
  if (answer.text.find(probe_marker_) != std::string_view::npos) ++results_.probe.on_new;
}

void Traffic::note_wrong(const Connection& connection, const Request& request,
                         std::string_view text) {
  if (results_.counters.wrong++ > 0) return;
  results_.first_wrong = fmt::format("connection {}, request kind {} key {} sequence {}: '{}'",
                                     index_of(connection), static_cast<int>(request.kind),
                                     request.key, request.sequence, text.substr(0, 200));
}

void Traffic::end(Connection& connection, bool by_reset) {
  if (!connection.is_held) {
    end_fresh(connection, true);
    return;
  }
  Counters& counters = results_.counters;
  const std::uint32_t in_flight = connection.queue.in_flight();
  if (in_flight > 0) ++counters.cut;
  counters.unanswered += in_flight;
  outstanding_ -= in_flight;
  if (connection.is_original) {
    ++counters.lost;
    if (by_reset) ++counters.lost_by_reset;
    --originals_;
    // It counted among the unprobed until it answered.
    if (unprobed_ > 0 && connection.probe_answered != results_.probe.number) --unprobed_;
  } else {
    ++counters.lost_again;
  }
  connection.is_original = false;
  connection.own_key_is_known = false;
  connection.queue.drop_sent([this](Pending& pending) {
    // What was read of the own key before says nothing about the next connection.
    if (pending.request.kind == RequestKind::get) {
      pending.request = {.kind = RequestKind::ping, .sequence = ++next_token_};
    }
  });
  close(connection);
  if (is_running_ && !connection.queue.empty()) open(connection, index_of(connection));
}

void Traffic::end_fresh(Connection& connection, bool failed) {
  if (failed) ++results_.counters.new_failed;
  connection.queue.clear();
  close(connection);
  --fresh_open_;
  free_fresh_.push_back(index_of(connection));
}

void Traffic::close(Connection& connection) {
  connection.fd.reset();
  connection.state = State::closed;
  connection.partial.clear();
  connection.unsent.clear();
}

}  // namespace segue::load
