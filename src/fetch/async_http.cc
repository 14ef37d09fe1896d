// SPDX-License-Identifier: Apache-2.0
#include "fetch/async_http.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/assert.h"

namespace segue::fetch {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr long kStatusOk = 200;
// A peer whose host is gone answers nothing, not even with a reset.
constexpr int kUnansweredMs = 10'000;
constexpr int kIdleBeforeProbesS = 5;
constexpr int kBetweenProbesS = 2;
constexpr int kProbes = 3;

long milliseconds(base::Duration duration) {
  return static_cast<long>(std::chrono::ceil<std::chrono::milliseconds>(duration).count());
}

int prepare_socket(void*, curl_socket_t fd, curlsocktype) {
  const auto set = [fd](int level, int name, int value) {
    // Where the kernel has no such option, the time limits remain.
    static_cast<void>(::setsockopt(fd, level, name, &value, sizeof value) != 0);
  };
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, kIdleBeforeProbesS);
  set(IPPROTO_TCP, TCP_KEEPINTVL, kBetweenProbesS);
  set(IPPROTO_TCP, TCP_KEEPCNT, kProbes);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, kUnansweredMs);
  return CURL_SOCKOPT_OK;
}

}  // namespace

struct AsyncHttp::Transfer {
  HttpPost post;
  OnEnd on_end;
  OnBytes on_bytes;
  CURL* curl = nullptr;
  curl_slist* fields = nullptr;
  std::size_t sent_bytes = 0;  // of the body, given to curl
  std::uint64_t received_bytes = 0;
  bool is_too_long = false;
  std::string body;
  std::array<char, CURL_ERROR_SIZE> details{};

  Transfer() = default;
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;
  ~Transfer() {
    curl_easy_cleanup(curl);
    curl_slist_free_all(fields);
  }

  // Before each attempt of curl's own. A second one, after a byte has left, is what must not be.
  static int before_sending(void* transfer, char*, char*, int, int) {
    return static_cast<Transfer*>(transfer)->sent_bytes > 0 ? CURL_PREREQFUNC_ABORT
                                                            : CURL_PREREQFUNC_OK;
  }

  static std::size_t give_body(char* out, std::size_t size, std::size_t count, void* transfer) {
    auto& self = *static_cast<Transfer*>(transfer);
    const std::size_t length = std::min(size * count, self.post.body.size() - self.sent_bytes);
    std::memcpy(out, self.post.body.data() + self.sent_bytes, length);
    self.sent_bytes += length;
    return length;
  }

  static int rewind(void*, curl_off_t, int) { return CURL_SEEKFUNC_FAIL; }

  static std::size_t take(char* data, std::size_t size, std::size_t count, void* transfer) {
    auto& self = *static_cast<Transfer*>(transfer);
    const std::string_view bytes(data, size * count);
    if (self.on_bytes && self.status() == kStatusOk) {
      return self.on_bytes(bytes) ? bytes.size() : 0;
    }
    self.received_bytes += bytes.size();
    self.is_too_long = self.received_bytes > self.post.max_bytes;
    if (self.is_too_long) return 0;
    self.body += bytes;
    return bytes.size();
  }

  [[nodiscard]] long status() const {
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    return status;
  }

  void prepare();
  HttpPostEnd end(CURLcode code);
};

void AsyncHttp::Transfer::prepare() {
  curl = curl_easy_init();
  SEGUE_ASSERT(curl != nullptr);
  fields = curl_slist_append(nullptr, "Content-Type: application/json");
  fields = curl_slist_append(fields, "Expect:");
  for (const std::string& field : post.fields) fields = curl_slist_append(fields, field.c_str());
  curl_easy_setopt(curl, CURLOPT_URL, post.url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "segue");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_PROXY, "");  // the peers are one's own
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, milliseconds(post.connect));
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, milliseconds(post.total));
  curl_easy_setopt(curl, CURLOPT_SOCKOPTFUNCTION, prepare_socket);
  curl_easy_setopt(curl, CURLOPT_POST, 1L);
  curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(post.body.size()));
  curl_easy_setopt(curl, CURLOPT_READFUNCTION, give_body);
  curl_easy_setopt(curl, CURLOPT_READDATA, this);
  curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, rewind);
  curl_easy_setopt(curl, CURLOPT_PREREQFUNCTION, before_sending);
  curl_easy_setopt(curl, CURLOPT_PREREQDATA, this);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, this);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, fields);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, details.data());
  if (!post.tls.authority.empty()) {
    curl_easy_setopt(curl, CURLOPT_CAINFO, post.tls.authority.c_str());
  }
  if (!post.tls.certificate.empty()) {
    curl_easy_setopt(curl, CURLOPT_SSLCERT, post.tls.certificate.c_str());
    curl_easy_setopt(curl, CURLOPT_SSLKEY, post.tls.key.c_str());
  }
}

HttpPostEnd AsyncHttp::Transfer::end(CURLcode code) {
  const bool may_be_sent = sent_bytes > 0;
  if (is_too_long) {
    return {
        .answer = fail(ErrorCode::resource_exhausted,
                       "{} answers with more than the {} bytes allowed", post.url, post.max_bytes),
        .may_be_sent = may_be_sent};
  }
  if (code == CURLE_OK) {
    return {.answer = HttpAnswer{.status = status(), .body = std::move(body)},
            .may_be_sent = may_be_sent};
  }
  const ErrorCode kind =
      code == CURLE_OPERATION_TIMEDOUT ? ErrorCode::deadline_exceeded : ErrorCode::unavailable;
  return {.answer = fail(kind, "{}: {}", post.url,
                         details[0] == '\0' ? curl_easy_strerror(code) : details.data()),
          .may_be_sent = may_be_sent};
}

// Ties curl's sockets and its timer to the loop (libcurl-multi(3), the socket interface).
struct AsyncHttp::State {
  State(os::EpollLoop& the_loop, const os::Clock& the_clock) : loop(the_loop), clock(the_clock) {
    static const CURLcode initialized = curl_global_init(CURL_GLOBAL_DEFAULT);
    SEGUE_ASSERT(initialized == CURLE_OK);
    multi = curl_multi_init();
    SEGUE_ASSERT(multi != nullptr);
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, &State::on_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, &State::on_timer);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, this);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    for (const auto& [id, transfer] : transfers) curl_multi_remove_handle(multi, transfer->curl);
    transfers.clear();
    curl_multi_cleanup(multi);
    for (const curl_socket_t fd : watched) loop.unwatch(fd);
    if (timer) loop.cancel(*timer);
  }

  static int on_socket(CURL*, curl_socket_t fd, int what, void* state, void*) {
    auto& self = *static_cast<State*>(state);
    if (self.watched.erase(fd) > 0) self.loop.unwatch(fd);
    if (what == CURL_POLL_REMOVE) return 0;
    std::uint32_t events = 0;
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT) events |= EPOLLIN;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT) events |= EPOLLOUT;
    if (!self.loop.watch(fd, events, [&self, fd](std::uint32_t ready) { self.act(fd, ready); })) {
      return -1;
    }
    self.watched.insert(fd);
    return 0;
  }

  static int on_timer(CURLM*, long timeout_ms, void* state) {
    auto& self = *static_cast<State*>(state);
    if (self.timer) self.loop.cancel(*std::exchange(self.timer, std::nullopt));
    if (timeout_ms < 0) return 0;
    auto set = self.loop.call_at(self.clock.monotonic_now() + std::chrono::milliseconds(timeout_ms),
                                 [&self] {
                                   self.timer.reset();
                                   self.act(CURL_SOCKET_TIMEOUT, 0);
                                 });
    if (!set) return -1;
    self.timer = *set;
    return 0;
  }

  void act(curl_socket_t fd, std::uint32_t ready) {
    int events = 0;
    if ((ready & EPOLLIN) != 0) events |= CURL_CSELECT_IN;
    if ((ready & EPOLLOUT) != 0) events |= CURL_CSELECT_OUT;
    if ((ready & (EPOLLERR | EPOLLHUP)) != 0) events |= CURL_CSELECT_ERR;
    int running = 0;
    curl_multi_socket_action(multi, fd, events, &running);
    collect();
  }

  void collect() {
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const CURLcode code = message->data.result;  // gone with the handle
      CURL* const curl = message->easy_handle;
      const auto found = std::find_if(transfers.begin(), transfers.end(),
                                      [curl](const auto& row) { return row.second->curl == curl; });
      SEGUE_ASSERT(found != transfers.end());
      curl_multi_remove_handle(multi, curl);
      const std::unique_ptr<Transfer> transfer = std::move(found->second);
      transfers.erase(found);
      const OnEnd on_end = std::move(transfer->on_end);
      on_end(transfer->end(code));
    }
  }

  os::EpollLoop& loop;
  const os::Clock& clock;
  CURLM* multi = nullptr;
  std::set<curl_socket_t> watched;
  std::optional<os::EpollLoop::TimerId> timer;
  std::map<Id, std::unique_ptr<Transfer>> transfers;
  Id next_id = 1;
};

AsyncHttp::AsyncHttp(os::EpollLoop& loop, const os::Clock& clock)
    : state_(std::make_unique<State>(loop, clock)) {}

AsyncHttp::~AsyncHttp() = default;

AsyncHttp::Id AsyncHttp::post(HttpPost post, OnEnd on_end, OnBytes on_bytes) {
  SEGUE_ASSERT(state_->transfers.size() < kMaxPosts);
  const Id id = state_->next_id++;
  auto transfer = std::make_unique<Transfer>();
  transfer->post = std::move(post);
  transfer->on_end = std::move(on_end);
  transfer->on_bytes = std::move(on_bytes);
  transfer->prepare();
  CURL* const curl = transfer->curl;
  state_->transfers.emplace(id, std::move(transfer));
  curl_multi_add_handle(state_->multi, curl);
  return id;
}

void AsyncHttp::cancel(Id id) {
  const auto found = state_->transfers.find(id);
  if (found == state_->transfers.end()) return;
  curl_multi_remove_handle(state_->multi, found->second->curl);
  state_->transfers.erase(found);
}

}  // namespace segue::fetch
