// SPDX-License-Identifier: Apache-2.0
#include "keeper/contract/processes.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>

#include "keeper/contract/fd_store.h"
#include "keeper/contract/listen_sockets.h"
#include "os/clock.h"
#include "os/process.h"
#include "os/temp_directory.h"

namespace segue::keeper {
namespace {

using os::UniqueFd;

// A free port, as far as anybody can know.
std::uint16_t free_port() {
  const UniqueFd probe(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(::bind(probe.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::getsockname(probe.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  return ntohs(address.sin_port);
}

class Listening : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = open_listen_socket(
        {"web", control::Listen::Kind::tcp, "127.0.0.1", static_cast<std::uint16_t>(port)}, {});
    ASSERT_TRUE(opened) << opened.error().message();
    listener = *std::move(opened);
  }
  [[nodiscard]] UniqueFd connect() const {
    UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    EXPECT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return client;
  }
  [[nodiscard]] UniqueFd accept() const {
    return UniqueFd(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  [[nodiscard]] Established found(const std::set<ino_t>& stored = {}) const {
    const std::vector<pid_t> family = {::getpid()};
    return established(family, {.ports = {port}, .paths = {}}, stored);
  }

  std::uint16_t port = free_port();
  ListenSocket listener;
};

TEST_F(Listening, an_address_in_use_is_refused_by_name) {
  const auto again =
      open_listen_socket({"other", control::Listen::Kind::tcp, "127.0.0.1", port}, {});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), base::ErrorCode::already_exists);
  EXPECT_NE(again.error().message().find("other=tcp:127.0.0.1"), std::string::npos);
}

TEST_F(Listening, nobody_waits_in_accept_on_a_socket_made_nonblocking) {
  const UniqueFd of_somebody_else(::dup(listener.fd.get()));
  ASSERT_TRUE(make_nonblocking(listener));
  EXPECT_EQ(::accept4(of_somebody_else.get(), nullptr, nullptr, SOCK_CLOEXEC), -1);
  EXPECT_EQ(errno, EAGAIN);
}

TEST_F(Listening, a_process_accepts_when_its_epoll_set_has_the_socket) {
  const std::vector<pid_t> family = {::getpid()};
  EXPECT_FALSE(accepts_on(family, {listener.inode}));
  const UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{.events = EPOLLIN, .data = {}};
  ASSERT_EQ(::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, listener.fd.get(), &event), 0);
  EXPECT_TRUE(accepts_on(family, {listener.inode}));
  EXPECT_FALSE(accepts_on(family, {listener.inode, 1})) << "every one of them";
}

TEST_F(Listening, accepted_connections_are_counted_and_can_be_cut) {
  EXPECT_TRUE(found().own.empty());
  const UniqueFd client = connect();
  EXPECT_TRUE(found().own.empty()) << "it waits in the backlog and is nobody's";
  const UniqueFd server = accept();
  const UniqueFd second_client = connect();
  const UniqueFd second = accept();
  const Established both = found();
  ASSERT_EQ(both.own.size(), 2U);
  EXPECT_EQ(cut(both.own, 1), 1U);
  char byte = 0;
  const UniqueFd& ended = both.own.front().fd == server.get() ? client : second_client;
  EXPECT_EQ(::recv(ended.get(), &byte, 1, 0), 0) << "the client sees an orderly end";
  EXPECT_EQ(found().own.size(), 1U);
}

TEST_F(Listening, stored_connections_are_not_lost_with_the_process) {
  const os::SystemClock clock;
  auto loop = os::EpollLoop::create(clock);
  ASSERT_TRUE(loop);
  FdStore store(*loop, 1);
  const UniqueFd client = connect();
  const UniqueFd server = accept();
  const UniqueFd second_client = connect();
  const UniqueFd second = accept();
  EXPECT_EQ(store.add("c1", UniqueFd(::dup(server.get())), true), FdStore::Added::kept);
  EXPECT_EQ(store.add("c1", UniqueFd(::dup(server.get())), true), FdStore::Added::known_already);
  EXPECT_EQ(store.add("c2", UniqueFd(::dup(second.get())), true), FdStore::Added::full);
  const Established now = found(store.socket_inodes());
  EXPECT_EQ(now.stored, 1U);
  EXPECT_EQ(now.own.size(), 1U);
  EXPECT_EQ(store.remove("c2"), 0U);
  EXPECT_EQ(store.remove("c1"), 1U);
}

TEST(FdStore, forgets_what_hangs_up_unless_it_is_told_not_to_look) {
  const os::SystemClock clock;
  auto loop = os::EpollLoop::create(clock);
  ASSERT_TRUE(loop);
  FdStore store(*loop, 4);
  int watched[2];
  int kept[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, watched), 0);
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, kept), 0);
  store.add("watched", UniqueFd(watched[0]), true);
  store.add("kept", UniqueFd(kept[0]), false);
  ::close(watched[1]);
  ::close(kept[1]);
  ASSERT_TRUE(loop->run_once(std::chrono::seconds(5)));
  ASSERT_EQ(store.entries().size(), 1U);
  EXPECT_EQ(store.entries().front().name, "kept");
}

TEST(Processes, a_process_belongs_to_its_nearest_known_ancestor_or_group) {
  const auto child = os::spawn({.argv = {"/bin/sh", "-c", "sleep 60 & wait"}, .env = {}});
  ASSERT_TRUE(child);
  std::vector<pid_t> family;
  for (int i = 0; i < 10'000 && family.size() < 2; ++i) {
    family = ProcessTable::read().family(child->pid);
  }
  ASSERT_EQ(family.size(), 2U);
  EXPECT_EQ(family.front(), child->pid);
  EXPECT_EQ(nearest(family.back(), {child->pid}), child->pid);
  EXPECT_EQ(nearest(family.back(), {::getpid()}), ::getpid());
  EXPECT_EQ(nearest(::getppid(), {child->pid}), 0);
  ::kill(-child->pid, SIGKILL);
  ASSERT_TRUE(os::wait_for_exit(child->pidfd, std::chrono::seconds(20)));
}

}  // namespace
}  // namespace segue::keeper
