// SPDX-License-Identifier: Apache-2.0
// A service whose clients share memory with it: a client sends numbers through a ring in an arena
// and gets sums back. Over a handoff the clients keep the arena, the eventfds and the connection;
// they do nothing, and notice nothing but another process number.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <segue/segue.hpp>
#include <string>

#include "ring.h"

namespace {

constexpr int kUsage = 2;
constexpr std::uint32_t kLaneTag = 1;
constexpr std::uint64_t kListenerEvent = UINT64_MAX;
constexpr std::uint64_t kHangUpBit = std::uint64_t{1} << 32U;

enum class Bell : std::uint8_t { requests, answers };

std::string bell_name(std::uint32_t lane, Bell bell) {
  return fmt::format("{}-{}", bell == Bell::requests ? "requests" : "answers", lane);
}

bool send_welcome(int socket, std::uint32_t lane, const std::array<int, 3>& fds) {
  ring::Welcome welcome{lane};
  iovec part{&welcome, sizeof welcome};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof fds)> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fds);
  std::memcpy(CMSG_DATA(header), fds.data(), sizeof fds);
  return sendmsg(socket, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof welcome);
}

class Server : public segue::Service, public segue::ConnectionSource {
 public:
  Server() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {}
  ~Server() override {
    instance_.reset();
    close(epoll_);
  }

  std::string start(const char* listen, const char* directory);
  void run();

 private:
  struct Client {
    segue::Connection conn;
    std::uint32_t lane = 0;
  };
  struct Bells {
    int requests = -1;
    int answers = -1;
  };

  bool listener(const char* name, int fd) override;
  bool descriptor(const char* name, int fd) override;
  bool freeze() override {
    serving_ = false;
    return true;
  }
  void resume(segue_resume_reason /*reason*/, bool /*released*/) override { serve(); }
  void activate(const segue_activation& activation) override;
  void terminate(segue_end_reason reason) override;
  bool encode(segue::Connection conn, segue::Writer& out) override;
  bool adopt(segue::Connection conn, int fd, const segue::Record& record) override;
  bool update(segue::Connection /*conn*/, const segue::Record& /*record*/) override { return true; }
  void drop(segue::Connection conn) override;

  static int check_lanes(void* user, const void* data, std::size_t used, char* why,
                         std::size_t size);
  [[nodiscard]] ring::Arena& arena() const {
    return *static_cast<ring::Arena*>(segue_arena_data(arena_));
  }
  void serve();
  void serve_some();
  void watch(int fd, std::uint64_t event) const;
  void accept_client();
  bool welcome(int fd, std::uint32_t lane);
  bool answer(std::uint32_t lane);
  void end(std::uint32_t lane);
  [[nodiscard]] std::optional<std::uint32_t> free_lane() const;

  std::unique_ptr<segue::Instance> instance_;
  segue::ConnectionClass class_;
  segue_arena* arena_ = nullptr;
  std::map<std::uint32_t, std::unique_ptr<Client>> clients_;  // by lane
  std::map<std::uint32_t, Bells> bells_;
  int epoll_;
  int listener_ = -1;
  bool serving_ = false;
  bool ended_ = false;
};

std::string Server::start(const char* listen, const char* directory) {
  segue_options options{};
  options.service = "ring";
  options.version = "1";
  options.directory = directory;
  options.probation_ms = 20;
  options.budget_us = 500'000;  // the lanes hold what clients ask meanwhile
  instance_ = std::make_unique<segue::Instance>(options, *this);
  if (!instance_->valid()) return instance_->error();
  class_ = instance_->connections("clients", segue::FormSpec{"ring.client", 1}, *this);
  arena_ = segue_arena_open(instance_->handle(), "lanes", 1, sizeof(ring::Arena));
  if (!class_.valid() || arena_ == nullptr) return instance_->error();
  segue_arena_set_check(arena_, check_lanes, this);
  if (instance_->listen("main", listen) != SEGUE_OK || instance_->start() != SEGUE_OK) {
    return instance_->error();
  }
  return {};
}

void Server::run() {
  while (!ended_) {
    std::array<pollfd, 2> fds{{{instance_->fd(), POLLIN, 0}, {epoll_, POLLIN, 0}}};
    if (poll(fds.data(), serving_ ? 2 : 1, -1) < 0) continue;
    if (serving_ && fds[1].revents != 0) serve_some();
    if (fds[0].revents != 0) instance_->dispatch();
  }
}

// ---- What the library tells ------------------------------------------------------------------

bool Server::listener(const char* /*name*/, int fd) {
  listener_ = fd;
  if (fd >= 0) watch(fd, kListenerEvent);
  return fd < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) == 0;
}

// A predecessor's eventfd has come, or is not there any more.
bool Server::descriptor(const char* name, int fd) {
  const std::string_view text(name);
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return false;
  const auto lane = static_cast<std::uint32_t>(std::strtoul(name + dash + 1, nullptr, 10));
  if (lane >= ring::kLanes) return false;
  Bells& bells = bells_[lane];
  if (text.starts_with("answers")) {
    bells.answers = fd;
    return true;
  }
  if (fd < 0) epoll_ctl(epoll_, EPOLL_CTL_DEL, bells.requests, nullptr);
  if (fd >= 0) watch(fd, lane);
  bells.requests = fd;
  return true;
}

void Server::activate(const segue_activation& activation) {
  if (activation.first == 1) segue_arena_set_used(arena_, sizeof(ring::Arena));
  fmt::print(stderr, "ring: event=activated pid={} blackout_us={} clients={}\n", getpid(),
             activation.blackout_ns / 1000, clients_.size());
  serve();
}

void Server::terminate(segue_end_reason reason) {
  ended_ = true;
  if (reason == SEGUE_END_REFUSED) fmt::print(stderr, "ring: {}\n", instance_->error());
}

bool Server::encode(segue::Connection conn, segue::Writer& out) {
  out.number(kLaneTag, conn.data<Client>()->lane);
  return true;
}

bool Server::adopt(segue::Connection conn, int fd, const segue::Record& record) {
  const auto lane = static_cast<std::uint32_t>(record.number(kLaneTag, ring::kLanes));
  if (lane >= ring::kLanes || clients_.contains(lane)) return false;
  auto client = std::make_unique<Client>(Client{conn, lane});
  conn.set_data(client.get());
  clients_[lane] = std::move(client);
  watch(fd, lane | kHangUpBit);
  return true;
}

void Server::drop(segue::Connection conn) {
  epoll_ctl(epoll_, EPOLL_CTL_DEL, conn.fd(), nullptr);
  clients_.erase(conn.data<Client>()->lane);
}

// In the blackout, when the predecessor touches nothing any more. Clients may write at any time,
// but never what belongs to the server.
int Server::check_lanes(void* /*user*/, const void* data, std::size_t used, char* why,
                        std::size_t size) {
  if (used != sizeof(ring::Arena)) return SEGUE_INVALID;
  const auto& arena = *static_cast<const ring::Arena*>(data);
  for (std::uint32_t i = 0; i < ring::kLanes; ++i) {
    const ring::Lane& lane = arena.lanes[i];
    if (lane.answers_end == lane.requests_begin) continue;
    snprintf(why, size, "lane %u has %llu answers to %llu requests", i,
             static_cast<unsigned long long>(lane.answers_end.load()),
             static_cast<unsigned long long>(lane.requests_begin.load()));
    return SEGUE_INVALID;
  }
  return SEGUE_OK;
}

// ---- Serving ---------------------------------------------------------------------------------

void Server::serve() {
  serving_ = true;
}

void Server::watch(int fd, std::uint64_t event) const {
  epoll_event wanted{};
  wanted.events = EPOLLIN;
  wanted.data.u64 = event;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &wanted);
}

void Server::serve_some() {
  std::array<epoll_event, 64> events{};
  const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 0);
  for (int i = 0; i < count; ++i) {
    const std::uint64_t event = events.at(static_cast<std::size_t>(i)).data.u64;
    if (event == kListenerEvent) {
      accept_client();
      continue;
    }
    const auto lane = static_cast<std::uint32_t>(event);
    if (!clients_.contains(lane)) continue;
    // Clients send nothing over the socket: it is readable at its end.
    const bool ended = (event & kHangUpBit) != 0;
    if (ended || !answer(lane)) end(lane);
  }
}

std::optional<std::uint32_t> Server::free_lane() const {
  for (std::uint32_t lane = 0; lane < ring::kLanes; ++lane) {
    if (!clients_.contains(lane)) return lane;
  }
  return std::nullopt;
}

void Server::accept_client() {
  const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return;
  const auto lane = free_lane();
  if (!lane || !welcome(fd, *lane)) {
    close(fd);
    return;
  }
  auto client = std::make_unique<Client>(Client{{}, *lane});
  client->conn = class_.add(fd, client.get());
  watch(fd, *lane | kHangUpBit);
  clients_[*lane] = std::move(client);
}

bool Server::welcome(int fd, std::uint32_t lane) {
  ring::Lane& shared = arena().lanes[lane];
  std::memset(static_cast<void*>(&shared), 0, sizeof shared);
  Bells bells;
  bells.requests = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  bells.answers = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (bells.requests < 0 || bells.answers < 0) return false;
  // The library owns them from here on, and passes them to the next version.
  instance_->put_fd(bell_name(lane, Bell::requests).c_str(), bells.requests);
  instance_->put_fd(bell_name(lane, Bell::answers).c_str(), bells.answers);
  bells_[lane] = bells;
  watch(bells.requests, lane);
  return send_welcome(fd, lane, {segue_arena_fd(arena_), bells.requests, bells.answers});
}

// Answers what is there. False if the client has broken its ring.
bool Server::answer(std::uint32_t number) {
  ring::Lane& lane = arena().lanes[number];
  const Bells& bells = bells_[number];
  std::uint64_t rung = 0;
  if (read(bells.requests, &rung, sizeof rung) < 0) rung = 0;
  const std::uint64_t end = lane.requests_end.load(std::memory_order_acquire);
  std::uint64_t at = lane.requests_begin.load(std::memory_order_relaxed);
  const std::uint64_t taken = lane.answers_begin.load(std::memory_order_acquire);
  // The client keeps room for the answers; memory that it shares is not to be trusted.
  if (end - at > ring::kSlots || end - taken > ring::kSlots) return false;
  for (; at != end; ++at) {
    const std::uint64_t request = lane.requests[at % ring::kSlots];
    lane.sum += request;
    lane.answers[at % ring::kSlots] = {request, lane.sum, static_cast<std::uint64_t>(getpid())};
    lane.answers_end.store(at + 1, std::memory_order_release);
    lane.requests_begin.store(at + 1, std::memory_order_release);
  }
  const std::uint64_t one = 1;
  return write(bells.answers, &one, sizeof one) == sizeof one;
}

void Server::end(std::uint32_t lane) {
  const auto found = clients_.find(lane);
  segue::Connection conn = found->second->conn;
  epoll_ctl(epoll_, EPOLL_CTL_DEL, conn.fd(), nullptr);
  epoll_ctl(epoll_, EPOLL_CTL_DEL, bells_[lane].requests, nullptr);
  conn.close();
  segue_fd_take_back(instance_->handle(), bell_name(lane, Bell::requests).c_str());
  segue_fd_take_back(instance_->handle(), bell_name(lane, Bell::answers).c_str());
  bells_.erase(lane);
  clients_.erase(found);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "usage: ring-server unix:PATH DIRECTORY\n");
    return kUsage;
  }
  Server server;
  if (const std::string why = server.start(argv[1], argv[2]); !why.empty()) {
    fmt::print(stderr, "ring: cannot start: {}\n", why);
    return 1;
  }
  server.run();
  return 0;
}
