// SPDX-License-Identifier: Apache-2.0
#include "server/http_session.h"

#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/string.hpp>
#include <utility>

namespace segue::server {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using base::ErrorCode;
using base::fail;
using base::Result;

constexpr auto kHandshakeLimit = std::chrono::seconds(15);
constexpr auto kIdleLimit = std::chrono::seconds(60);
constexpr auto kWriteLimit = std::chrono::seconds(60);
constexpr std::string_view kBearer = "Bearer ";

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// RFC 3986, section 2.1.
std::optional<std::string> decode(std::string_view text, bool plus_is_space) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      decoded += ' ';
    } else if (text[i] != '%') {
      decoded += text[i];
    } else {
      const int high = i + 2 < text.size() ? digit_of(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? digit_of(text[i + 2]) : -1;
      if (high < 0 || low < 0) return std::nullopt;
      decoded += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return decoded;
}

}  // namespace

Result<void> parse_target(std::string_view target, HttpRequest& request) {
  const auto wrong = [] {
    return fail(ErrorCode::invalid_argument, "the address of the request cannot be read");
  };
  const auto mark = target.find('?');
  auto path = decode(target.substr(0, mark), false);
  if (!path || !path->starts_with('/') || path->find('\0') != std::string::npos) return wrong();
  request.path = *std::move(path);
  std::string_view rest = mark == std::string_view::npos ? "" : target.substr(mark + 1);
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
    const auto equals = pair.find('=');
    const auto name = decode(pair.substr(0, equals), true);
    const auto value =
        decode(equals == std::string_view::npos ? "" : pair.substr(equals + 1), true);
    if (!name || !value) return wrong();
    request.query[*name] = *value;
  }
  return {};
}

// Posts to the session's thread; bounded by what the session has not written.
class HttpSession::Sink final : public EventSink {
 public:
  Sink(boost::asio::any_io_executor executor, std::weak_ptr<HttpSession> session,
       std::size_t header_bytes)
      : executor_(std::move(executor)), session_(std::move(session)), unsent_bytes_(header_bytes) {}

  bool send(std::string text) override {
    if (is_gone()) return false;
    if (unsent_bytes_ + text.size() > kMaxUnsentBytes) {
      is_closed_ = true;
      boost::asio::post(executor_, [session = session_] {
        const auto held = session.lock();
        if (held && held->unsent_.empty()) held->close();
      });
      return false;
    }
    unsent_bytes_ += text.size();
    boost::asio::post(executor_, [session = session_, text = std::move(text)]() mutable {
      const auto held = session.lock();
      if (!held) return;
      held->unsent_.push_back(std::move(text));
      if (held->unsent_.size() == 1) held->write_event();
    });
    return true;
  }
  [[nodiscard]] bool is_gone() const override { return is_closed_ || session_.expired(); }
  [[nodiscard]] bool is_closed() const { return is_closed_; }
  void written(std::size_t bytes) { unsent_bytes_ -= bytes; }
  void close() { is_closed_ = true; }

 private:
  boost::asio::any_io_executor executor_;
  std::weak_ptr<HttpSession> session_;
  std::atomic<std::size_t> unsent_bytes_;
  std::atomic<bool> is_closed_ = false;
};

HttpSession::HttpSession(boost::asio::ip::tcp::socket socket,
                         std::shared_ptr<boost::asio::ssl::context> context,
                         HttpListener::Handle handle, OnLoop on_loop, std::function<void()> closed)
    : context_(std::move(context)),
      stream_(std::move(socket), *context_),
      handle_(std::move(handle)),
      on_loop_(std::move(on_loop)),
      closed_(std::move(closed)) {}

HttpSession::~HttpSession() {
  if (sink_) sink_->close();
  closed_();
}

void HttpSession::begin() {
  beast::get_lowest_layer(stream_).expires_after(kHandshakeLimit);
  stream_.async_handshake(boost::asio::ssl::stream_base::server,
                          [self = shared_from_this()](beast::error_code error) {
                            if (!error) self->read_request();
                          });
}

void HttpSession::read_request() {
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(HttpListener::kMaxHeaderBytes));
  parser_->body_limit(HttpListener::kMaxBodyBytes);
  beast::get_lowest_layer(stream_).expires_after(kIdleLimit);
  http::async_read(
      stream_, buffer_, *parser_,
      [self = shared_from_this()](beast::error_code error, std::size_t) {
        if (error == http::error::body_limit) {
          self->keep_alive_ = false;
          return self->answer({.status = 413, .body = R"({"error":"the request is too long"})"});
        }
        if (error) return self->end();
        self->take_request();
      });
}

void HttpSession::take_request() {
  const auto& message = parser_->get();
  version_ = message.version();
  keep_alive_ = message.keep_alive();
  is_head_ = message.method() == http::verb::head;
  HttpRequest request;
  request.method = is_head_ ? "GET" : std::string(message.method_string());
  if (!parse_target(message.target(), request)) {
    return answer({.status = 400, .body = R"({"error":"the address cannot be read"})"});
  }
  for (const auto& field : message) {
    std::string name(field.name_string());
    for (char& c : name) c = beast::detail::ascii_tolower(c);
    request.fields[name] = std::string(field.value());
  }
  const std::string authorization(message[http::field::authorization]);
  if (authorization.starts_with(kBearer)) request.bearer = authorization.substr(kBearer.size());
  request.body = std::move(parser_->get().body());
  beast::get_lowest_layer(stream_).expires_never();  // the handler has its own limits
  waiting_ = shared_from_this();
  handle_(std::move(request), [weak = weak_from_this(),
                               executor = stream_.get_executor()](HttpAnswer given) {
    auto self = weak.lock();
    if (!self) return;
    boost::asio::post(executor, [self = std::move(self), given = std::move(given)]() mutable {
      self->waiting_.reset();
      if (given.follow) return self->stream(std::move(given));
      self->answer(std::move(given));
    });
  });
}

void HttpSession::answer(HttpAnswer given) {
  auto& response = response_.emplace(static_cast<http::status>(given.status), version_);
  response.set(http::field::content_type, given.type);
  response.set(http::field::cache_control, "no-store");
  response.set("X-Content-Type-Options", "nosniff");
  response.keep_alive(keep_alive_);
  response.body() = std::move(given.body);
  response.prepare_payload();
  if (is_head_) response.body().clear();
  beast::get_lowest_layer(stream_).expires_after(kWriteLimit);
  http::async_write(stream_, response,
                    [self = shared_from_this()](beast::error_code error, std::size_t) {
                      if (error || !self->keep_alive_) return self->end();
                      self->read_request();
                    });
}

// Until either side goes: its length is not known, and so the connection's end is its own.
void HttpSession::stream(HttpAnswer given) {
  unsent_.push_back(
      fmt::format("HTTP/1.1 {} OK\r\nContent-Type: {}\r\nCache-Control: no-store\r\nConnection: "
                  "close\r\n\r\n{}",
                  given.status, given.type, given.body));
  sink_ = std::make_shared<Sink>(stream_.get_executor(), weak_from_this(), unsent_.front().size());
  beast::get_lowest_layer(stream_).expires_never();
  on_loop_([sink = std::shared_ptr<EventSink>(sink_), follow = std::move(given.follow)] {
    follow(sink);
  });
  write_event();
  // Whoever says something now, or goes, ends it.
  http::async_read_some(stream_, buffer_, parser_.emplace(),
                        [self = shared_from_this()](beast::error_code, std::size_t) {
                          self->sink_->close();
                          beast::get_lowest_layer(self->stream_).close();
                        });
}

void HttpSession::write_event() {
  beast::get_lowest_layer(stream_).expires_after(kWriteLimit);
  boost::asio::async_write(stream_, boost::asio::buffer(unsent_.front()),
                           [self = shared_from_this()](beast::error_code error, std::size_t) {
                             if (error) return self->sink_->close();
                             self->sink_->written(self->unsent_.front().size());
                             self->unsent_.pop_front();
                             beast::get_lowest_layer(self->stream_).expires_never();
                             if (!self->unsent_.empty()) return self->write_event();
                             if (self->sink_->is_closed()) self->close();
                           });
}

// The end of a stream whose reader did not take it: it asks again, with the last number it has.
void HttpSession::close() {
  beast::get_lowest_layer(stream_).close();
}

void HttpSession::end() {
  beast::get_lowest_layer(stream_).expires_after(kHandshakeLimit);
  stream_.async_shutdown([self = shared_from_this()](beast::error_code) {});
}

}  // namespace segue::server
