// SPDX-License-Identifier: Apache-2.0
#include "handoff/test_link.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "handoff/fields.h"

namespace segue::handoff::test {
namespace {

void require(bool condition, const char* what) {
  if (condition) return;
  perror(what);
  abort();
}

constexpr int kSeenMs = 2000;

}  // namespace

Ends make_ends() {
  int ends[2];
  require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

void send_raw(int socket, std::string_view bytes, std::span<const int> fds) {
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFdsPerMessage * sizeof(int))];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size_bytes());
    memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  }
  require(sendmsg(socket, &message, MSG_NOSIGNAL) >= 0, "sendmsg");
}

RawMessage receive_raw(int socket) {
  RawMessage received;
  received.bytes.resize(kMaxMessageBytes);
  iovec part{received.bytes.data(), received.bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFdsPerMessage * sizeof(int))];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t size = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  received.bytes.resize(size > 0 ? static_cast<size_t>(size) : 0);
  const cmsghdr* rights = size > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (rights == nullptr) return received;
  for (size_t at = CMSG_LEN(0); at < rights->cmsg_len; at += sizeof(int)) {
    int fd = -1;
    memcpy(&fd, reinterpret_cast<const char*>(rights) + at, sizeof fd);
    received.fds.emplace_back(fd);
  }
  return received;
}

std::string message_of(uint16_t type, uint16_t flags, uint32_t sequence, uint16_t fd_count,
                       std::string_view payload) {
  const auto header =
      encode_header({type, flags, static_cast<uint32_t>(payload.size()), sequence, fd_count});
  std::string bytes(header.data(), header.size());
  return bytes.append(payload);
}

std::vector<UniqueFd> some_fds(size_t count) {
  std::vector<UniqueFd> fds;
  for (size_t i = 0; i < count; ++i) {
    fds.emplace_back(open("/dev/null", O_RDWR | O_CLOEXEC));
    require(fds.back().valid(), "/dev/null");
  }
  return fds;
}

std::vector<int> raw(const std::vector<UniqueFd>& fds) {
  std::vector<int> numbers;
  numbers.reserve(fds.size());
  for (const UniqueFd& fd : fds) numbers.push_back(fd.get());
  return numbers;
}

size_t open_fds() {
  DIR* directory = opendir("/proc/self/fd");
  require(directory != nullptr, "/proc/self/fd");
  size_t entries = 0;
  while (readdir(directory) != nullptr) ++entries;
  closedir(directory);
  return entries - 3;  // ".", ".." and the listing itself
}

std::string record(const std::vector<Value>& fields) {
  segue_writer out;
  for (const Value& field : fields) {
    if (const auto* number = std::get_if<uint64_t>(&field.value)) {
      put_number(out, field.tag, *number);
    } else {
      put_field(out, field.tag, std::get<std::string>(field.value));
    }
  }
  finish(out);
  return out.fields;
}

std::string batch(const std::vector<std::pair<std::string, std::string>>& entries) {
  std::string bytes;
  for (const auto& [key, value] : entries) append_batch_entry(bytes, key, value);
  return bytes;
}

std::string u64s(std::initializer_list<uint64_t> values) {
  std::string bytes;
  for (const uint64_t value : values) append_u64(bytes, value);
  return bytes;
}

Tcp connected() {
  const UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* name = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(bind(listener.get(), name, size), 0);
  EXPECT_EQ(listen(listener.get(), 1), 0);
  EXPECT_EQ(getsockname(listener.get(), name, &size), 0);
  Tcp tcp;
  tcp.client.reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(connect(tcp.client.get(), name, size), 0);
  tcp.server.reset(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  return tcp;
}

// Waits until there is something to read, and reads: bytes, "FIN", "RST", or "nothing".
std::string next(int fd) {
  pollfd entry{fd, POLLIN, 0};
  if (poll(&entry, 1, kSeenMs) != 1) return "nothing";
  std::string bytes(65'536, '\0');
  const ssize_t size = recv(fd, bytes.data(), bytes.size(), 0);
  if (size == 0) return "FIN";
  if (size < 0) return errno == ECONNRESET ? "RST" : "errno " + std::to_string(errno);
  bytes.resize(static_cast<size_t>(size));
  return bytes;
}

void write_all(int fd, const std::string& bytes) {
  EXPECT_EQ(send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
}

}  // namespace segue::handoff::test
