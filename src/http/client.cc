// SPDX-License-Identifier: Apache-2.0
#include "http/client.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <list>
#include <set>
#include <utility>

#include "base/assert.h"
#include "http/exchange.h"

namespace segue::http {

using base::Error;
using base::ErrorCode;

// Between libcurl's multi interface and the loop. It has a timer of its own, so that no bound of
// the loop's can leave an exchange without its end, and one event descriptor more: libcurl says
// only once when it wants to be called, so its timer is never set to anything else.
class Client::State : public std::enable_shared_from_this<Client::State> {
 public:
  explicit State(os::EpollLoop& loop) : loop_(loop), multi_(curl_multi_init()) {
    SEGUE_ASSERT(multi_ != nullptr);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { close(); }

  base::Result<void> open();
  void close();
  void add(const std::shared_ptr<Transfer>& transfer);
  void give_up(const std::shared_ptr<Transfer>& transfer);

 private:
  struct Entry {
    std::shared_ptr<Transfer> transfer;
    bool is_added = false;    // to libcurl
    int watched_source = -1;  // of its body
  };
  using Entries = std::list<Entry>;

  static int on_socket(CURL* curl, curl_socket_t fd, int what, void* self, void* nothing);
  static int on_timer(CURLM* multi, long milliseconds, void* self);

  Entries::iterator find(const Transfer* transfer);
  void watch_socket(CURL* curl, int fd, int what);
  void ring_in(base::Duration duration);
  void rang();
  void wake();
  void act(int fd, int events);
  void collect();
  void tell();
  void tell_one(const std::shared_ptr<Transfer>& transfer);
  void watch_source(Entry& entry);
  void unwatch_source(Entry& entry);
  Entries::iterator drop(Entries::iterator entry);

  os::EpollLoop& loop_;
  CURLM* multi_;
  os::UniqueFd timer_;     // libcurl's
  os::UniqueFd event_;     // ours
  std::set<int> sockets_;  // watched
  Entries entries_;
};

base::Result<void> Client::State::open() {
  timer_.reset(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer_) return base::fail(base::errno_error("make a timer", errno));
  SEGUE_TRY(loop_.watch(timer_.get(), EPOLLIN, [this](std::uint32_t) { rang(); }));
  event_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event_) return base::fail(base::errno_error("make an event", errno));
  SEGUE_TRY(loop_.watch(event_.get(), EPOLLIN, [this](std::uint32_t) {
    std::uint64_t count = 0;
    (void)!::read(event_.get(), &count, sizeof count);
    act(CURL_SOCKET_TIMEOUT, 0);
  }));
  curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, on_socket);
  curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, on_timer);
  curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
  return {};
}

void Client::State::close() {
  if (multi_ == nullptr) return;
  for (auto entry = entries_.begin(); entry != entries_.end();) entry = drop(entry);
  curl_multi_cleanup(std::exchange(multi_, nullptr));
  for (const int fd : sockets_) loop_.unwatch(fd);
  sockets_.clear();
  for (os::UniqueFd* fd : {&timer_, &event_}) {
    if (*fd) loop_.unwatch(fd->get());
    fd->reset();
  }
}

void Client::State::add(const std::shared_ptr<Transfer>& transfer) {
  if (entries_.size() >= kMaxExchanges) {
    transfer->refuse(Error(ErrorCode::resource_exhausted,
                           fmt::format("{} requests are under way already", kMaxExchanges)));
  }
  entries_.push_back({.transfer = transfer});
  wake();  // begins there, and not here
}

void Client::State::give_up(const std::shared_ptr<Transfer>& transfer) {
  if (const auto entry = find(transfer.get()); entry != entries_.end()) drop(entry);
}

Client::State::Entries::iterator Client::State::find(const Transfer* transfer) {
  return std::find_if(entries_.begin(), entries_.end(),
                      [&](const Entry& entry) { return entry.transfer.get() == transfer; });
}

Client::State::Entries::iterator Client::State::drop(Entries::iterator entry) {
  unwatch_source(*entry);
  if (entry->is_added) curl_multi_remove_handle(multi_, entry->transfer->handle());
  return entries_.erase(entry);
}

int Client::State::on_socket(CURL* curl, curl_socket_t fd, int what, void* self,
                             void* /*nothing*/) {
  static_cast<State*>(self)->watch_socket(curl, fd, what);
  return 0;
}

void Client::State::watch_socket(CURL* curl, int fd, int what) {
  const auto known = sockets_.find(fd);
  if (what == CURL_POLL_REMOVE) {
    if (known == sockets_.end()) return;
    loop_.unwatch(fd);
    sockets_.erase(known);
    return;
  }
  std::uint32_t events = 0;
  if (what == CURL_POLL_IN || what == CURL_POLL_INOUT) events |= EPOLLIN;
  if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT) events |= EPOLLOUT;
  auto watched = known != sockets_.end() ? loop_.change(fd, events)
                                         : loop_.watch(fd, events, [this, fd](std::uint32_t ready) {
                                             int acts = 0;
                                             if ((ready & EPOLLIN) != 0) acts |= CURL_CSELECT_IN;
                                             if ((ready & EPOLLOUT) != 0) acts |= CURL_CSELECT_OUT;
                                             if ((ready & (EPOLLERR | EPOLLHUP)) != 0) {
                                               acts |= CURL_CSELECT_IN;
                                             }
                                             act(fd, acts);
                                           });
  if (watched) {
    sockets_.insert(fd);
    return;
  }
  void* transfer = nullptr;
  curl_easy_getinfo(curl, CURLINFO_PRIVATE, &transfer);
  if (transfer != nullptr) static_cast<Transfer*>(transfer)->refuse(std::move(watched).error());
  wake();
}

int Client::State::on_timer(CURLM* /*multi*/, long milliseconds, void* self) {
  auto& state = *static_cast<State*>(self);
  if (milliseconds < 0) {
    const itimerspec never{};
    ::timerfd_settime(state.timer_.get(), 0, &never, nullptr);
  } else {
    state.ring_in(std::chrono::milliseconds(milliseconds));
  }
  return 0;
}

void Client::State::ring_in(base::Duration duration) {
  const auto wait = std::max(duration, base::Duration(1));  // 0 would never ring
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(wait);
  itimerspec once{};
  once.it_value.tv_sec = seconds.count();
  once.it_value.tv_nsec = (wait - seconds).count();
  ::timerfd_settime(timer_.get(), 0, &once, nullptr);
}

void Client::State::rang() {
  std::uint64_t rings = 0;
  if (::read(timer_.get(), &rings, sizeof rings) < 0) return;  // it has been set anew
  act(CURL_SOCKET_TIMEOUT, 0);
}

void Client::State::wake() {
  const std::uint64_t one = 1;
  (void)!::write(event_.get(), &one, sizeof one);  // full: it is awake
}

void Client::State::act(int fd, int events) {
  const auto self = shared_from_this();  // a handler may destroy the client
  for (Entry& entry : entries_) {
    if (entry.is_added || entry.transfer->is_finished()) continue;
    entry.is_added = curl_multi_add_handle(multi_, entry.transfer->handle()) == CURLM_OK;
    if (!entry.is_added) {
      entry.transfer->refuse(Error(ErrorCode::internal, "libcurl takes no more requests"));
    }
  }
  int running = 0;
  curl_multi_socket_action(multi_, fd, events, &running);
  collect();
  tell();
}

void Client::State::collect() {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    void* transfer = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    static_cast<Transfer*>(transfer)->finished(message->data.result);
  }
}

void Client::State::tell() {
  std::vector<std::shared_ptr<Transfer>> news;
  for (Entry& entry : entries_) {
    if (entry.transfer->has_news()) news.push_back(entry.transfer);
    watch_source(entry);
  }
  for (const auto& transfer : news) tell_one(transfer);
  // What a handler left undone: bytes that were held back, an error of its own.
  if (multi_ == nullptr) return;
  const bool more =
      std::ranges::any_of(entries_, [](const Entry& entry) { return entry.transfer->has_news(); });
  if (more) wake();
}

void Client::State::tell_one(const std::shared_ptr<Transfer>& transfer) {
  const auto is_wanted = [this, &transfer] { return find(transfer.get()) != entries_.end(); };
  if (!is_wanted() || !transfer->deliver(is_wanted) || !is_wanted()) return;
  auto outcome = transfer->outcome();
  drop(find(transfer.get()));
  if (transfer->handlers().on_end) transfer->handlers().on_end(std::move(outcome));
}

void Client::State::watch_source(Entry& entry) {
  const int source = entry.transfer->paused_source();
  if (source < 0 || entry.watched_source >= 0 || entry.transfer->is_finished()) return;
  auto watched = loop_.watch(source, EPOLLIN, [this, transfer = entry.transfer](std::uint32_t) {
    const auto found = find(transfer.get());
    SEGUE_ASSERT(found != entries_.end());
    unwatch_source(*found);
    transfer->resume();
    act(CURL_SOCKET_TIMEOUT, 0);
  });
  if (watched) {
    entry.watched_source = source;
  } else {
    entry.transfer->refuse(std::move(watched).error());
  }
}

void Client::State::unwatch_source(Entry& entry) {
  if (entry.watched_source >= 0) loop_.unwatch(std::exchange(entry.watched_source, -1));
}

namespace {

class RunningExchange final : public Exchange {
 public:
  explicit RunningExchange(std::function<void()> give_up) : give_up_(std::move(give_up)) {}
  ~RunningExchange() override { give_up_(); }

 private:
  std::function<void()> give_up_;
};

}  // namespace

base::Result<Client> Client::create(os::EpollLoop& loop) {
  static const CURLcode initialized = curl_global_init(CURL_GLOBAL_DEFAULT);
  SEGUE_ASSERT(initialized == CURLE_OK);
  auto state = std::make_shared<State>(loop);
  SEGUE_TRY(state->open());
  return Client(std::move(state));
}

Client::Client(std::shared_ptr<State> state) : state_(std::move(state)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&& other) noexcept {
  if (this == &other) return *this;
  if (state_) state_->close();
  state_ = std::move(other.state_);
  return *this;
}

Client::~Client() {
  if (state_) state_->close();
}

std::unique_ptr<Exchange> Client::start(Request request, Handlers handlers) {
  return add(std::make_shared<Transfer>(std::move(request), std::move(handlers)));
}

std::unique_ptr<Exchange> Client::refuse(Error error, Handlers handlers) {
  auto transfer = std::make_shared<Transfer>(Request{}, std::move(handlers));
  transfer->refuse(std::move(error));
  return add(std::move(transfer));
}

std::unique_ptr<Exchange> Client::add(std::shared_ptr<Transfer> transfer) {
  state_->add(transfer);
  return std::make_unique<RunningExchange>(
      [state = std::weak_ptr(state_), transfer = std::move(transfer)] {
        if (const auto alive = state.lock()) alive->give_up(transfer);
      });
}

}  // namespace segue::http
