// SPDX-License-Identifier: Apache-2.0
// Sends 1, 2, 3 … through the ring until SIGTERM, and checks that every answer comes once and in
// order, with the right sum. It knows nothing of handoffs.
#include <fmt/format.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>

#include "ring.h"

namespace {

constexpr int kUsage = 2;
constexpr int kPatienceMs = 10'000;

[[noreturn]] void die(const std::string& what) {
  fmt::print(stderr, "ring-client: {}\n", what);
  exit(1);
}

int connect_to(const char* path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    die(fmt::format("cannot connect to {}: {}", path, strerror(errno)));
  }
  return fd;
}

struct Joined {
  std::uint32_t lane = 0;
  std::array<int, 3> fds{};  // arena, bell for requests, bell of answers
};

Joined join(int socket) {
  Joined joined;
  ring::Welcome welcome{};
  iovec part{&welcome, sizeof welcome};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof joined.fds)> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (got != static_cast<ssize_t>(sizeof welcome) || header == nullptr ||
      header->cmsg_len != CMSG_LEN(sizeof joined.fds) || welcome.lane >= ring::kLanes) {
    die("the server did not say welcome");
  }
  std::memcpy(joined.fds.data(), CMSG_DATA(header), sizeof joined.fds);
  joined.lane = welcome.lane;
  return joined;
}

class Client {
 public:
  Client(int socket, const Joined& joined, int stop)
      : socket_(socket), requests_bell_(joined.fds[1]), answers_bell_(joined.fds[2]), stop_(stop) {
    void* memory =
        mmap(nullptr, sizeof(ring::Arena), PROT_READ | PROT_WRITE, MAP_SHARED, joined.fds[0], 0);
    if (memory == MAP_FAILED) die("the arena cannot be mapped");
    lane_ = &static_cast<ring::Arena*>(memory)->lanes[joined.lane];
  }

  void run() {
    constexpr std::uint64_t kTurnsBetweenLooks = 1024;
    std::uint64_t turns = 0;
    while (!stopped_ || received_ < sent_) {
      const bool sent = !stopped_ && send_some();
      const bool received = receive_some();
      // Now and then also where there is always something to do: SIGTERM has to be seen.
      if (++turns % kTurnsBetweenLooks == 0) {
        look(0);
        continue;
      }
      if (!sent && !received && look(kPatienceMs) == 0) {
        die(fmt::format("no answer to request {}", received_ + 1));
      }
    }
    fmt::print("answers={} servers={} sum={}\n", received_, servers_, sum_);
  }

 private:
  bool send_some() {
    const std::uint64_t before = sent_;
    while (sent_ - received_ < ring::kSlots) {
      lane_->requests[sent_ % ring::kSlots] = sent_ + 1;
      ++sent_;
    }
    if (sent_ == before) return false;
    lane_->requests_end.store(sent_, std::memory_order_release);
    const std::uint64_t one = 1;
    if (write(requests_bell_, &one, sizeof one) != sizeof one) die("the bell cannot be rung");
    return true;
  }

  bool receive_some() {
    const std::uint64_t end = lane_->answers_end.load(std::memory_order_acquire);
    if (end == received_) return false;
    for (; received_ != end; ++received_) check(lane_->answers[received_ % ring::kSlots]);
    lane_->answers_begin.store(received_, std::memory_order_release);
    return true;
  }

  void check(const ring::Answer& answer) {
    const std::uint64_t expected = received_ + 1;
    sum_ += expected;
    if (answer.request != expected || answer.sum != sum_) {
      die(fmt::format("answer {} is to request {} with sum {}, not {} with {}", received_,
                      answer.request, answer.sum, expected, sum_));
    }
    if (answer.server_pid == server_pid_) return;
    server_pid_ = answer.server_pid;
    ++servers_;
    fmt::print(stderr, "ring-client: server={} from={}\n", server_pid_, expected);
  }

  // How many descriptors had something to say within the time.
  int look(int timeout_ms) {
    std::array<pollfd, 3> fds{
        {{answers_bell_, POLLIN, 0}, {socket_, POLLIN, 0}, {stop_, POLLIN, 0}}};
    const int ready = poll(fds.data(), stopped_ ? 2 : 3, timeout_ms);
    if (ready <= 0) return ready;
    if (fds[1].revents != 0) die("the server closed the connection");
    if (fds[2].revents != 0) stopped_ = true;
    std::uint64_t rung = 0;
    if (fds[0].revents != 0 && read(answers_bell_, &rung, sizeof rung) < 0) die("no bell");
    return ready;
  }

  int socket_;
  int requests_bell_;
  int answers_bell_;
  int stop_;
  ring::Lane* lane_ = nullptr;
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
  std::uint64_t sum_ = 0;
  std::uint64_t server_pid_ = 0;
  std::uint64_t servers_ = 0;
  bool stopped_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: ring-client PATH\n");
    return kUsage;
  }
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigprocmask(SIG_BLOCK, &stop, nullptr);
  const int socket = connect_to(argv[1]);
  Client client(socket, join(socket), signalfd(-1, &stop, SFD_CLOEXEC));
  client.run();
  return 0;
}
