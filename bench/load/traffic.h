// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "load/connection.h"
#include "load/model.h"
#include "load/options.h"
#include "load/pace.h"
#include "load/results.h"
#include "os/clock.h"
#include "os/unique_fd.h"

namespace segue::load {

// All connections of one run, one thread. The caller waits on epoll_fd() and hands in what it says.
// What happens to the connections is counted in `results`, what they wrote in the model.
class Traffic {
 public:
  // How many short connections may be under way; one more counts as failed.
  static constexpr std::uint32_t kMaxFresh = 1'024;
  static constexpr base::Duration kFreshDeadline = std::chrono::seconds(5);

  // The references outlive the object.
  Traffic(const Options& options, const Route& route, const os::Clock& clock, int epoll_fd,
          Results& results);

  // Opens long-lived connections, a bounded number at a time: call until all are open.
  base::Result<void> establish();
  [[nodiscard]] bool is_established() const { return open_held_ == options_.connections; }

  // The schedule runs from `start` until stop().
  void start(base::MonotonicTime start);
  void stop();
  // Sends what is due.
  void send_due(base::MonotonicTime now);
  [[nodiscard]] base::MonotonicTime next_due() const;

  void handle(std::uint64_t tag, std::uint32_t events);
  // Gives up short connections past their deadline.
  void expire(base::MonotonicTime now);

  // The next request of every connection of the start asks which version answers. RESP: with
  // `command`; the answer of the new version contains `marker`.
  base::Result<void> begin_probe(std::string_view command, std::string marker);
  [[nodiscard]] bool probe_is_complete() const;

  [[nodiscard]] const WriteModel& model() const { return model_; }
  // Requests that wait for an answer.
  [[nodiscard]] std::uint64_t outstanding() const { return outstanding_ + fresh_open_; }
  // Counts what is unanswered, and closes everything.
  void close_all();

 private:
  using State = Connection::State;

  void send_held(std::uint32_t index, base::MonotonicTime intended);
  void send_write(std::uint64_t number, base::MonotonicTime intended);
  void send_fresh(base::MonotonicTime intended);
  Request next_request(Connection& connection, std::uint32_t index);
  void enqueue(Connection& connection, const Pending& pending);

  bool open(Connection& connection, std::uint32_t index);
  void flush(Connection& connection);
  std::size_t write_next(Connection& connection, std::span<char> out);
  void send_bytes(Connection& connection, std::string_view bytes);

  bool finish_connect(Connection& connection);
  void receive(Connection& connection, bool until_end);
  // How many bytes of `input` were whole answers; false in `good` when the connection is gone.
  std::size_t take_answers(Connection& connection, std::string_view input, bool& good);
  void take_answer(Connection& connection, const Answer& answer);
  void take_probe(const Answer& answer);
  void note_wrong(const Connection& connection, const Request& request, std::string_view text);

  void end(Connection& connection, bool by_reset);
  void end_fresh(Connection& connection, bool failed);
  void close(Connection& connection);
  [[nodiscard]] std::uint32_t index_of(const Connection& connection) const;

  const Options& options_;
  const Route& route_;
  const os::Clock& clock_;
  const int epoll_fd_;
  Results& results_;

  std::vector<Connection> connections_;  // the long-lived ones, then the short ones
  std::vector<std::uint32_t> free_fresh_;
  std::uint32_t connecting_held_ = 0;
  std::uint32_t open_held_ = 0;
  std::uint32_t next_held_ = 0;
  std::uint32_t fresh_open_ = 0;
  std::uint64_t outstanding_ = 0;
  bool is_running_ = false;

  WriteModel model_;  // a key for every long-lived connection, then those of the writes
  std::uint32_t next_token_ = 0;
  Pace held_pace_;
  Pace write_pace_;
  Pace fresh_pace_;

  std::uint32_t originals_ = 0;  // connections of the start that are still there
  std::uint32_t unprobed_ = 0;   // of these, how many have not answered the probe
  std::string probe_bytes_;
  std::string probe_marker_;

  std::unique_ptr<std::array<char, kMaxAnswerBytes>> input_;
};

}  // namespace segue::load
