// SPDX-License-Identifier: Apache-2.0
// GET requests to servers that nobody vouches for, read at the pace of whoever asks.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "relay/source_url.h"

namespace segue::relay {

struct UpstreamRequest {
  SourceUrl server;
  std::string path;  // behind the server's own: "/objects/…"
  bool is_head = false;
  std::uint64_t first_byte = 0;
  std::vector<std::pair<std::string, std::string>> fields;
  base::Duration connect_limit = std::chrono::seconds(3);  // also for its address
  base::Duration answer_limit = std::chrono::seconds(30);
  // How much the server may send beyond what was read; 0: as the kernel likes.
  std::uint32_t window_bytes = 0;
};

struct UpstreamAnswer {
  unsigned status = 0;
  // Of the body; nothing: the server does not say.
  std::optional<std::uint64_t> body_bytes;
  std::uint64_t first_byte = 0;              // of 206
  std::optional<std::uint64_t> total_bytes;  // of the file, from 200, 206 or 416
  std::string tag;                           // ETag
  std::optional<std::uint64_t> kept_bytes;   // Segue-Kept
};

class Upstreams;

// One request. Callbacks come from the loop, never from within a call, and not after cancel().
class UpstreamCall : public std::enable_shared_from_this<UpstreamCall> {
 public:
  using OnAnswer = std::function<void(base::Result<UpstreamAnswer>)>;

  struct State;
  explicit UpstreamCall(std::unique_ptr<State> state);
  ~UpstreamCall();
  UpstreamCall(const UpstreamCall&) = delete;
  UpstreamCall& operator=(const UpstreamCall&) = delete;

  // Calls once, when read() has something to say, or with false after `limit`.
  void wait_for_bytes(base::Duration limit, std::function<void(bool in_time)> then);
  // Of the body, without waiting; 0: there are none now. unavailable: the connection broke.
  base::Result<std::size_t> read(char* bytes, std::size_t max);
  // Of the body, if its length is known.
  [[nodiscard]] std::uint64_t left_bytes() const;
  // The connection can be used again; all of the body was read.
  void finish();
  void cancel();

 private:
  friend class Upstreams;
  void begin();
  void limit_window();
  void look_up();
  void connect_next();
  void send();
  void read_header();
  void failed(const std::string& what);
  std::unique_ptr<State> state_;
};

// Keeps connections between requests. Outlives its calls.
class Upstreams {
 public:
  static constexpr std::size_t kMaxIdle = 4;  // per server
  static constexpr std::uint32_t kMaxHeaderBytes = 8 * 1024;

  explicit Upstreams(boost::asio::io_context& context);
  ~Upstreams();
  Upstreams(const Upstreams&) = delete;
  Upstreams& operator=(const Upstreams&) = delete;

  // failed_precondition: it refuses connections. unavailable: no connection, one that broke or took
  // too long, an answer that is none.
  std::shared_ptr<UpstreamCall> ask(UpstreamRequest request, UpstreamCall::OnAnswer on_answer);

  struct Connection;

 private:
  friend class UpstreamCall;
  std::shared_ptr<Connection> take_idle(const std::string& server);
  void give_idle(const std::string& server, std::shared_ptr<Connection> connection);

  boost::asio::io_context& context_;
  std::map<std::string, std::vector<std::shared_ptr<Connection>>> idle_;
};

}  // namespace segue::relay
