// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "server/http_listener.h"

namespace segue::server {

// One connection, on the thread of the connections.
class HttpSession final : public std::enable_shared_from_this<HttpSession> {
 public:
  using OnLoop = std::function<void(std::function<void()>)>;

  HttpSession(boost::asio::ip::tcp::socket socket,
              std::shared_ptr<boost::asio::ssl::context> context, HttpListener::Handle handle,
              OnLoop on_loop, std::function<void()> closed);
  ~HttpSession();
  HttpSession(const HttpSession&) = delete;
  HttpSession& operator=(const HttpSession&) = delete;

  void begin();
  // Nobody answers any more; once the thread has ended, and before what it ran on does.
  void forget() { waiting_.reset(); }

 private:
  class Sink;
  using Body = boost::beast::http::string_body;

  void read_request();
  void take_request();
  void answer(HttpAnswer answer);
  void stream(HttpAnswer answer);
  void write_event();
  void end();
  void close();

  std::shared_ptr<boost::asio::ssl::context> context_;
  boost::beast::ssl_stream<boost::beast::tcp_stream> stream_;
  HttpListener::Handle handle_;
  OnLoop on_loop_;
  std::function<void()> closed_;
  boost::beast::flat_buffer buffer_;
  std::optional<boost::beast::http::request_parser<Body>> parser_;
  std::optional<boost::beast::http::response<Body>> response_;
  unsigned version_ = 11;
  bool keep_alive_ = false;
  bool is_head_ = false;

  // Itself, while it waits for an answer: whoever is to give that may outlive the thread.
  std::shared_ptr<HttpSession> waiting_;

  std::shared_ptr<Sink> sink_;
  std::deque<std::string> unsent_;  // of an answer that goes on; the first is being written
};

}  // namespace segue::server
