// SPDX-License-Identifier: Apache-2.0
#include "handoff/keeper_descriptors.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string>

#include "handoff/clock.h"
#include "handoff/fields.h"

namespace segue::handoff {
namespace {

constexpr const char* kFdVariable = "SEGUE_KEEPER_FD";
constexpr const char* kSocketVariable = "SEGUE_KEEPER_SOCKET";
constexpr uint64_t kNsPerMs = 1'000'000;

std::string take_variable(const char* name) {
  const char* text = getenv(name);
  std::string value = text == nullptr ? "" : text;
  unsetenv(name);
  return value;
}

// -1: it names none.
int descriptor_in(const std::string& text) {
  int fd = -1;
  const auto [end, bad] = std::from_chars(text.data(), text.data() + text.size(), fd);
  if (bad != std::errc{} || end != text.data() + text.size() || fd < 0) return -1;
  return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 ? fd : -1;
}

Status named(const std::string& path, const std::string& what) {
  return Status::bad(SEGUE_PEER, "the keeper's socket " + path + " " + what);
}

Status connect_to(const std::string& path, UniqueFd& fd) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return named(path, "has too long a name");
  memcpy(address.sun_path, path.data(), path.size());
  fd.reset(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return Status::system("making a socket");
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    return Status::good();
  }
  return named(path, std::string("cannot be reached: ") + strerror(errno) +
                         "; is it mounted into this container, and does who started it live?");
}

Status fetch(const std::string& path, KeeperDescriptors& descriptors) {
  UniqueFd fd;
  if (Status status = connect_to(path, fd); !status.ok()) return status;
  Link link(std::move(fd));
  const uint64_t until = monotonic_ns() + kFetchLimitNs;
  for (;;) {
    Message message;
    switch (link.receive(message)) {
      case Link::Got::message:
        return read_keeper_channel(message, descriptors);
      case Link::Got::ended:
        return named(path,
                     "gives this process no descriptor: another one has it, or this one is "
                     "not of the container that it is for");
      case Link::Got::broken:
        return named(path, "broke the protocol: " + link.error());
      case Link::Got::nothing:
        break;
    }
    const uint64_t now = monotonic_ns();
    if (now >= until) return named(path, "has given nothing for 10 s");
    pollfd entry{link.fd(), POLLIN, 0};
    (void)poll(&entry, 1, static_cast<int>((until - now) / kNsPerMs) + 1);
  }
}

}  // namespace

Status read_keeper_channel(Message& message, KeeperDescriptors& descriptors) {
  if (message.type != FrameType::keeper_channel || !is_record(message.payload)) {
    return Status::bad(SEGUE_PEER, "the keeper's socket does not give a keeper's channel");
  }
  std::string_view names = get_bytes(message.payload, 1);
  for (UniqueFd& fd : message.fds) {
    const auto entry = names.empty() ? std::nullopt : take_batch_entry(names);
    if (!entry) return Status::bad(SEGUE_PEER, "the keeper's socket gives unnamed descriptors");
    // Others are of a later version.
    if (entry->key == "keeper") descriptors.channel = std::move(fd);
    if (entry->key == "lock") descriptors.lock = std::move(fd);
  }
  if (descriptors.channel.valid()) return Status::good();
  return Status::bad(SEGUE_PEER, "the keeper's socket gives no channel");
}

Status take_keeper_descriptors(KeeperDescriptors& descriptors) {
  const std::string inherited = take_variable(kFdVariable);
  const std::string path = take_variable(kSocketVariable);
  if (const int fd = descriptor_in(inherited); fd >= 0) {
    descriptors.channel.reset(fd);
    return Status::good();
  }
  return path.empty() ? Status::good() : fetch(path, descriptors);
}

}  // namespace segue::handoff
