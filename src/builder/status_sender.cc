// SPDX-License-Identifier: Apache-2.0
#include "builder/status_sender.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <sys/epoll.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/assert.h"
#include "crypto/digest.h"
#include "crypto/hmac.h"

namespace segue::builder {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxAnswerBytes = std::size_t{64} << 10;
constexpr long kFirstGood = 200;
constexpr long kFirstNotGood = 300;

long milliseconds(base::Duration duration) {
  return static_cast<long>(std::chrono::ceil<std::chrono::milliseconds>(duration).count());
}

}  // namespace

struct StatusSender::Transfer {
  Post post;
  OnEnd on_end;
  std::uint32_t tries = 0;
  std::size_t answer_bytes = 0;
  CURL* curl = nullptr;
  curl_slist* headers = nullptr;
  std::optional<os::EpollLoop::TimerId> timer;

  ~Transfer() {
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
  }
};

// Ties curl's sockets and its timer to the loop (libcurl-multi(3), the socket interface).
struct StatusSender::State {
  explicit State(StatusSender& sender) : self(sender) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    multi = curl_multi_init();
    SEGUE_ASSERT(multi != nullptr);
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, &State::on_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, &State::on_timer);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, this);
  }

  static int on_socket(CURL*, curl_socket_t fd, int what, void* state, void*) {
    auto& here = *static_cast<State*>(state);
    if (here.watched.erase(fd) > 0) here.self.loop_.unwatch(fd);
    if (what == CURL_POLL_REMOVE) return 0;
    std::uint32_t events = 0;
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT) events |= EPOLLIN;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT) events |= EPOLLOUT;
    const auto watched = here.self.loop_.watch(
        fd, events, [&here, fd](std::uint32_t ready) { here.act(fd, ready); });
    if (!watched) return -1;
    here.watched.insert(fd);
    return 0;
  }

  static int on_timer(CURLM*, long timeout_ms, void* state) {
    auto& here = *static_cast<State*>(state);
    if (here.timer) here.self.loop_.cancel(*std::exchange(here.timer, std::nullopt));
    if (timeout_ms < 0) return 0;
    auto timer = here.self.loop_.call_at(
        here.self.clock_.monotonic_now() + std::chrono::milliseconds(timeout_ms), [&here] {
          here.timer.reset();
          here.act(CURL_SOCKET_TIMEOUT, 0);
        });
    if (!timer) return -1;
    here.timer = *timer;
    return 0;
  }

  void act(curl_socket_t fd, std::uint32_t ready) {
    int events = 0;
    if ((ready & EPOLLIN) != 0) events |= CURL_CSELECT_IN;
    if ((ready & EPOLLOUT) != 0) events |= CURL_CSELECT_OUT;
    if ((ready & (EPOLLERR | EPOLLHUP)) != 0) events |= CURL_CSELECT_ERR;
    int running = 0;
    curl_multi_socket_action(multi, fd, events, &running);
    self.collect();
  }

  StatusSender& self;
  CURLM* multi = nullptr;
  std::set<curl_socket_t> watched;
  std::optional<os::EpollLoop::TimerId> timer;
  std::list<Transfer> transfers;
};

StatusSender::StatusSender(os::EpollLoop& loop, const os::Clock& clock, base::Duration first_wait)
    : loop_(loop), clock_(clock), first_wait_(first_wait) {
  state_ = std::make_unique<State>(*this);
}

StatusSender::~StatusSender() {
  while (!state_->transfers.empty()) forget(state_->transfers.front());
  curl_multi_cleanup(state_->multi);
  for (const curl_socket_t fd : state_->watched) loop_.unwatch(fd);
  if (state_->timer) loop_.cancel(*state_->timer);
}

std::size_t StatusSender::pending() const {
  return state_->transfers.size();
}

Result<void> StatusSender::send(Post post, OnEnd on_end) {
  if (pending() >= kMaxPosts) {
    return fail(ErrorCode::resource_exhausted, "{} posts wait already", kMaxPosts);
  }
  Transfer& transfer = state_->transfers.emplace_back();
  transfer.post = std::move(post);
  transfer.on_end = std::move(on_end);
  begin(transfer);
  return {};
}

void StatusSender::begin(Transfer& transfer) {
  const Post& post = transfer.post;
  ++transfer.tries;
  transfer.answer_bytes = 0;
  transfer.curl = curl_easy_init();
  SEGUE_ASSERT(transfer.curl != nullptr);
  CURL* curl = transfer.curl;
  transfer.headers = curl_slist_append(nullptr, "Content-Type: application/json");
  transfer.headers = curl_slist_append(transfer.headers, "Expect:");
  if (!post.header.empty()) {
    transfer.headers = curl_slist_append(transfer.headers, post.header.c_str());
  }
  if (!post.secret.empty()) {
    const std::string line = "X-Segue-Signature-256: sha256=" +
                             crypto::to_hex(crypto::hmac_sha256(post.secret, post.body));
    transfer.headers = curl_slist_append(transfer.headers, line.c_str());
  }
  curl_easy_setopt(curl, CURLOPT_URL, post.url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "segue");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, milliseconds(kTryLimit));
  curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, static_cast<long>(post.body.size()));
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, post.body.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, transfer.headers);
  curl_easy_setopt(curl, CURLOPT_PRIVATE, &transfer);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(
      curl, CURLOPT_WRITEFUNCTION, +[](char*, std::size_t size, std::size_t count, void* data) {
        auto& here = *static_cast<Transfer*>(data);
        here.answer_bytes += size * count;
        return here.answer_bytes <= kMaxAnswerBytes ? size * count : 0;
      });
  curl_multi_add_handle(state_->multi, curl);
}

void StatusSender::collect() {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(state_->multi, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode code = message->data.result;
    Transfer* transfer = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    long status = 0;
    curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK) {
      end_try(*transfer,
              fail(ErrorCode::unavailable, "{}: {}", transfer->post.url, curl_easy_strerror(code)));
    } else if (status < kFirstGood || status >= kFirstNotGood) {
      end_try(*transfer,
              fail(ErrorCode::unavailable, "{} answered with {}", transfer->post.url, status));
    } else {
      end_try(*transfer, {});
    }
  }
}

void StatusSender::end_try(Transfer& transfer, Result<void> result) {
  curl_multi_remove_handle(state_->multi, transfer.curl);
  curl_easy_cleanup(std::exchange(transfer.curl, nullptr));
  curl_slist_free_all(std::exchange(transfer.headers, nullptr));
  if (!result && transfer.tries < kMaxTries) {
    const auto wait = first_wait_ * (1U << (transfer.tries - 1));
    auto timer = loop_.call_at(clock_.monotonic_now() + wait, [this, &transfer] {
      transfer.timer.reset();
      begin(transfer);
    });
    if (timer) {
      transfer.timer = *timer;
      return;
    }
  }
  const OnEnd on_end = std::move(transfer.on_end);
  forget(transfer);
  on_end(std::move(result));
}

void StatusSender::forget(Transfer& transfer) {
  if (transfer.timer) loop_.cancel(*transfer.timer);
  if (transfer.curl != nullptr) curl_multi_remove_handle(state_->multi, transfer.curl);
  state_->transfers.remove_if([&](const Transfer& other) { return &other == &transfer; });
}

}  // namespace segue::builder
