// SPDX-License-Identifier: Apache-2.0
#include "relay/upstream.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <cerrno>
#include <cstring>

#include "relay/fields.h"

namespace segue::relay {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

using asio::ip::tcp;
using base::ErrorCode;
using base::fail;
using base::Result;

struct Upstreams::Connection {
  explicit Connection(asio::io_context& context)
      : stream(context), buffer(kMaxHeaderBytes + 8 * 1024) {}
  beast::tcp_stream stream;
  beast::flat_buffer buffer;

  [[nodiscard]] bool is_open() {
    char byte = 0;
    const ssize_t got = ::recv(stream.socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got < 0 && errno == EAGAIN;
  }
};

struct UpstreamCall::State {
  State(asio::io_context& given_context, Upstreams& given_pool, UpstreamRequest given_request,
        OnAnswer given_on_answer)
      : context(given_context),
        pool(given_pool),
        request(std::move(given_request)),
        on_answer(std::move(given_on_answer)),
        resolver(given_context),
        timer(given_context) {}

  [[nodiscard]] std::string server() const { return request.server.authority(); }

  asio::io_context& context;
  Upstreams& pool;
  UpstreamRequest request;
  OnAnswer on_answer;
  tcp::resolver resolver;
  asio::steady_timer timer;
  std::vector<tcp::endpoint> endpoints;
  std::size_t next_endpoint = 0;
  std::string problem;
  std::shared_ptr<Upstreams::Connection> connection;
  bool is_reused = false;
  bool is_refused = false;
  bool is_cancelled = false;
  http::request<http::empty_body> message;
  std::optional<http::response_parser<http::empty_body>> parser;
  std::optional<std::uint64_t> body_bytes;
  std::uint64_t read_bytes = 0;
  bool is_waiting = false;
  bool is_looking_up = false;
};

UpstreamCall::UpstreamCall(std::unique_ptr<State> state) : state_(std::move(state)) {}
UpstreamCall::~UpstreamCall() = default;

void UpstreamCall::begin() {
  State& s = *state_;
  s.connection = s.pool.take_idle(s.server());
  s.is_reused = s.connection != nullptr;
  if (s.is_reused) {
    limit_window();
    return send();
  }
  beast::error_code is_name;
  const auto address = asio::ip::make_address(s.request.server.host, is_name);
  if (is_name) return look_up();
  s.endpoints = {{address, s.request.server.port}};
  s.next_endpoint = 0;
  connect_next();
}

void UpstreamCall::look_up() {
  State& s = *state_;
  s.is_looking_up = true;
  s.timer.expires_after(s.request.connect_limit);
  // A look-up that is under way cannot be stopped: what it finds is not wanted any more.
  s.timer.async_wait([self = shared_from_this()](const beast::error_code& problem) {
    State& state = *self->state_;
    if (problem || state.is_cancelled || !std::exchange(state.is_looking_up, false)) return;
    state.resolver.cancel();
    self->failed("look up " + state.server() + ": it took too long");
  });
  s.resolver.async_resolve(
      s.request.server.host, std::to_string(s.request.server.port),
      [self = shared_from_this()](const beast::error_code& problem,
                                  const tcp::resolver::results_type& results) {
        State& state = *self->state_;
        if (state.is_cancelled || !std::exchange(state.is_looking_up, false)) return;
        state.timer.cancel();
        if (problem) return self->failed("look up " + state.server() + ": " + problem.message());
        for (const auto& result : results) state.endpoints.push_back(result.endpoint());
        self->connect_next();
      });
}

void UpstreamCall::connect_next() {
  State& s = *state_;
  if (s.next_endpoint == s.endpoints.size()) {
    return failed(fmt::format("connect to {}: {}", s.server(),
                              s.problem.empty() ? "it has no address" : s.problem));
  }
  const tcp::endpoint endpoint = s.endpoints[s.next_endpoint++];
  s.connection = std::make_shared<Upstreams::Connection>(s.context);
  auto& stream = s.connection->stream;
  beast::error_code problem;
  stream.socket().open(endpoint.protocol(), problem);
  if (problem) return failed("open a socket: " + problem.message());
  limit_window();  // before the connection, so that the window is scaled for it
  stream.expires_after(s.request.connect_limit);
  stream.async_connect(endpoint, [self = shared_from_this()](const beast::error_code& refused) {
    State& state = *self->state_;
    if (state.is_cancelled) return;
    if (!refused) return self->send();
    state.problem = refused.message();
    state.is_refused = refused == asio::error::connection_refused;
    self->connect_next();
  });
}

void UpstreamCall::limit_window() {
  State& s = *state_;
  if (s.request.window_bytes == 0) return;
  beast::error_code ignored;  // then more comes at once than should
  s.connection->stream.socket().set_option(
      asio::socket_base::receive_buffer_size(static_cast<int>(s.request.window_bytes)), ignored);
}

void UpstreamCall::send() {
  State& s = *state_;
  const SourceUrl& server = s.request.server;
  s.message = {};
  s.message.version(11);
  s.message.method(s.request.is_head ? http::verb::head : http::verb::get);
  s.message.target(server.path + s.request.path);
  s.message.set(http::field::host, server.authority());
  s.message.set(http::field::user_agent, "segue relay");
  s.message.set(http::field::accept_encoding, "identity");
  if (s.request.first_byte > 0) {
    s.message.set(http::field::range, fmt::format("bytes={}-", s.request.first_byte));
  }
  for (const auto& [name, value] : s.request.fields) s.message.set(name, value);
  s.connection->stream.expires_after(s.request.answer_limit);
  http::async_write(s.connection->stream, s.message,
                    [self = shared_from_this()](const beast::error_code& problem, std::size_t) {
                      if (self->state_->is_cancelled) return;
                      if (problem) return self->failed("ask: " + problem.message());
                      self->read_header();
                    });
}

void UpstreamCall::read_header() {
  State& s = *state_;
  s.parser.emplace();
  s.parser->header_limit(Upstreams::kMaxHeaderBytes);
  s.parser->body_limit(boost::none);
  s.parser->skip(true);  // the body is read at the pace of whoever asks
  http::async_read_header(
      s.connection->stream, s.connection->buffer, *s.parser,
      [self = shared_from_this()](const beast::error_code& problem, std::size_t) {
        State& state = *self->state_;
        if (state.is_cancelled) return;
        if (problem) return self->failed("the answer: " + problem.message());
        state.connection->stream.expires_never();
        const auto& message = state.parser->get();
        UpstreamAnswer answer = answer_of(message);
        const bool has_body = !state.request.is_head && answer.status != 304;
        if (!has_body) answer.body_bytes = 0;
        state.body_bytes = answer.body_bytes;
        if (message.chunked()) state.body_bytes.reset();
        answer.body_bytes = state.body_bytes;
        std::exchange(state.on_answer, nullptr)(std::move(answer));
      });
}

void UpstreamCall::failed(const std::string& what) {
  State& s = *state_;
  // A server may close a connection that it was not asked on for a while.
  if (s.is_reused) {
    s.is_reused = false;
    s.connection.reset();
    return begin();
  }
  s.connection.reset();
  if (auto then = std::exchange(s.on_answer, nullptr)) {
    then(fail(s.is_refused ? ErrorCode::failed_precondition : ErrorCode::unavailable, "{}", what));
  }
}

void UpstreamCall::wait_for_bytes(base::Duration limit, std::function<void(bool in_time)> then) {
  State& s = *state_;
  if (s.connection == nullptr || s.connection->buffer.size() > 0 || left_bytes() == 0) {
    asio::post(s.context, [self = shared_from_this(), then = std::move(then)] {
      if (!self->state_->is_cancelled) then(true);
    });
    return;
  }
  s.is_waiting = true;
  s.timer.expires_after(limit);
  s.timer.async_wait([self = shared_from_this()](const beast::error_code& problem) {
    const State& state = *self->state_;
    beast::error_code ignored;
    if (!problem && state.is_waiting && state.connection) {
      state.connection->stream.socket().cancel(ignored);
    }
  });
  s.connection->stream.socket().async_wait(
      tcp::socket::wait_read,
      [self = shared_from_this(), then = std::move(then)](const beast::error_code& problem) {
        State& state = *self->state_;
        if (state.is_cancelled) return;
        state.is_waiting = false;
        state.timer.cancel();
        then(!problem);
      });
}

Result<std::size_t> UpstreamCall::read(char* bytes, std::size_t max) {
  State& s = *state_;
  const std::size_t wanted = static_cast<std::size_t>(std::min<std::uint64_t>(max, left_bytes()));
  if (wanted == 0) return 0U;
  if (s.connection == nullptr) return fail(ErrorCode::unavailable, "the connection was closed");
  auto& buffer = s.connection->buffer;
  if (buffer.size() > 0) {
    const std::size_t size = std::min(wanted, buffer.size());
    std::memcpy(bytes, buffer.data().data(), size);
    buffer.consume(size);
    s.read_bytes += size;
    return size;
  }
  const ssize_t got =
      ::recv(s.connection->stream.socket().native_handle(), bytes, wanted, MSG_DONTWAIT);
  if (got > 0) {
    s.read_bytes += static_cast<std::uint64_t>(got);
    return static_cast<std::size_t>(got);
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0U;
  const std::string why = got == 0 ? "it was closed" : std::strerror(errno);
  return fail(ErrorCode::unavailable, "the connection to {} ended early: {}", s.server(), why);
}

std::uint64_t UpstreamCall::left_bytes() const {
  return state_->body_bytes.value_or(state_->read_bytes) - state_->read_bytes;
}

void UpstreamCall::finish() {
  State& s = *state_;
  if (s.is_cancelled || s.connection == nullptr) return;
  s.is_cancelled = true;
  const bool can_go_on = s.parser && s.parser->get().keep_alive() && s.body_bytes &&
                         left_bytes() == 0 && s.connection->buffer.size() == 0;
  if (can_go_on) s.pool.give_idle(s.server(), std::move(s.connection));
  s.connection.reset();
}

void UpstreamCall::cancel() {
  State& s = *state_;
  if (s.is_cancelled) return;
  s.is_cancelled = true;
  s.on_answer = nullptr;
  s.resolver.cancel();
  s.timer.cancel();
  if (s.connection) {
    beast::error_code ignored;
    s.connection->stream.socket().close(ignored);
  }
}

Upstreams::Upstreams(asio::io_context& context) : context_(context) {}
Upstreams::~Upstreams() = default;

std::shared_ptr<UpstreamCall> Upstreams::ask(UpstreamRequest request,
                                             UpstreamCall::OnAnswer on_answer) {
  auto call = std::make_shared<UpstreamCall>(std::make_unique<UpstreamCall::State>(
      context_, *this, std::move(request), std::move(on_answer)));
  asio::post(context_, [call] {
    if (!call->state_->is_cancelled) call->begin();
  });
  return call;
}

std::shared_ptr<Upstreams::Connection> Upstreams::take_idle(const std::string& server) {
  auto& idle = idle_[server];
  while (!idle.empty()) {
    auto connection = std::move(idle.back());
    idle.pop_back();
    if (connection->is_open()) return connection;
  }
  return nullptr;
}

void Upstreams::give_idle(const std::string& server, std::shared_ptr<Connection> connection) {
  auto& idle = idle_[server];
  if (idle.size() < kMaxIdle) idle.push_back(std::move(connection));
}

}  // namespace segue::relay
