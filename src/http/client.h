// SPDX-License-Identifier: Apache-2.0
// Requests over HTTP on the event loop, to a Unix socket or a TCP address, without blocking it.
// Every exchange is bounded in bytes and in time. (fetch/http.h is for large files, and blocks.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "os/epoll_loop.h"
#include "os/unique_fd.h"

namespace segue::http {

struct Limits {
  base::Duration connect = std::chrono::seconds(5);
  base::Duration total = std::chrono::seconds(30);  // 0: as long as the caller wants it
  std::size_t answer_bytes = std::size_t{4} << 20;  // of a body that is collected
};

enum class Version {
  http1,           // HTTP/1.1, each exchange with a connection of its own
  http2_as_known,  // HTTP/2 without asking first (RFC 9113, section 3.3)
};

struct Request {
  std::string method = "GET";
  std::string url;                  // http://HOST[:PORT]/PATH
  std::string unix_socket;          // when it is not empty, where the connection goes
  std::vector<std::string> fields;  // of the header: "Name: value"
  std::string body;
  // When it is set, the body: a file, or a pipe or socket that does not block, read to its end.
  os::UniqueFd body_source;
  bool changes_nothing = false;  // as GET and HEAD, whatever the method
  Version version = Version::http1;
  Limits limits;
};

struct Answer {
  int status = 0;
  // By their names in lower case; those after the body (RFC 9110, section 6.5) are among them.
  std::map<std::string, std::string> fields;
  std::string body;  // unless `on_body` took it
};

struct Handlers {
  // Takes the body of an answer of status 2xx piece by piece; without it the body is collected. An
  // error ends the exchange and is its outcome.
  std::function<base::Result<void>(std::string_view bytes)> on_body;
  // How much of the body has been sent so far.
  std::function<void(std::uint64_t bytes)> on_sent;
  // Once, the last: an answer of any status, or
  //   unavailable         no connection: nothing has happened there
  //   permission_denied   the socket may not be used
  //   resource_exhausted  the answer passes its bound, or too many exchanges are under way
  //   unknown_outcome     the connection broke, or the time was over, after the request had gone;
  //                       unavailable and deadline_exceeded when the request changes nothing
  //   data_loss           what came is not HTTP
  std::function<void(base::Result<Answer> answer)> on_end;
};

// One request and its answer. Destroyed before its end, it is given up and calls nothing any more.
class Exchange {
 public:
  Exchange() = default;
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;
  virtual ~Exchange() = default;
};

class Transfer;

// Belongs to the loop's thread. Handlers run from the loop, never from within a call of the client;
// they may start and destroy exchanges, the client too.
class Client {
 public:
  static constexpr std::size_t kMaxExchanges = 256;

  // `loop` outlives it.
  static base::Result<Client> create(os::EpollLoop& loop);
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();  // gives up what is under way

  [[nodiscard]] std::unique_ptr<Exchange> start(Request request, Handlers handlers);
  // An exchange that has ended with this error: for callers whose answers come from the loop too.
  [[nodiscard]] std::unique_ptr<Exchange> refuse(base::Error error, Handlers handlers);

 private:
  class State;
  explicit Client(std::shared_ptr<State> state);
  [[nodiscard]] std::unique_ptr<Exchange> add(std::shared_ptr<Transfer> transfer);
  std::shared_ptr<State> state_;
};

}  // namespace segue::http
