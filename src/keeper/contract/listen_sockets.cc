// SPDX-License-Identifier: Apache-2.0
#include "keeper/contract/listen_sockets.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "os/file_lock.h"
#include "traffic/group_entry.h"

namespace segue::keeper {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using control::Listen;

constexpr int kBacklog = 4'096;  // the kernel cuts it to net.core.somaxconn

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

Address address_of(const Listen& listen) {
  Address address;
  if (listen.kind == Listen::Kind::unix_stream) {
    auto& un = reinterpret_cast<sockaddr_un&>(address.storage);
    un.sun_family = AF_UNIX;
    listen.host.copy(un.sun_path, sizeof un.sun_path - 1);
    address.size = sizeof un;
    return address;
  }
  auto& v4 = reinterpret_cast<sockaddr_in&>(address.storage);
  if (::inet_pton(AF_INET, listen.host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(listen.port);
    address.size = sizeof v4;
    return address;
  }
  auto& v6 = reinterpret_cast<sockaddr_in6&>(address.storage);
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(listen.port);
  ::inet_pton(AF_INET6, listen.host.c_str(), &v6.sin6_addr);
  address.size = sizeof v6;
  return address;
}

// A socket that a dead process left behind is replaced, one that somebody answers on is not.
Result<void> clear_path(const Listen& listen, const Address& address) {
  struct stat found{};
  if (::lstat(listen.host.c_str(), &found) != 0) return {};
  if (!S_ISSOCK(found.st_mode)) {
    return fail(ErrorCode::already_exists, "{} exists and is no socket", listen.host);
  }
  const os::UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int connected =
      ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.size);
  if (connected == 0 || errno != ECONNREFUSED) {
    return fail(ErrorCode::already_exists, "somebody listens on {} already", listen.host);
  }
  ::unlink(listen.host.c_str());
  return {};
}

bool is_bound_to(int fd, const Listen& listen) {
  const Address wanted = address_of(listen);
  Address bound;
  bound.size = sizeof bound.storage;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&bound.storage), &bound.size) != 0 ||
      bound.storage.ss_family != wanted.storage.ss_family) {
    return false;
  }
  switch (bound.storage.ss_family) {
    case AF_UNIX: {
      const auto& un = reinterpret_cast<const sockaddr_un&>(bound.storage);
      struct stat found{};
      return listen.host == std::string(un.sun_path, ::strnlen(un.sun_path, sizeof un.sun_path)) &&
             ::lstat(listen.host.c_str(), &found) == 0 && S_ISSOCK(found.st_mode);
    }
    case AF_INET: {
      const auto& one = reinterpret_cast<const sockaddr_in&>(bound.storage);
      const auto& other = reinterpret_cast<const sockaddr_in&>(wanted.storage);
      return one.sin_port == other.sin_port && one.sin_addr.s_addr == other.sin_addr.s_addr;
    }
    case AF_INET6: {
      const auto& one = reinterpret_cast<const sockaddr_in6&>(bound.storage);
      const auto& other = reinterpret_cast<const sockaddr_in6&>(wanted.storage);
      return one.sin6_port == other.sin6_port &&
             std::memcmp(&one.sin6_addr, &other.sin6_addr, sizeof one.sin6_addr) == 0;
    }
    default:
      return false;
  }
}

bool has_option(int fd, int option, int wanted) {
  int value = 0;
  socklen_t size = sizeof value;
  return ::getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 && value == wanted;
}

Result<ListenSocket> listen_socket(const Listen& listen, os::UniqueFd fd) {
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) {
    return fail(base::errno_error("look at the socket of " + control::to_string(listen), errno));
  }
  const FileIdentity identity = identity_of(fd.get());
  return ListenSocket{listen, std::move(fd), status.st_ino, identity};
}

}  // namespace

std::optional<ListenSocket> reuse_listen_socket(const Listen& listen, os::UniqueFd fd) {
  const bool stream = listen.kind != Listen::Kind::udp;
  if (!has_option(fd.get(), SO_TYPE, stream ? SOCK_STREAM : SOCK_DGRAM) ||
      !has_option(fd.get(), SO_ACCEPTCONN, stream ? 1 : 0) ||
      (listen.group && !has_option(fd.get(), SO_REUSEPORT, 1)) || !is_bound_to(fd.get(), listen)) {
    return std::nullopt;
  }
  auto socket = listen_socket(listen, std::move(fd));
  if (!socket) return std::nullopt;
  return *std::move(socket);
}

GroupMember group_member_of(const std::string& runtime_folder) {
  const std::size_t slash = runtime_folder.rfind('/');
  return {runtime_folder.substr(slash + 1), runtime_folder.substr(0, slash)};
}

Result<ListenSocket> open_listen_socket(const Listen& listen, const GroupMember& member) {
  const std::string what = "listen on " + control::to_string(listen);
  const Address address = address_of(listen);
  const bool stream = listen.kind != Listen::Kind::udp;
  if (listen.kind == Listen::Kind::unix_stream) SEGUE_TRY(clear_path(listen, address));
  os::UniqueFd fd(
      ::socket(address.storage.ss_family, (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0));
  if (!fd) return fail(base::errno_error(what, errno));
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  std::optional<os::FileLock> entering;
  if (listen.group) {
    if (member.component.empty()) {
      return fail(ErrorCode::invalid_argument, "{}: a group is not for this contract", what);
    }
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    SEGUE_ASSIGN(entering, os::FileLock::acquire(traffic::group_lock_path(member.runtime_directory),
                                                 "the keeper of " + member.component,
                                                 traffic::kGroupLockLimit));
  }
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0 ||
      (stream && ::listen(fd.get(), kBacklog) != 0)) {
    if (errno == EADDRINUSE) {
      return fail(
          ErrorCode::already_exists,
          "{}: another process listens there: end it first (`ss -ltnp` names it){}", what,
          listen.group ? ", or let it share the address: with ,group too, as the same user" : "");
    }
    return fail(base::errno_error(what, errno));
  }
  if (listen.group) SEGUE_TRY(traffic::enter_group(fd.get(), traffic::slot_of(member.component)));
  return listen_socket(listen, std::move(fd));
}

Result<void> make_nonblocking(const ListenSocket& socket) {
  const int flags = ::fcntl(socket.fd.get(), F_GETFL);
  if (flags >= 0 && ::fcntl(socket.fd.get(), F_SETFL, flags | O_NONBLOCK) == 0) return {};
  return fail(
      base::errno_error("make " + control::to_string(socket.listen) + " non-blocking", errno));
}

}  // namespace segue::keeper
