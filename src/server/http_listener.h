// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 over TLS (RFC 9112, RFC 8446) for people's programs and for scripts. Connections are a
// thread's of their own; requests are handled on the loop's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/error.h"
#include "os/epoll_loop.h"

namespace segue::server {

struct HttpRequest {
  std::string method;
  std::string path;                           // decoded, from '/'
  std::map<std::string, std::string> query;   // decoded
  std::string bearer;                         // of Authorization: Bearer …
  std::map<std::string, std::string> fields;  // names in lower case
  std::string body;
};

// An answer that goes on: server-sent events. Threads: any.
class EventSink {
 public:
  // Who has not taken more than that is sent what there is and closed: they ask again from there.
  static constexpr std::size_t kMaxUnsentBytes = std::size_t{512} << 10;
  virtual ~EventSink() = default;
  // False: who listened has gone, or does not take what comes; nothing more can be sent.
  virtual bool send(std::string text) = 0;
  // Nobody listens any more.
  [[nodiscard]] virtual bool is_gone() const = 0;
};

struct HttpAnswer {
  unsigned status = 200;
  std::string type = "application/json";
  std::string body;
  // With it the body is only the beginning. Called on the loop's thread.
  std::function<void(std::shared_ptr<EventSink>)> follow = nullptr;
};

class HttpListener {
 public:
  static constexpr std::size_t kMaxConnections = 500;
  static constexpr std::size_t kMaxBodyBytes = std::size_t{2} << 20;
  static constexpr std::size_t kMaxHeaderBytes = std::size_t{16} << 10;

  using GiveAnswer = std::function<void(HttpAnswer)>;
  // `give` is called once, from any thread.
  using Handle = std::function<void(HttpRequest request, GiveAnswer give)>;
  struct Settings {
    std::string address;  // an IP address
    std::uint16_t port = 0;
    std::string certificate_file;  // PEM, with its chain
    std::string key_file;
  };
  // The loop outlives it. The port is open when it returns.
  static base::Result<std::unique_ptr<HttpListener>> open(os::EpollLoop& loop,
                                                          const Settings& settings, Handle handle);
  ~HttpListener();
  HttpListener(const HttpListener&) = delete;
  HttpListener& operator=(const HttpListener&) = delete;

  [[nodiscard]] std::uint16_t port() const;
  // Reads the certificate again, for connections to come. Those that there are go on.
  base::Result<void> reload();

 private:
  struct State;
  explicit HttpListener(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// "/v1/hosts?site=berlin" to its path and query. invalid_argument: percent signs that say nothing.
base::Result<void> parse_target(std::string_view target, HttpRequest& request);

}  // namespace segue::server
