// SPDX-License-Identifier: Apache-2.0
// One real connection at a time: what an image carries, and what is refused.
#include "tcp/connection.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lab_test.h"
#include "os/network_namespace.h"
#include "tcp/image_codec.h"
#include "tcp/restored_connection.h"

namespace segue::example {
namespace {

using base::ErrorCode;

tcp_info info_of(int fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  EXPECT_EQ(::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
  return info;
}

int queued(int fd, unsigned long request) {
  int bytes = -1;
  EXPECT_EQ(::ioctl(fd, request, &bytes), 0);
  return bytes;
}

class ConnectionTest : public LabTest {
 protected:
  tcp::ConnectionImage dumped(int fd) {
    const auto window = tcp::congestion_window_segments(fd);
    EXPECT_TRUE(window);
    EXPECT_TRUE(lab_->block(0));
    auto image = tcp::dump(fd, window.value_or(0));
    EXPECT_TRUE(image) << image.error().to_string();
    return *std::move(image);
  }

  // The whole way, through the bytes of an image.
  os::UniqueFd moved(const os::UniqueFd& original, tcp::RestoreOptions options = {}) {
    const auto bytes = tcp::encode(dumped(original.get()));
    EXPECT_TRUE(bytes);
    EXPECT_TRUE(tcp::discard(original.get()));
    EXPECT_TRUE(lab_->hooks(0, 1).hand_over_address());
    auto image = tcp::decode(*bytes);
    EXPECT_TRUE(image) << image.error().to_string();
    auto inside = os::InNetworkNamespace::enter(lab_->place(1));
    auto restored = tcp::RestoredConnection::restore(*image, options);
    EXPECT_TRUE(restored) << restored.error().to_string();
    EXPECT_TRUE(lab_->open(1));
    const auto left = restored->leave();
    EXPECT_TRUE(left) << left.error().to_string();
    return restored->release();
  }

  void expect_to_go_on(int client, int server) {
    for (const auto& [from, to] : {std::pair{client, server}, std::pair{server, client}}) {
      const std::string message = numbered(77, 100'000);
      std::string arrived;
      std::thread sender([&] { EXPECT_TRUE(send_all(clock_, from, message)); });
      arrived = receive_exactly(clock_, to, message.size());
      sender.join();
      EXPECT_TRUE(arrived == message) << arrived.size() << " bytes came";
    }
  }
};

TEST_F(ConnectionTest, goes_on_elsewhere_over_ipv4_ipv6_and_mapped_addresses) {
  for (const Kind kind : {Kind::ipv4, Kind::ipv6, Kind::mapped}) {
    SCOPED_TRACE(static_cast<int>(kind));
    auto lab = NetworkLab::make();
    ASSERT_TRUE(lab);
    *lab_ = std::move(*lab);
    ConnectedPair pair = connect(kind);
    const os::UniqueFd server = moved(pair.server);
    expect_to_go_on(pair.client.get(), server.get());
  }
}

TEST_F(ConnectionTest, unread_input_is_read_after_the_move) {
  ConnectedPair pair = connect();
  const std::string input = numbered(1, 60'000);
  ASSERT_TRUE(send_all(clock_, pair.client.get(), input));
  ASSERT_TRUE(wait_until(clock_, kDeadline, [&] {
    return queued(pair.server.get(), SIOCINQ) == static_cast<int>(input.size());
  }));
  const os::UniqueFd server = moved(pair.server);
  EXPECT_EQ(queued(server.get(), SIOCINQ), static_cast<int>(input.size()));
  EXPECT_TRUE(receive_exactly(clock_, server.get(), input.size()) == input);
  expect_to_go_on(pair.client.get(), server.get());
}

TEST_F(ConnectionTest, a_full_send_buffer_arrives_after_the_move) {
  ConnectedPair pair = connect();
  // Until it stays full: the peer's window is shut, so most of it was never sent.
  std::string output;
  ASSERT_TRUE(wait_until(clock_, kDeadline, [&] {
    std::string piece(4096, '\0');
    fill(2, output.size(), piece);
    const ssize_t taken =
        ::send(pair.server.get(), piece.data(), piece.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (taken > 0) output.append(piece, 0, static_cast<std::size_t>(taken));
    return taken < 0 && queued(pair.server.get(), SIOCOUTQNSD) > 100'000;
  }));
  const os::UniqueFd server = moved(pair.server);
  const std::string arrived = receive_exactly(clock_, pair.client.get(), output.size());
  EXPECT_TRUE(arrived == output) << arrived.size() << " of " << output.size() << " bytes came";
  expect_to_go_on(pair.client.get(), server.get());
}

TEST_F(ConnectionTest, unsent_bytes_that_find_no_room_are_counted_and_follow_later) {
  ConnectedPair pair = connect();
  tcp::ConnectionImage image = dumped(pair.server.get());
  ASSERT_TRUE(tcp::discard(pair.server.get()));
  image.unsent = numbered(4, 500'000);
  image.send_sequence += 500'000;
  auto inside = os::InNetworkNamespace::enter(lab_->place(0));
  auto restored = tcp::RestoredConnection::restore(image, {});
  ASSERT_TRUE(restored) << restored.error().to_string();
  const int tiny = 1;
  ASSERT_EQ(::setsockopt(restored->fd(), SOL_SOCKET, SO_SNDBUF, &tiny, sizeof tiny), 0);
  ASSERT_TRUE(lab_->open(0));
  const auto full = restored->leave();
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code(), ErrorCode::unavailable) << full.error().to_string();
  EXPECT_GT(restored->not_queued_bytes(), 0U);

  std::string arrived;
  std::thread reader(
      [&] { arrived = receive_exactly(clock_, pair.client.get(), image.unsent.size()); });
  EXPECT_TRUE(wait_until(clock_, kDeadline, [&] { return restored->leave().has_value(); }));
  reader.join();
  EXPECT_EQ(restored->not_queued_bytes(), 0U);
  EXPECT_TRUE(arrived == image.unsent) << arrived.size() << " bytes came";
}

TEST_F(ConnectionTest, what_was_in_flight_and_lost_arrives_after_the_move) {
  ConnectedPair pair = connect();
  const std::string output = numbered(3, 20'000);
  ASSERT_TRUE(lab_->block(0));
  ASSERT_TRUE(send_all(clock_, pair.server.get(), std::string_view(output).substr(0, 10'000)));
  ASSERT_TRUE(send_all(clock_, pair.client.get(), "lost upstream"));
  ASSERT_GT(queued(pair.server.get(), SIOCOUTQ) - queued(pair.server.get(), SIOCOUTQNSD), 0);
  const os::UniqueFd server = moved(pair.server);
  ASSERT_TRUE(send_all(clock_, server.get(), std::string_view(output).substr(10'000)));
  EXPECT_TRUE(receive_exactly(clock_, pair.client.get(), output.size()) == output);
  EXPECT_EQ(receive_exactly(clock_, server.get(), 13), "lost upstream");
}

TEST_F(ConnectionTest, negotiated_options_are_the_same_after_the_move) {
  for (const std::string off : {"", "tcp_window_scaling", "tcp_timestamps", "tcp_sack"}) {
    SCOPED_TRACE("without " + off);
    auto lab = NetworkLab::make();
    ASSERT_TRUE(lab);
    *lab_ = std::move(*lab);
    if (!off.empty()) {
      ASSERT_TRUE(lab_->run(lab_->clients(), "echo 0 > /proc/sys/net/ipv4/" + off));
    }
    ConnectedPair pair = connect();
    const tcp_info before = info_of(pair.server.get());
    const os::UniqueFd server = moved(pair.server);
    const tcp_info after = info_of(server.get());
    EXPECT_EQ(after.tcpi_options, before.tcpi_options);
    EXPECT_EQ(after.tcpi_snd_wscale, before.tcpi_snd_wscale);
    EXPECT_EQ(after.tcpi_rcv_wscale, before.tcpi_rcv_wscale);
    // Without timestamps the kernel takes their 12 bytes off here, and adds them when it sends.
    EXPECT_GE(after.tcpi_snd_mss + 12, before.tcpi_snd_mss);
    expect_to_go_on(pair.client.get(), server.get());
  }
}

TEST_F(ConnectionTest, socket_options_move_and_resuming_keeps_them_too) {
  ConnectedPair pair = connect();
  const struct {
    int level, name, value;
  } options[] = {{SOL_SOCKET, SO_REUSEADDR, 1},
                 {SOL_SOCKET, SO_KEEPALIVE, 1},
                 {IPPROTO_TCP, TCP_NODELAY, 1},
                 {IPPROTO_TCP, TCP_KEEPIDLE, 33},
                 {IPPROTO_TCP, TCP_KEEPINTVL, 7},
                 {IPPROTO_TCP, TCP_USER_TIMEOUT, 90'000},
                 {IPPROTO_TCP, TCP_NOTSENT_LOWAT, 20'000},
                 {IPPROTO_IP, IP_TOS, 0x10}};
  const auto expect_options = [&](int fd) {
    for (const auto& option : options) {
      int value = -1;
      socklen_t size = sizeof value;
      ASSERT_EQ(::getsockopt(fd, option.level, option.name, &value, &size), 0);
      EXPECT_EQ(value, option.value) << option.level << "/" << option.name;
    }
  };
  for (const auto& option : options) {
    ASSERT_EQ(
        ::setsockopt(pair.server.get(), option.level, option.name, &option.value, sizeof(int)), 0);
  }
  const tcp::ConnectionImage image = dumped(pair.server.get());
  ASSERT_TRUE(lab_->open(0));
  ASSERT_TRUE(tcp::resume(pair.server.get(), image));
  expect_options(pair.server.get());
  expect_to_go_on(pair.client.get(), pair.server.get());
  const os::UniqueFd server = moved(pair.server);
  expect_options(server.get());
  expect_to_go_on(pair.client.get(), server.get());
}

TEST_F(ConnectionTest, the_congestion_window_moves_with_a_bpf_program) {
  auto initial_window = tcp::InitialWindow::attach();
  if (!initial_window) {
    GTEST_SKIP() << "NOT TESTED: " << initial_window.error().to_string();
  }
  ConnectedPair pair = connect();
  expect_to_go_on(pair.client.get(), pair.server.get());
  for (const std::uint32_t segments : {1U, 3U, 41U, 174U, 1000U}) {
    SCOPED_TRACE(segments);
    ConnectedPair fresh = connect();
    tcp::ConnectionImage image = dumped(fresh.server.get());
    image.congestion_window_segments = segments;
    ASSERT_TRUE(tcp::discard(fresh.server.get()));
    auto inside = os::InNetworkNamespace::enter(lab_->place(0));
    auto restored = tcp::RestoredConnection::restore(image, {.initial_window = &*initial_window});
    ASSERT_TRUE(restored) << restored.error().to_string();
    EXPECT_EQ(info_of(restored->fd()).tcpi_snd_cwnd, segments);
    ASSERT_TRUE(lab_->open(0));
    ASSERT_TRUE(restored->leave());
    expect_to_go_on(fresh.client.get(), restored->fd());
  }
}

TEST_F(ConnectionTest, the_congestion_window_may_come_from_the_route) {
  ConnectedPair pair = connect();
  const tcp::ConnectionImage image = dumped(pair.server.get());
  ASSERT_TRUE(tcp::discard(pair.server.get()));
  ASSERT_TRUE(lab_->run(lab_->place(0),
                        "ip route replace 10.77.0.0/24 dev eth0 src 10.77.0.1 initcwnd 33"));
  auto inside = os::InNetworkNamespace::enter(lab_->place(0));
  auto restored = tcp::RestoredConnection::restore(image, {});
  ASSERT_TRUE(restored) << restored.error().to_string();
  EXPECT_EQ(info_of(restored->fd()).tcpi_snd_cwnd, 33U);
}

TEST_F(ConnectionTest, other_states_and_sockets_are_refused_by_name) {
  const auto refusal = [](int fd) {
    const auto refused = tcp::dump(fd, 10);
    EXPECT_FALSE(refused);
    return refused ? std::string() : refused.error().to_string();
  };
  const auto expect_word = [](const std::string& text, const std::string& word) {
    EXPECT_NE(text.find(word), std::string::npos) << text;
  };
  os::UniqueFd socket(::socket(AF_INET, SOCK_STREAM, 0));
  expect_word(refusal(socket.get()), "not connected");
  ASSERT_EQ(::listen(socket.get(), 1), 0);
  expect_word(refusal(socket.get()), "listens");
  socket.reset(::socket(AF_INET, SOCK_DGRAM, 0));
  expect_word(refusal(socket.get()), "no TCP socket");
  socket.reset(::socket(AF_UNIX, SOCK_STREAM, 0));
  expect_word(refusal(socket.get()), "no socket of IPv4 or IPv6");
  socket.reset();
  expect_word(refusal(socket.get()), "SO_DOMAIN");

  ConnectedPair pair = connect();
  ASSERT_EQ(::shutdown(pair.client.get(), SHUT_WR), 0);
  ASSERT_TRUE(
      wait_until(clock_, kDeadline, [&] { return info_of(pair.server.get()).tcpi_state == 8; }));
  expect_word(refusal(pair.server.get()), "CLOSE_WAIT");
  ASSERT_TRUE(
      wait_until(clock_, kDeadline, [&] { return info_of(pair.client.get()).tcpi_state == 5; }));
  expect_word(refusal(pair.client.get()), "FIN_WAIT2");
  ASSERT_TRUE(send_all(clock_, pair.server.get(), "still works"));
  EXPECT_EQ(receive_exactly(clock_, pair.client.get(), 11), "still works");

  pair = connect();
  ASSERT_EQ(::setsockopt(pair.server.get(), SOL_SOCKET, SO_BINDTODEVICE, "eth0", 4), 0);
  expect_word(refusal(pair.server.get()), "eth0");
  expect_to_go_on(pair.client.get(), pair.server.get());
}

TEST_F(ConnectionTest, a_handshake_is_refused_by_name) {
  ASSERT_TRUE(lab_->block(0));
  auto inside = os::InNetworkNamespace::enter(lab_->clients());
  const os::UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  sockaddr_in nobody{};
  nobody.sin_family = AF_INET;
  nobody.sin_port = htons(7);
  nobody.sin_addr.s_addr = htonl(0x0a4d0001);
  ASSERT_EQ(::connect(socket.get(), reinterpret_cast<sockaddr*>(&nobody), sizeof nobody), -1);
  const auto refused = tcp::check_movable(socket.get());
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message().find("SYN_SENT"), std::string::npos);
}

// Of this thread only.
void set_net_admin(bool on) {
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[2]{};
  ASSERT_EQ(::syscall(SYS_capget, &header, data), 0);
  constexpr std::uint32_t kBit = 1U << CAP_NET_ADMIN;
  data[0].effective = on ? data[0].effective | kBit : data[0].effective & ~kBit;
  ASSERT_EQ(::syscall(SYS_capset, &header, data), 0);
}

TEST_F(ConnectionTest, a_dump_without_the_capability_changes_nothing) {
  ConnectedPair pair = connect();
  set_net_admin(false);
  const auto refused = tcp::dump(pair.server.get(), 10);
  set_net_admin(true);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::permission_denied);
  EXPECT_NE(refused.error().to_string().find("CAP_NET_ADMIN"), std::string::npos);
  expect_to_go_on(pair.client.get(), pair.server.get());
}

TEST_F(ConnectionTest, only_what_was_dumped_is_discarded) {
  ConnectedPair pair = connect();
  const auto refused = tcp::discard(pair.server.get());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::failed_precondition);
  expect_to_go_on(pair.client.get(), pair.server.get());
}

TEST_F(ConnectionTest, a_discarded_connection_is_silent_for_the_peer_and_over_for_its_holders) {
  ConnectedPair pair = connect();
  const os::UniqueFd other(::dup(pair.server.get()));
  (void)dumped(pair.server.get());
  ASSERT_TRUE(lab_->open(0));
  ASSERT_TRUE(tcp::discard(pair.server.get()));
  char byte = 0;
  EXPECT_EQ(::recv(other.get(), &byte, 1, MSG_DONTWAIT), -1);
  EXPECT_EQ(errno, ECONNABORTED);
  // Whatever was said to the peer has arrived when a later connection's bytes have.
  ConnectedPair later = connect();
  expect_to_go_on(later.client.get(), later.server.get());
  EXPECT_EQ(::recv(pair.client.get(), &byte, 1, MSG_DONTWAIT), -1);
  EXPECT_EQ(errno, EAGAIN);
}

TEST_F(ConnectionTest, a_restore_that_cannot_be_leaves_the_original_usable) {
  ConnectedPair pair = connect();
  ASSERT_TRUE(send_all(clock_, pair.client.get(), "before"));
  const tcp::ConnectionImage image = dumped(pair.server.get());
  {
    auto inside = os::InNetworkNamespace::enter(lab_->place(0));
    const auto twice = tcp::RestoredConnection::restore(image, {});
    ASSERT_FALSE(twice);
    EXPECT_EQ(twice.error().code(), ErrorCode::already_exists) << twice.error().to_string();
  }
  {
    auto inside = os::InNetworkNamespace::enter(lab_->place(1));
    const auto nowhere = tcp::RestoredConnection::restore(image, {});
    ASSERT_FALSE(nowhere);
    EXPECT_EQ(nowhere.error().code(), ErrorCode::unavailable);
    EXPECT_NE(nowhere.error().to_string().find("add the address"), std::string::npos);
  }
  ASSERT_TRUE(lab_->open(0));
  ASSERT_TRUE(tcp::resume(pair.server.get(), image));
  EXPECT_EQ(receive_exactly(clock_, pair.server.get(), 6), "before");
  expect_to_go_on(pair.client.get(), pair.server.get());
}

}  // namespace
}  // namespace segue::example
