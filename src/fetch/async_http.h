// SPDX-License-Identifier: Apache-2.0
// POST over HTTP/1.1 on an event loop, for requests that must not be made twice by chance.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "os/clock.h"
#include "os/epoll_loop.h"

namespace segue::fetch {

// Files in PEM; empty: the system's authorities, no certificate of one's own.
struct TlsFiles {
  std::string authority;
  std::string certificate;
  std::string key;
};

struct HttpPost {
  std::string url;
  std::string body;
  std::vector<std::string> fields;  // of the header: "Name: value"
  TlsFiles tls;
  std::uint64_t max_bytes = 0;  // of the answer
  base::Duration connect = std::chrono::seconds(2);
  base::Duration total = std::chrono::seconds(10);  // 0: a stream; it ends when the peer is gone
};

struct HttpAnswer {
  long status = 0;
  std::string body;  // empty for a stream
};

struct HttpPostEnd {
  base::Result<HttpAnswer> answer;
  // False: not a byte of the body has left, so that the server cannot have done it.
  bool may_be_sent = false;
};

// Keeps connections between requests; one thread, the loop's. A request leaves at most once: what
// libcurl would send again when a kept connection turns out to be dead ends instead.
class AsyncHttp {
 public:
  static constexpr std::size_t kMaxPosts = 1024;

  // Loop and clock outlive it.
  AsyncHttp(os::EpollLoop& loop, const os::Clock& clock);
  AsyncHttp(const AsyncHttp&) = delete;
  AsyncHttp& operator=(const AsyncHttp&) = delete;
  // Cancels what is under way.
  ~AsyncHttp();

  using Id = std::uint64_t;
  // Bytes of a stream, of an answer with status 200, as they come; false ends it. Must not call
  // this object.
  using OnBytes = std::function<bool(std::string_view bytes)>;
  // Once, unless it is cancelled; must not destroy this object.
  using OnEnd = std::function<void(HttpPostEnd end)>;
  Id post(HttpPost post, OnEnd on_end, OnBytes on_bytes = {});
  void cancel(Id id);

 private:
  struct Transfer;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace segue::fetch
