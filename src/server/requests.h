// SPDX-License-Identifier: Apache-2.0
// Requests that may come twice, and are to be carried out once: their sender gives each a key, in
// the header field Idempotency-Key (draft-ietf-httpapi-idempotency-key-header).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "os/clock.h"
#include "store/store.h"

namespace segue::server {

// What came of one.
struct RequestRecord {
  std::string id;           // of its sender and its key
  std::string body_digest;  // SHA-256, in hexadecimal digits
  std::string rollout;
  std::uint64_t revision = 0;
  std::string text;
  std::uint64_t time_ms = 0;

  bool operator==(const RequestRecord&) const = default;
};
inline constexpr std::string_view kRequests = "requests/";
std::string request_key(const std::string& id);
std::string write_record(const RequestRecord& request);
base::Result<RequestRecord> read_request(std::string_view bytes);

// The clock outlives it.
class Requests {
 public:
  static constexpr std::size_t kMaxKeyBytes = 200;
  static constexpr std::size_t kMaxKept = 10'000;  // of more the oldest are forgotten
  static constexpr base::Duration kKept = std::chrono::hours(24 * 7);

  Requests(std::map<std::string, RequestRecord> known, const os::Clock& clock);

  // What the request is known by from now on. invalid_argument: the key is empty or too long.
  static base::Result<RequestRecord> identify(const std::string& person, const std::string& key,
                                              std::string_view route, std::string_view body);
  // What came of it. failed_precondition: the same key came with another body.
  [[nodiscard]] base::Result<std::optional<RequestRecord>> find(const RequestRecord& request) const;
  // Remembers it, in the transaction that carries it out: at most kOperations.
  static constexpr std::size_t kOperations = 11;
  void add_to(store::Transaction& transaction, RequestRecord request);

 private:
  std::map<std::string, RequestRecord> known_;             // by id
  std::multimap<std::uint64_t, std::string> ids_by_time_;  // by time_ms
  const os::Clock& clock_;
};

}  // namespace segue::server
