// SPDX-License-Identifier: Apache-2.0
#include "level1/channel.h"

#include <fcntl.h>
#include <poll.h>

#include <array>
#include <cerrno>
#include <utility>

#include "os/unix_socket.h"

namespace segue::level1 {

using base::ErrorCode;
using base::fail;
using base::Result;

Result<void> Channel::send(Message message, int fd) {
  message.fd_count = fd < 0 ? 0 : 1;
  if (queue_.size() == kMaxQueued) {
    return fail(ErrorCode::resource_exhausted, "the program reads too slowly: {} messages wait",
                kMaxQueued);
  }
  Queued queued{encode(message), os::UniqueFd()};
  if (fd >= 0) {
    queued.fd.reset(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!queued.fd) return fail(base::errno_error("duplicate a descriptor", errno));
  }
  queue_.push_back(std::move(queued));
  return flush();
}

Result<void> Channel::flush() {
  while (!queue_.empty()) {
    const Queued& front = queue_.front();
    const std::array<int, 1> fds = {front.fd.get()};
    SEGUE_ASSIGN(
        const std::size_t sent,
        os::send_message(socket_, front.bytes, std::span<const int>(fds.data(), front.fd ? 1 : 0)));
    if (sent == 0) return {};
    queue_.pop_front();
  }
  return {};
}

Result<std::optional<Channel::Received>> Channel::receive() {
  SEGUE_ASSIGN(auto got, os::receive_message(socket_, kMaxMessageBytes));
  if (got.kind == os::Received::Kind::would_block) return std::nullopt;
  if (got.kind == os::Received::Kind::closed) {
    return fail(ErrorCode::unavailable, "the program has closed its end");
  }
  Received received;
  SEGUE_ASSIGN(received.message, decode(got.bytes));
  if (got.fds.size() != received.message.fd_count) {
    return fail(ErrorCode::data_loss, "{} says that {} descriptors come with it, and {} came",
                name_of(received.message.type), received.message.fd_count, got.fds.size());
  }
  if (!got.fds.empty()) received.fd = std::move(got.fds.front());
  return received;
}

Result<std::optional<Channel::Received>> Channel::receive_within(int timeout_ms) {
  const short events = wants_to_write() ? POLLIN | POLLOUT : POLLIN;
  pollfd entry{.fd = fd(), .events = events, .revents = 0};
  if (::poll(&entry, 1, timeout_ms) < 0 && errno != EINTR) {
    return fail(base::errno_error("wait for the program", errno));
  }
  SEGUE_TRY(flush());
  return receive();
}

}  // namespace segue::level1
