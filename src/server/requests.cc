// SPDX-License-Identifier: Apache-2.0
#include "server/requests.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "crypto/digest.h"
#include "fleet/layout.h"
#include "server/documents.h"

namespace segue::fleet {

template <>
struct Layout<server::RequestRecord> {
  static void visit(auto& archive, auto& request) {
    archive("id", request.id);
    archive("body_digest", request.body_digest);
    archive("rollout", request.rollout);
    archive("revision", request.revision);
    archive("text", request.text);
    archive("time_ms", request.time_ms);
  }
};

}  // namespace segue::fleet

namespace segue::server {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxRecordBytes = std::size_t{16} << 10;
constexpr std::size_t kMaxForgotten = Requests::kOperations - 1;  // in one transaction

}  // namespace

std::string request_key(const std::string& id) {
  return fmt::format("{}{}", kRequests, id);
}
std::string write_record(const RequestRecord& request) {
  return fleet::write_document("segue_request", 1, request);
}
Result<RequestRecord> read_request(std::string_view bytes) {
  return fleet::read_document<RequestRecord>("segue_request", 1, bytes, kMaxRecordBytes,
                                             "a request");
}

Requests::Requests(std::map<std::string, RequestRecord> known, const os::Clock& clock)
    : known_(std::move(known)), clock_(clock) {
  for (const auto& [id, request] : known_) ids_by_time_.emplace(request.time_ms, id);
}

Result<RequestRecord> Requests::identify(const std::string& person, const std::string& key,
                                         std::string_view route, std::string_view body) {
  if (key.empty() || key.size() > kMaxKeyBytes) {
    return fail(ErrorCode::invalid_argument, "Idempotency-Key has to be of 1 to {} bytes",
                kMaxKeyBytes);
  }
  // A person's name has no slash, so that nobody's keys are somebody else's.
  return RequestRecord{
      .id = fmt::format("{}/{}", person, crypto::to_hex(crypto::digest_of(key))),
      .body_digest = crypto::to_hex(crypto::digest_of(fmt::format("{}\n{}", route, body)))};
}

Result<std::optional<RequestRecord>> Requests::find(const RequestRecord& request) const {
  const auto found = known_.find(request.id);
  if (found == known_.end()) return std::nullopt;
  if (found->second.body_digest == request.body_digest) return found->second;
  return fail(ErrorCode::failed_precondition,
              "the same Idempotency-Key came with another request: draw a new one for each");
}

void Requests::add_to(store::Transaction& transaction, RequestRecord request) {
  request.time_ms = milliseconds_of(clock_.realtime_now());
  request.text = fleet::short_text(request.text);
  const auto kept_ms = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(kKept).count());
  for (std::size_t i = 0; i < kMaxForgotten && !ids_by_time_.empty(); ++i) {
    const auto oldest = ids_by_time_.begin();
    if (known_.size() < kMaxKept && oldest->first + kept_ms >= request.time_ms) break;
    if (oldest->second != request.id) transaction.erase(request_key(oldest->second));
    known_.erase(oldest->second);
    ids_by_time_.erase(oldest);
  }
  if (const auto before = known_.find(request.id); before != known_.end()) {
    const auto [first, last] = ids_by_time_.equal_range(before->second.time_ms);
    const auto its =
        std::find_if(first, last, [&](const auto& entry) { return entry.second == request.id; });
    if (its != last) ids_by_time_.erase(its);
  }
  transaction.put(request_key(request.id), write_record(request));
  ids_by_time_.emplace(request.time_ms, request.id);
  known_[request.id] = std::move(request);
}

}  // namespace segue::server
