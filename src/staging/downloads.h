// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "fetch/http.h"
#include "library/release.h"

namespace segue::staging {

// Objects of a library in a directory of this host. What was interrupted goes on at the byte where
// it ended. A file has an object's name only once it is known to be the object.
class Downloads {
 public:
  // Told after each piece how many bytes it had.
  using OnBytes = std::function<void(std::uint64_t bytes)>;
  struct Settings {
    std::string directory;
    std::string url;                            // of the library
    std::uint64_t max_bytes_per_second = 0;     // 0: as fast as it goes
    std::uint32_t min_bytes_per_second = 1024;  // over a whole object; slower is given up
    OnBytes on_bytes;
    std::vector<std::string> fields;  // of each request, for relays (HttpRequest::fields)
  };
  // `http` outlives it.
  Downloads(Settings settings, fetch::HttpClient& http)
      : settings_(std::move(settings)), http_(http) {}

  // The path of the object. Never more bytes than it has are asked for or taken. A broken
  // connection is taken up again as long as bytes come. data_loss: what the server has under this
  // name is something else; it was fetched twice, and nothing of it is kept.
  base::Result<std::string> fetch(const library::ObjectRef& object);

  // So many are needed still: relays are told, so that people see how far a host is.
  void expect(std::uint64_t bytes) { expected_bytes_ = bytes; }

  [[nodiscard]] std::uint64_t fetched_bytes() const { return fetched_bytes_; }

 private:
  base::Result<void> fetch_whole(const library::ObjectRef& object, const std::string& part);
  base::Result<void> fetch_rest(const library::ObjectRef& object, const std::string& part);

  Settings settings_;
  fetch::HttpClient& http_;
  std::uint64_t fetched_bytes_ = 0;
  std::uint64_t expected_bytes_ = 0;
  bool is_doubted_ = false;  // what came was wrong: relays are to look again
};

}  // namespace segue::staging
