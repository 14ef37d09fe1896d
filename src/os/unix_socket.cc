// SPDX-License-Identifier: Apache-2.0
#include "os/unix_socket.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>

#include "base/assert.h"
#include "os/descriptor_message.h"
#include "os/files.h"

namespace segue::os {
namespace {

using base::errno_error;
using base::ErrorCode;
using base::fail;
using base::Result;

constexpr int kBacklog = 128;

using ControlBuffer = std::array<char, CMSG_SPACE(kMaxFdsPerMessage * sizeof(int))>;

Result<sockaddr_un> address_of(const std::string& path) {
  if (path.empty() || path.size() > kMaxSocketPathBytes) {
    return fail(
        ErrorCode::invalid_argument,
        "the socket path '{}' has {} bytes, and the system allows 1 to {}: choose a shorter "
        "directory, for example with SEGUE_RUNTIME_DIR",
        path, path.size(), kMaxSocketPathBytes);
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, path.size());
  return address;
}

const sockaddr* generic(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

int type_flags(SocketType type, Blocking blocking) {
  return (type == SocketType::stream ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_CLOEXEC |
         (blocking == Blocking::yes ? 0 : SOCK_NONBLOCK);
}

Result<UniqueFd> make_socket(SocketType type, Blocking blocking) {
  UniqueFd fd(::socket(AF_UNIX, type_flags(type, blocking), 0));
  if (!fd) return fail(errno_error("make a socket", errno));
  return fd;
}

// Removes a socket that nobody listens on any more.
Result<void> remove_stale_socket(const std::string& path, SocketType type) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    return fail(errno_error(fmt::format("stat {}", path), errno));
  }
  if (!S_ISSOCK(status.st_mode)) {
    return fail(ErrorCode::failed_precondition,
                "{} exists and is not a socket: remove it, or choose another path", path);
  }
  SEGUE_ASSIGN(const auto address, address_of(path));
  SEGUE_ASSIGN(const UniqueFd probe, make_socket(type, Blocking::no));
  if (::connect(probe.get(), generic(address), sizeof address) == 0 || errno != ECONNREFUSED) {
    return fail(ErrorCode::already_exists, "another process listens on {}", path);
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return fail(errno_error(fmt::format("remove {}", path), errno));
  }
  return {};
}

// Takes every descriptor of the message into ownership, whatever else is wrong with it.
std::vector<UniqueFd> take_descriptors(msghdr& message) {
  std::vector<UniqueFd> fds;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return fds;
}

// Whoever could change this folder could put a socket of their own there. Returns whose it is; root
// may look after everybody's.
Result<uid_t> check_private(const std::string& folder) {
  struct stat status{};
  if (::lstat(folder.c_str(), &status) != 0) {
    return fail(base::errno_error("look at " + folder, errno));
  }
  if (!S_ISDIR(status.st_mode)) {
    return fail(ErrorCode::failed_precondition, "{} is not a directory: remove it", folder);
  }
  if (status.st_uid != ::geteuid() && ::geteuid() != 0) {
    return fail(ErrorCode::permission_denied, "{} belongs to user {}: run this as that user",
                folder, status.st_uid);
  }
  if ((status.st_mode & 077U) != 0) {
    return fail(ErrorCode::failed_precondition,
                "others can enter {} (mode {:04o}), so its socket cannot be trusted: chmod 700 it",
                folder, status.st_mode & 07777U);
  }
  return status.st_uid;
}

}  // namespace

Result<UniqueFd> listen_unix(const std::string& path, SocketType type) {
  SEGUE_ASSIGN(const auto address, address_of(path));
  SEGUE_TRY(ensure_private_directory(std::filesystem::path(path).parent_path().string()));
  SEGUE_TRY(remove_stale_socket(path, type));
  SEGUE_ASSIGN(UniqueFd fd, make_socket(type, Blocking::no));
  if (::bind(fd.get(), generic(address), sizeof address) != 0 ||
      ::listen(fd.get(), kBacklog) != 0) {
    return fail(errno_error(fmt::format("listen on {}", path), errno));
  }
  return fd;
}

Result<std::optional<UniqueFd>> accept_unix(const UniqueFd& listener) {
  UniqueFd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (fd) return fd;
  if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return std::nullopt;
  return fail(errno_error("accept a connection", errno));
}

Result<UniqueFd> connect_unix(const std::string& path, SocketType type, Blocking blocking) {
  SEGUE_ASSIGN(const auto address, address_of(path));
  SEGUE_ASSIGN(UniqueFd fd, make_socket(type, blocking));
  if (::connect(fd.get(), generic(address), sizeof address) == 0) return fd;
  if (errno == ENOENT || errno == ECONNREFUSED) {
    return fail(ErrorCode::unavailable, "nobody listens on {}: is it running?", path);
  }
  if (errno == EAGAIN) {
    return fail(ErrorCode::resource_exhausted,
                "too many wait for whoever listens on {}: is it stopped?", path);
  }
  return fail(errno_error(fmt::format("connect to {}", path), errno));
}

Result<UniqueFd> connect_private(const std::string& folder, std::string_view name, SocketType type,
                                 Blocking blocking) {
  SEGUE_ASSIGN(const uid_t owner, check_private(folder));
  const std::string path = fmt::format("{}/{}", folder, name);
  SEGUE_ASSIGN(UniqueFd socket, connect_unix(path, type, blocking));
  SEGUE_ASSIGN(const PeerCredentials peer, peer_credentials(socket));
  if (peer.uid == owner) return socket;
  return fail(ErrorCode::permission_denied,
              "user {} listens on {}, and the folder belongs to user {}", peer.uid, path, owner);
}

Result<std::pair<UniqueFd, UniqueFd>> socket_pair(SocketType type, Blocking blocking) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, type_flags(type, blocking), 0, ends.data()) != 0) {
    return fail(errno_error("make a pair of sockets", errno));
  }
  return std::pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

Result<void> set_timeout(const UniqueFd& socket, base::Duration timeout) {
  // The kernel takes 0 for "no timeout".
  const auto micros =
      std::max(std::chrono::ceil<std::chrono::microseconds>(timeout), std::chrono::microseconds(1));
  const auto seconds = std::chrono::floor<std::chrono::seconds>(micros);
  const timeval value{.tv_sec = seconds.count(), .tv_usec = (micros - seconds).count()};
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    if (::setsockopt(socket.get(), SOL_SOCKET, option, &value, sizeof value) != 0) {
      return fail(errno_error("set a socket's timeout", errno));
    }
  }
  return {};
}

Result<PeerCredentials> peer_credentials(const UniqueFd& socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return fail(errno_error("read a peer's credentials", errno));
  }
  return PeerCredentials{.pid = credentials.pid, .uid = credentials.uid, .gid = credentials.gid};
}

Result<std::size_t> send_message(const UniqueFd& socket, std::string_view bytes,
                                 std::span<const int> fds) {
  SEGUE_ASSERT(!bytes.empty());  // an empty message would look like the end
  iovec content{.iov_base = const_cast<char*>(bytes.data()), .iov_len = bytes.size()};
  msghdr message{};
  message.msg_iov = &content;
  message.msg_iovlen = 1;
  SEGUE_ASSIGN(const Sent sent, send_with_descriptors(socket.get(), message, fds));
  if (sent.bytes >= 0) return static_cast<std::size_t>(sent.bytes);
  if (sent.error_number == EAGAIN) return 0;
  return fail(errno_error("send a message", sent.error_number));
}

Result<Received> receive_message(const UniqueFd& socket, std::size_t max_bytes) {
  SEGUE_ASSERT(max_bytes > 0);
  Received received;
  received.bytes.resize(max_bytes);
  iovec content{.iov_base = received.bytes.data(), .iov_len = max_bytes};
  alignas(cmsghdr) ControlBuffer control{};
  msghdr message{};
  message.msg_iov = &content;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();

  ssize_t got = 0;
  do {
    got = ::recvmsg(socket.get(), &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) {
    // A peer that closed without having read all; what it sent before that has been received.
    if (errno == ECONNRESET) return Received{};
    if (errno != EAGAIN) return fail(errno_error("receive a message", errno));
    return Received{.kind = Received::Kind::would_block};
  }
  received.fds = take_descriptors(message);
  if ((message.msg_flags & MSG_CTRUNC) != 0) {
    return fail(ErrorCode::data_loss,
                "descriptors of a message were lost: raise this process's limit of open files");
  }
  if ((message.msg_flags & MSG_TRUNC) != 0) {
    return fail(ErrorCode::data_loss, "a message is longer than the {} bytes allowed for it",
                max_bytes);
  }
  received.kind = got == 0 ? Received::Kind::closed : Received::Kind::message;
  received.bytes.resize(static_cast<std::size_t>(got));
  return received;
}

}  // namespace segue::os
