// SPDX-License-Identifier: Apache-2.0
// Calls of a server's HTTP/JSON interface, one after the other; each blocks.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time.h"

namespace segue::fetch {

struct ApiCall {
  std::string method = "GET";
  std::vector<std::string> servers;  // https://HOST:PORT; the first one that is reached is asked
  std::string path;
  std::string bearer;         // the token
  std::string authority_pem;  // who signed the server's certificate, and nobody else
  std::string body;           // JSON; empty: none
  base::Duration limit =
      std::chrono::seconds(60);   // 0: it goes on until the sink or the server ends it
  std::function<bool()> is_over;  // asked once a second or oftener: true ends it, as `unavailable`
};

struct ApiAnswer {
  long status = 0;
  std::string body;
  std::string server;  // that has given it
};

inline constexpr std::size_t kMaxApiAnswerBytes = std::size_t{64} << 20;

// unavailable: no answer; whether it was done is not known where the method is not GET. No other
// server is asked then.
base::Result<ApiAnswer> call_api(const ApiCall& call);

// Gives the answer's body as it comes; false from the sink ends it, which is no error.
base::Result<void> follow_api(const ApiCall& call,
                              const std::function<bool(std::string_view bytes)>& sink);

}  // namespace segue::fetch
