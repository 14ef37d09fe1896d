// SPDX-License-Identifier: Apache-2.0
#include "fetch/http.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <vector>

#include "base/assert.h"
#include "os/unique_fd.h"

namespace segue::fetch {
namespace {

using base::Error;
using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxHeaderBytes = std::size_t{64} << 10;
constexpr std::size_t kReadBytes = std::size_t{256} << 10;
constexpr std::string_view kFileScheme = "file://";
constexpr long kOk = 200;
constexpr long kPartialContent = 206;
constexpr long kForbidden = 403;
constexpr long kNotFound = 404;
constexpr long kGone = 410;
constexpr long kRangeNotSatisfiable = 416;

// One transfer: what curl's callbacks share.
struct Transfer {
  CURL* curl;
  const HttpRequest& request;
  const HttpSink& sink;
  std::uint64_t received_bytes = 0;
  std::size_t header_bytes = 0;
  std::optional<std::uint64_t> range_start;  // as the server says
  std::optional<Error> error;                // ours, not curl's

  [[nodiscard]] long status() const {
    long code = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
    return code;
  }

  [[nodiscard]] bool is_body_wanted() const {
    const long now = status();
    return now == kOk || now == kPartialContent ||
           std::ranges::find(request.body_statuses, now) != request.body_statuses.end();
  }

  bool refuse(ErrorCode code, std::string message) {
    error.emplace(code, std::move(message));
    return false;
  }

  bool check_range() {
    const bool ranged = request.first_byte > 0 || request.byte_count;
    if (!ranged) return true;
    // From the start a server may send everything; `byte_count` bounds it then.
    if (status() == kOk && request.first_byte == 0) return true;
    if (status() == kPartialContent && range_start == request.first_byte) return true;
    return refuse(ErrorCode::failed_precondition,
                  fmt::format("the server does not send from byte {} on", request.first_byte));
  }

  bool take(std::string_view bytes) {
    if (!is_body_wanted()) return false;
    if (received_bytes == 0 && !check_range()) return false;
    if (request.byte_count) {
      bytes = bytes.substr(
          0, std::min<std::uint64_t>(bytes.size(), *request.byte_count - received_bytes));
    }
    if (bytes.size() > request.limits.max_bytes - received_bytes) {
      return refuse(ErrorCode::resource_exhausted,
                    fmt::format("more comes than the {} bytes allowed", request.limits.max_bytes));
    }
    if (auto taken = sink(bytes); !taken) {
      error = std::move(taken).error();
      return false;
    }
    received_bytes += bytes.size();
    return true;
  }

  [[nodiscard]] bool has_all() const {
    return request.byte_count && received_bytes == *request.byte_count;
  }

  bool take_header(std::string_view line) {
    header_bytes += line.size();
    if (header_bytes > kMaxHeaderBytes) {
      return refuse(ErrorCode::resource_exhausted, "the server's headers do not end");
    }
    constexpr std::string_view kName = "content-range: bytes ";
    if (line.size() <= kName.size()) return true;
    std::string name(line.substr(0, kName.size()));
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
    if (name != kName) return true;
    std::uint64_t start = 0;
    const std::string_view value = line.substr(kName.size());
    const auto [end, problem] = std::from_chars(value.data(), value.data() + value.size(), start);
    if (problem == std::errc() && end != value.data() + value.size() && *end == '-') {
      range_start = start;
    }
    return true;
  }
};

// Anything but the number of bytes ends the transfer.
std::size_t on_body(char* data, std::size_t size, std::size_t count, void* transfer) {
  auto& self = *static_cast<Transfer*>(transfer);
  if (self.has_all()) return 0;
  return self.take({data, size * count}) ? size * count : 0;
}

std::size_t on_header(char* data, std::size_t size, std::size_t count, void* transfer) {
  return static_cast<Transfer*>(transfer)->take_header({data, size * count}) ? size * count : 0;
}

long milliseconds(base::Duration duration) {
  return static_cast<long>(std::chrono::ceil<std::chrono::milliseconds>(duration).count());
}

using Fields = std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)>;

Fields fields_of(const HttpRequest& request) {
  Fields fields(nullptr, &curl_slist_free_all);
  for (const std::string& field : request.fields) {
    curl_slist* longer = curl_slist_append(fields.get(), field.c_str());
    if (longer == nullptr) break;  // no memory: they are advice
    static_cast<void>(fields.release());
    fields.reset(longer);
  }
  return fields;
}

void prepare(CURL* curl, const HttpRequest& request, const curl_slist* fields, Transfer& transfer) {
  const HttpLimits& limits = request.limits;
  curl_easy_reset(curl);  // connections stay
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "segue");
  curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);  // what is encoded stays so
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, milliseconds(limits.connect));
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, milliseconds(limits.total));
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, static_cast<long>(limits.min_bytes_per_second));
  curl_easy_setopt(
      curl, CURLOPT_LOW_SPEED_TIME,
      static_cast<long>(std::chrono::ceil<std::chrono::seconds>(limits.stall).count()));
  curl_easy_setopt(curl, CURLOPT_MAX_RECV_SPEED_LARGE,
                   static_cast<curl_off_t>(limits.max_bytes_per_second));
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, fields);
  if (request.first_byte == 0 && !request.byte_count) return;
  const std::string range =
      request.byte_count
          ? fmt::format("{}-{}", request.first_byte, request.first_byte + *request.byte_count - 1)
          : fmt::format("{}-", request.first_byte);
  curl_easy_setopt(curl, CURLOPT_RANGE, range.c_str());
}

Result<std::uint64_t> outcome_of(CURLcode code, const Transfer& transfer, const char* details) {
  if (transfer.error) return fail(*transfer.error);
  const long status = transfer.status();
  const bool is_body_wanted = transfer.is_body_wanted();
  if (!is_body_wanted && (status == kNotFound || status == kForbidden || status == kGone)) {
    return fail(ErrorCode::not_found, "the server does not have it (status {})", status);
  }
  if (status == kRangeNotSatisfiable) {
    return fail(ErrorCode::failed_precondition, "the server's file ends before byte {}",
                transfer.request.first_byte);
  }
  if (transfer.has_all()) return transfer.received_bytes;
  if (status != 0 && !is_body_wanted) {
    return fail(ErrorCode::unavailable, "the server answers with status {}", status);
  }
  switch (code) {
    case CURLE_OK:
      return transfer.received_bytes;
    case CURLE_OPERATION_TIMEDOUT:
      return fail(ErrorCode::deadline_exceeded, "{} bytes came, and then it took too long: {}",
                  transfer.received_bytes, details);
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return fail(ErrorCode::invalid_argument, "{}", details);
    default:
      return fail(ErrorCode::unavailable, "{} bytes came, and then: {}", transfer.received_bytes,
                  *details == '\0' ? curl_easy_strerror(code) : details);
  }
}

// What lies on a disk of this host, under the same bounds.
Result<std::uint64_t> read_local(const HttpRequest& request, const HttpSink& sink) {
  const std::string path = request.url.substr(kFileScheme.size());
  const os::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status{};
  if (!fd || ::fstat(fd.get(), &status) != 0) return fail(base::errno_error("open", errno));
  if (!S_ISREG(status.st_mode)) return fail(ErrorCode::not_found, "it is not a file");
  if (static_cast<std::uint64_t>(status.st_size) < request.first_byte) {
    return fail(ErrorCode::failed_precondition, "the file ends before byte {}", request.first_byte);
  }
  std::vector<char> buffer(kReadBytes);
  std::uint64_t done = 0;
  while (!request.byte_count || done < *request.byte_count) {
    const std::uint64_t wanted =
        std::min<std::uint64_t>(buffer.size(), request.byte_count.value_or(UINT64_MAX) - done);
    const ssize_t got = ::pread(fd.get(), buffer.data(), static_cast<std::size_t>(wanted),
                                static_cast<off_t>(request.first_byte + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(base::errno_error("read", errno));
    if (got == 0) break;
    const auto size = static_cast<std::uint64_t>(got);
    if (size > request.limits.max_bytes - done) {
      return fail(ErrorCode::resource_exhausted, "it has more than the {} bytes allowed",
                  request.limits.max_bytes);
    }
    SEGUE_TRY(sink({buffer.data(), static_cast<std::size_t>(got)}));
    done += size;
  }
  return done;
}

}  // namespace

struct HttpClient::State {
  struct Free {
    void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
  };
  std::unique_ptr<CURL, Free> curl;
};

HttpClient::HttpClient() : state_(std::make_unique<State>()) {
  static const CURLcode initialized = curl_global_init(CURL_GLOBAL_DEFAULT);
  SEGUE_ASSERT(initialized == CURLE_OK);
  state_->curl.reset(curl_easy_init());
  SEGUE_ASSERT(state_->curl != nullptr);
}

HttpClient::HttpClient(HttpClient&&) noexcept = default;
HttpClient& HttpClient::operator=(HttpClient&&) noexcept = default;
HttpClient::~HttpClient() = default;

Result<std::uint64_t> HttpClient::get(const HttpRequest& request, const HttpSink& sink) {
  if (request.byte_count == 0U) return 0U;
  if (request.url.starts_with(kFileScheme)) {
    auto outcome = read_local(request, sink);
    if (!outcome) return fail(std::move(outcome).error().with("cannot read " + request.url));
    return outcome;
  }
  CURL* curl = state_->curl.get();
  Transfer transfer{.curl = curl, .request = request, .sink = sink, .range_start = {}, .error = {}};
  const Fields fields = fields_of(request);
  prepare(curl, request, fields.get(), transfer);
  std::array<char, CURL_ERROR_SIZE> details{};
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, details.data());
  const CURLcode code = curl_easy_perform(curl);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, nullptr);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, nullptr);
  auto outcome = outcome_of(code, transfer, details.data());
  if (!outcome) return fail(std::move(outcome).error().with("cannot fetch " + request.url));
  return outcome;
}

Result<std::string> HttpClient::get(const HttpRequest& request) {
  std::string body;
  SEGUE_TRY(get(request, [&](std::string_view bytes) -> Result<void> {
    body += bytes;
    return {};
  }));
  return body;
}

}  // namespace segue::fetch
