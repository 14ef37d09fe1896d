// SPDX-License-Identifier: Apache-2.0
#include "http/exchange.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/assert.h"

namespace segue::http {
namespace {

using base::Error;
using base::ErrorCode;

constexpr long kFirstGood = 200;
constexpr long kLastGood = 299;

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* transfer) {
  return static_cast<Transfer*>(transfer)->take_body({data, size * count});
}
std::size_t on_header(char* data, std::size_t size, std::size_t count, void* transfer) {
  return static_cast<Transfer*>(transfer)->take_header({data, size * count});
}
std::size_t on_read(char* buffer, std::size_t size, std::size_t count, void* transfer) {
  return static_cast<Transfer*>(transfer)->give_body(buffer, size * count);
}

long milliseconds(base::Duration duration) {
  return static_cast<long>(std::chrono::ceil<std::chrono::milliseconds>(duration).count());
}

std::string_view trimmed(std::string_view text) {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

long status_of(CURL* curl) {
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  return status;
}

}  // namespace

Transfer::Transfer(Request request, Handlers handlers)
    : request_(std::move(request)), handlers_(std::move(handlers)), curl_(curl_easy_init()) {
  SEGUE_ASSERT(curl_ != nullptr);
  for (const std::string& field : request_.fields) {
    curl_slist* longer = curl_slist_append(fields_.get(), field.c_str());
    SEGUE_ASSERT(longer != nullptr);
    static_cast<void>(fields_.release());
    fields_.reset(longer);
  }
  prepare();
}

void Transfer::prepare() {
  CURL* curl = curl_.get();
  curl_easy_setopt(curl, CURLOPT_URL, request_.url.c_str());
  if (!request_.unix_socket.empty()) {
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, request_.unix_socket.c_str());
  }
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
  curl_easy_setopt(curl, CURLOPT_PROXY, "");  // whatever the environment says
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "segue");
  curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error_text_.data());
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, milliseconds(request_.limits.connect));
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, milliseconds(request_.limits.total));
  // libcurl sends a request again when a used connection turns out to be dead: not with these.
  curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
  curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
  curl_easy_setopt(curl, CURLOPT_HTTP_VERSION,
                   request_.version == Version::http1 ? CURL_HTTP_VERSION_1_1
                                                      : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, this);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(curl, CURLOPT_PRIVATE, this);
  prepare_body();
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, fields_.get());
}

void Transfer::prepare_body() {
  CURL* curl = curl_.get();
  if (request_.method == "GET") return;
  if (request_.method == "HEAD") {
    curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    return;
  }
  curl_easy_setopt(curl, CURLOPT_POST, 1L);
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request_.method.c_str());
  curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_read);
  curl_easy_setopt(curl, CURLOPT_READDATA, this);
  // Unknown length: in chunks (RFC 9112, section 7.1); HTTP/2 has frames instead.
  curl_easy_setopt(
      curl, CURLOPT_POSTFIELDSIZE_LARGE,
      request_.body_source ? curl_off_t{-1} : static_cast<curl_off_t>(request_.body.size()));
  for (const char* field : {"Expect:", "Transfer-Encoding: chunked"}) {
    const bool is_chunked = request_.body_source && request_.version == Version::http1;
    if (field[0] == 'T' && !is_chunked) continue;
    curl_slist* longer = curl_slist_append(fields_.get(), field);
    SEGUE_ASSERT(longer != nullptr);
    static_cast<void>(fields_.release());
    fields_.reset(longer);
  }
}

std::size_t Transfer::give_body(char* buffer, std::size_t size) {
  if (!request_.body_source) {
    const std::size_t given = std::min(size, request_.body.size() - body_given_);
    std::memcpy(buffer, request_.body.data() + body_given_, given);
    body_given_ += given;
    return given;
  }
  const ssize_t got = ::read(request_.body_source.get(), buffer, size);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
    is_paused_ = true;
    return CURL_READFUNC_PAUSE;
  }
  if (got < 0) {
    refuse(base::errno_error("read what is to be sent", errno));
    return CURL_READFUNC_ABORT;
  }
  sent_bytes_ += static_cast<std::uint64_t>(got);
  return static_cast<std::size_t>(got);
}

void Transfer::resume() {
  is_paused_ = false;
  curl_easy_pause(curl_.get(), CURLPAUSE_CONT);
}

std::size_t Transfer::take_body(std::string_view bytes) {
  if (is_refused()) return 0;
  const long status = status_of(curl_.get());
  if (handlers_.on_body && status >= kFirstGood && status <= kLastGood) {
    if (!pending_.empty() && bytes.size() > kMaxPendingBytes - pending_.size()) {
      is_held_back_ = true;
      return CURL_WRITEFUNC_PAUSE;
    }
    pending_ += bytes;
    return bytes.size();
  }
  if (bytes.size() > request_.limits.answer_bytes - answer_.body.size()) {
    refuse(Error(ErrorCode::resource_exhausted,
                 fmt::format("{} answers with more than the {} bytes allowed", place(),
                             request_.limits.answer_bytes)));
    return 0;
  }
  answer_.body += bytes;
  return bytes.size();
}

std::size_t Transfer::take_header(std::string_view line) {
  header_bytes_ += line.size();
  if (header_bytes_ > kMaxHeaderBytes) {
    refuse(Error(ErrorCode::resource_exhausted,
                 fmt::format("the header of {}'s answer does not end", place())));
    return 0;
  }
  if (line.starts_with("HTTP/")) {
    answer_.fields.clear();  // of a 1xx answer before this one
    has_header_ended_ = false;
  } else if (trimmed(line).empty()) {
    has_header_ended_ = true;
  } else if (const auto colon = line.find(':'); colon != std::string_view::npos) {
    answer_.fields.insert_or_assign(lower(trimmed(line.substr(0, colon))),
                                    std::string(trimmed(line.substr(colon + 1))));
  }
  return line.size();
}

void Transfer::refuse(Error error) {
  if (!error_) error_ = std::move(error);
}

bool Transfer::has_news() const {
  return is_finished() || !pending_.empty() || (handlers_.on_sent && sent_bytes_ != told_bytes_);
}

bool Transfer::deliver(const std::function<bool()>& is_wanted) {
  if (handlers_.on_sent && sent_bytes_ != told_bytes_) {
    told_bytes_ = sent_bytes_;
    handlers_.on_sent(told_bytes_);
    if (!is_wanted()) return false;
  }
  if (!pending_.empty() && !is_refused()) {
    const std::string bytes = std::exchange(pending_, {});
    auto taken = handlers_.on_body(bytes);
    if (!is_wanted()) return false;
    if (!taken) refuse(std::move(taken).error());
  }
  if (is_held_back_ && !is_finished()) {
    is_held_back_ = false;
    curl_easy_pause(curl_.get(), CURLPAUSE_CONT);  // calls take_body() at once
  }
  return is_finished() && (is_refused() || pending_.empty());
}

base::Result<Answer> Transfer::outcome() {
  if (error_) return base::fail(*error_);
  if (*code_ != CURLE_OK) return base::fail(transport_error(*code_));
  if (!has_header_ended_) {  // libcurl is content with half a header
    return base::fail(broken_error(
        ErrorCode::unavailable,
        fmt::format("the connection to {} broke inside the header of its answer", place())));
  }
  answer_.status = static_cast<int>(status_of(curl_.get()));
  return std::move(answer_);
}

bool Transfer::changes_nothing() const {
  return request_.changes_nothing || request_.method == "GET" || request_.method == "HEAD";
}

std::string Transfer::place() const {
  return request_.unix_socket.empty() ? request_.url : request_.unix_socket;
}

std::string Transfer::details(CURLcode code) const {
  return error_text_[0] == '\0' ? curl_easy_strerror(code) : error_text_.data();
}

Error Transfer::connect_error() const {
  long number = 0;
  curl_easy_getinfo(curl_.get(), CURLINFO_OS_ERRNO, &number);
  const std::string what = fmt::format("cannot connect to {}", place());
  const std::string why =
      number == 0 ? details(CURLE_COULDNT_CONNECT) : std::strerror(static_cast<int>(number));
  return {
      number == EACCES || number == EPERM ? ErrorCode::permission_denied : ErrorCode::unavailable,
      fmt::format("{}: {}", what, why)};
}

Error Transfer::broken_error(ErrorCode harmless, std::string message) const {
  return {changes_nothing() ? harmless : ErrorCode::unknown_outcome, std::move(message)};
}

Error Transfer::transport_error(CURLcode code) const {
  curl_off_t connected_us = 0;
  curl_easy_getinfo(curl_.get(), CURLINFO_CONNECT_TIME_T, &connected_us);
  switch (code) {
    case CURLE_URL_MALFORMAT:
      return {ErrorCode::invalid_argument, fmt::format("{}: {}", place(), details(code))};
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
      return connect_error();
    case CURLE_OPERATION_TIMEDOUT:
      if (connected_us == 0) {
        return {ErrorCode::unavailable, fmt::format("{} accepts no connection in time", place())};
      }
      return broken_error(ErrorCode::deadline_exceeded,
                          fmt::format("{} did not answer whole in time", place()));
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return broken_error(ErrorCode::data_loss,
                          fmt::format("what {} sends is not HTTP: {}", place(), details(code)));
    default:
      return broken_error(ErrorCode::unavailable,
                          fmt::format("the connection to {} broke before its answer was whole: {}",
                                      place(), details(code)));
  }
}

}  // namespace segue::http
