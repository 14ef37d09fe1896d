// SPDX-License-Identifier: Apache-2.0
// Files over HTTP from servers that nobody vouches for: every read is bounded in bytes and in time.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time.h"

namespace segue::fetch {

struct HttpLimits {
  std::uint64_t max_bytes = 0;  // of the body; more is resource_exhausted
  base::Duration connect = std::chrono::seconds(10);
  base::Duration total = std::chrono::seconds(60);  // 0: only `stall` ends it
  // Given up when fewer bytes than these came in each second of so long.
  std::uint32_t min_bytes_per_second = 16;
  base::Duration stall = std::chrono::seconds(20);
  std::uint64_t max_bytes_per_second = 0;  // 0: as fast as it goes
};

struct HttpRequest {
  std::string url;  // http, https, or file:///PATH as it stands, for what is on this host
  HttpLimits limits;
  // To go on where an earlier transfer ended: bytes from here. A server that sends others is
  // failed_precondition, and the sink gets none of them.
  std::uint64_t first_byte = 0;
  // With it only so many.
  std::optional<std::uint64_t> byte_count;
  std::vector<std::string> fields;  // more of the header: "Name: value"
  // Other statuses whose body is taken as that of 200 is: of servers that say in it what is wrong.
  std::vector<int> body_statuses;
};

// Takes the body piece by piece; an error ends the transfer and is its outcome.
using HttpSink = std::function<base::Result<void>(std::string_view bytes)>;

// Keeps connections between requests. One thread at a time. Follows no redirects, sends no cookies.
class HttpClient {
 public:
  HttpClient();
  HttpClient(HttpClient&&) noexcept;
  HttpClient& operator=(HttpClient&&) noexcept;
  ~HttpClient();

  // How many bytes of the body came. not_found: 403, 404 or 410. deadline_exceeded: too slow.
  // unavailable: no connection, a connection that broke, any other status. resource_exhausted: too
  // long. What the sink got before an error stays valid for a later request with `first_byte`.
  base::Result<std::uint64_t> get(const HttpRequest& request, const HttpSink& sink);
  // The whole body.
  base::Result<std::string> get(const HttpRequest& request);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace segue::fetch
