// SPDX-License-Identifier: Apache-2.0
#include "fetch/api_client.h"

#include <curl/curl.h>

#include <memory>
#include <tuple>
#include <utility>

namespace segue::fetch {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

// With TLS. Of several servers one may hang, which is no reason to wait for it first.
constexpr long kConnectMs = 10'000;
constexpr long kFirstConnectMs = 3'000;

struct FreeCurl {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

using Sink = std::function<bool(std::string_view)>;

std::size_t take(char* bytes, std::size_t size, std::size_t count, void* sink) {
  return (*static_cast<const Sink*>(sink))({bytes, size * count}) ? size * count : 0;
}

int look_whether_over(void* is_over, curl_off_t /*down_all*/, curl_off_t /*down*/,
                      curl_off_t /*up_all*/, curl_off_t /*up*/) {
  return (*static_cast<const std::function<bool()>*>(is_over))() ? 1 : 0;
}

struct Ended {
  Result<long> status;       // of the answer, whose body went to the sink
  bool was_reached = false;  // false: nothing was asked, and the next one may be
};

Ended perform(const ApiCall& call, const std::string& server, long connect_ms, const Sink& sink) {
  const std::unique_ptr<CURL, FreeCurl> handle(curl_easy_init());
  if (!handle) return {fail(ErrorCode::internal, "libcurl cannot begin"), true};
  const std::string url = server + call.path;
  const std::string authorization = "Authorization: Bearer " + call.bearer;
  const std::unique_ptr<curl_slist, FreeList> fields(curl_slist_append(
      curl_slist_append(nullptr, authorization.c_str()), "Content-Type: application/json"));
  CURL* curl = handle.get();
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call.method.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, fields.get());
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
  // Whoever follows a stream notices that the server's host is gone.
  curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(curl, CURLOPT_TCP_KEEPIDLE, 15L);
  curl_easy_setopt(curl, CURLOPT_TCP_KEEPINTVL, 5L);
  curl_easy_setopt(
      curl, CURLOPT_TIMEOUT_MS,
      static_cast<long>(std::chrono::duration_cast<std::chrono::milliseconds>(call.limit).count()));
  curl_blob authority{const_cast<char*>(call.authority_pem.data()), call.authority_pem.size(),
                      CURL_BLOB_COPY};
  curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &authority);
  if (!call.body.empty()) {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, call.body.data());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(call.body.size()));
  }
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &take);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, const_cast<Sink*>(&sink));
  if (call.is_over) {
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, &look_whether_over);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, const_cast<std::function<bool()>*>(&call.is_over));
  }
  const CURLcode code = curl_easy_perform(curl);
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  curl_off_t connected_us = 0;  // to it, with TLS
  curl_easy_getinfo(curl, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
  const bool ended_by_sink = code == CURLE_WRITE_ERROR && status != 0;
  if (code == CURLE_OK || ended_by_sink) return {status, true};
  const bool is_late = code == CURLE_OPERATION_TIMEDOUT && connected_us != 0;
  return {fail(is_late ? ErrorCode::deadline_exceeded : ErrorCode::unavailable,
               "no answer from {}: {}", url, curl_easy_strerror(code)),
          connected_us != 0 || code == CURLE_ABORTED_BY_CALLBACK};
}

// By the first server that is reached; which.
Result<std::pair<long, std::string>> perform(const ApiCall& call, const Sink& sink) {
  Result<std::pair<long, std::string>> last =
      fail(ErrorCode::invalid_argument, "no server is named");
  for (const long connect_ms : {kFirstConnectMs, kConnectMs}) {
    if (call.servers.size() == 1 && connect_ms == kFirstConnectMs) continue;
    for (const auto& server : call.servers) {
      const Ended ended = perform(call, server, connect_ms, sink);
      if (ended.status) return std::pair(*ended.status, server);
      last = fail(ended.status.error());
      if (ended.was_reached) return last;
    }
  }
  return last;
}

}  // namespace

Result<ApiAnswer> call_api(const ApiCall& call) {
  ApiAnswer answer;
  bool too_long = false;
  SEGUE_ASSIGN(std::tie(answer.status, answer.server), perform(call, [&](std::string_view bytes) {
                 too_long = answer.body.size() + bytes.size() > kMaxApiAnswerBytes;
                 if (!too_long) answer.body += bytes;
                 return !too_long;
               }));
  if (!too_long) return answer;
  return fail(ErrorCode::resource_exhausted, "the answer of {} is longer than {} bytes",
              answer.server + call.path, kMaxApiAnswerBytes);
}

Result<void> follow_api(const ApiCall& call, const Sink& sink) {
  SEGUE_ASSIGN(const auto answered, perform(call, sink));
  if (answered.first == 200) return {};
  return fail(ErrorCode::unavailable, "{} answers with {}", answered.second + call.path,
              answered.first);
}

}  // namespace segue::fetch
