// SPDX-License-Identifier: Apache-2.0
#include "handoff/link.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace segue::handoff {
namespace {

// The kernel caps it at net.core.wmem_max; a larger buffer only saves wake-ups.
constexpr int kSendBufferBytes = 4 << 20;
constexpr int kMaxResets = 4;
constexpr size_t kControlBytes = CMSG_SPACE(kMaxFdsPerMessage * sizeof(int));
constexpr size_t kSenderBytes = CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(sizeof(int));
// Linux 6.5; missing in Debian 12's headers.
constexpr int kPassPidfd = 76;   // SO_PASSPIDFD
constexpr int kScmPidfd = 0x04;  // SCM_PIDFD

uint16_t flags_of(FrameType type) {
  switch (type) {
    case FrameType::heartbeat:
    case FrameType::journal:
    case FrameType::room:
    case FrameType::accepted:
    case FrameType::keeper_progress:
    case FrameType::keeper_event:
    case FrameType::keeper_ping:
    case FrameType::keeper_pong:
    case FrameType::keeper_rendezvous:
    case FrameType::keeper_survey:
    case FrameType::keeper_losses:
    case FrameType::keeper_fence:
      return 0;
    default:
      return kFlagCritical;
  }
}

// The descriptors; whose message it is, where the kernel says it.
std::vector<UniqueFd> take_control(msghdr& header, MessageOrigin& sender) {
  std::vector<UniqueFd> fds;
  for (cmsghdr* control = CMSG_FIRSTHDR(&header); control != nullptr;
       control = CMSG_NXTHDR(&header, control)) {
    if (control->cmsg_level != SOL_SOCKET) continue;
    if (control->cmsg_type == SCM_CREDENTIALS) {
      ucred credentials{};
      memcpy(&credentials, CMSG_DATA(control), sizeof credentials);
      sender.pid = credentials.pid;
    } else if (control->cmsg_type == kScmPidfd) {
      int fd = -1;
      memcpy(&fd, CMSG_DATA(control), sizeof fd);
      sender.pidfd.reset(fd);
    } else if (control->cmsg_type == SCM_RIGHTS) {
      const size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t i = 0; i < count; ++i) {
        int fd = -1;
        memcpy(&fd, CMSG_DATA(control) + i * sizeof(int), sizeof fd);
        fds.emplace_back(fd);
      }
    }
  }
  return fds;
}

}  // namespace

Link::Link(UniqueFd fd, LinkLimits limits)
    : fd_(std::move(fd)), limits_(limits), buffer_(kMaxMessageBytes) {
  const int flags = fcntl(fd_.get(), F_GETFL);
  if (flags >= 0) fcntl(fd_.get(), F_SETFL, flags | O_NONBLOCK);
  if (setsockopt(fd_.get(), SOL_SOCKET, SO_SNDBUFFORCE, &kSendBufferBytes,
                 sizeof kSendBufferBytes) != 0) {
    setsockopt(fd_.get(), SOL_SOCKET, SO_SNDBUF, &kSendBufferBytes, sizeof kSendBufferBytes);
  }
}

Link::Link(UniqueFd fd, Position position) : Link(std::move(fd)) {
  next_out_ = position.next_out;
  next_in_ = position.next_in;
}

void Link::name_senders(bool named) {
  const int on = named ? 1 : 0;
  setsockopt(fd_.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
  setsockopt(fd_.get(), SOL_SOCKET, kPassPidfd, &on, sizeof on);
}

std::optional<Link::Position> Link::position() const {
  if (!queue_.empty() || partial_type_) return std::nullopt;
  return Position{next_out_, next_in_};
}

int Link::send_now(std::string_view header, std::string_view payload, std::span<const int> fds) {
  iovec parts[2] = {{const_cast<char*>(header.data()), header.size()},
                    {const_cast<char*>(payload.data()), payload.size()}};
  alignas(cmsghdr) char control[kControlBytes];
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = payload.empty() ? 1 : 2;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size_bytes());
    memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  }
  for (;;) {
    if (sendmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
      bytes_sent_ += header.size() + payload.size();
      return 1;
    }
    if (errno == EINTR) continue;
    // ETOOMANYREFS: so many descriptors of this user are on their way, here or in other handoffs,
    // that the kernel takes no more before some have been received.
    return errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS ? 0 : -1;
  }
}

Status Link::send(FrameType type, std::string_view payload, std::span<const int> fds) {
  if (fds.size() > kMaxFdsPerMessage) {
    return Status::bad(SEGUE_LIMIT, "more than 253 descriptors in one message");
  }
  if (payload.size() > limits_.payload_bytes) {
    return Status::bad(SEGUE_LIMIT, "a " + std::string(frame_name(type)) + " of " +
                                        std::to_string(payload.size()) +
                                        " bytes; the protocol allows 1 GiB");
  }
  const Guarded guarded(*guard_);
  do {
    const std::string_view part = payload.substr(0, kMaxPartBytes);
    payload.remove_prefix(part.size());
    const uint16_t more = payload.empty() ? uint16_t{0} : kFlagMore;
    const auto header = encode_header(
        {static_cast<uint16_t>(type), static_cast<uint16_t>(flags_of(type) | more),
         static_cast<uint32_t>(part.size()), next_out_, static_cast<uint16_t>(fds.size())});
    const std::string_view head{header.data(), header.size()};
    const int sent = queue_.empty() ? send_now(head, part, fds) : 0;
    if (sent < 0) return Status::system("sending " + std::string(frame_name(type)));
    if (sent == 0) {
      Queued queued;
      queued.bytes.reserve(head.size() + part.size());
      queued.bytes.append(head).append(part);
      for (const int fd : fds) {
        queued.fds.emplace_back(fcntl(fd, F_DUPFD_CLOEXEC, 0));
        if (!queued.fds.back().valid()) return Status::system("duplicating a descriptor to send");
      }
      queued_bytes_ += queued.bytes.size();
      if (queued_bytes_ > limits_.queued_bytes) {
        return Status::bad(SEGUE_LIMIT, "the peer reads too slowly: 2 GiB wait");
      }
      queue_.push_back(std::move(queued));
    }
    ++next_out_;
    fds = {};
  } while (!payload.empty());
  return Status::good();
}

Status Link::flush() {
  const Guarded guarded(*guard_);
  while (!queue_.empty()) {
    const Queued& front = queue_.front();
    int raw[kMaxFdsPerMessage];
    for (size_t i = 0; i < front.fds.size(); ++i) raw[i] = front.fds[i].get();
    const int sent = send_now(front.bytes, {}, std::span<const int>(raw, front.fds.size()));
    if (sent < 0) return Status::system("sending to the peer");
    if (sent == 0) return Status::good();
    queued_bytes_ -= front.bytes.size();
    queue_.pop_front();
  }
  return Status::good();
}

Link::Got Link::broken(std::string why) {
  error_ = std::move(why);
  return Got::broken;
}

Link::Got Link::receive_part(FrameHeader& header, std::string_view& payload,
                             std::vector<UniqueFd>& fds, MessageOrigin& sender) {
  iovec part{buffer_.data(), buffer_.size()};
  alignas(cmsghdr) char control[kControlBytes + kSenderBytes];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t size = -1;
  int resets = 0;
  do {
    size = recvmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    // A reset is said once, by a peer that closed without having read all; what it sent before
    // that still comes.
  } while (size < 0 && (errno == EINTR || (errno == ECONNRESET && ++resets < kMaxResets)));
  if (size < 0) {
    if (errno == EAGAIN) return Got::nothing;
    if (errno == ECONNRESET) return Got::ended;
    return broken(Status::system("receiving from the peer").text);
  }
  fds = take_control(message, sender);
  if (size == 0) return Got::ended;
  if ((message.msg_flags & MSG_CTRUNC) != 0) {
    return broken("descriptors were lost on the way: this process may have no more open (" +
                  std::to_string(fds.size()) + " arrived); raise its RLIMIT_NOFILE");
  }
  if ((message.msg_flags & MSG_TRUNC) != 0) return broken("a message larger than 65,536 bytes");
  const std::string_view bytes{buffer_.data(), static_cast<size_t>(size)};
  const auto decoded = decode_header(bytes);
  if (!decoded) return broken("a malformed frame header");
  if (decoded->sequence != next_in_) return broken("a gap in the sequence of frames");
  if (decoded->fd_count != fds.size()) {
    return broken("a frame announced " + std::to_string(decoded->fd_count) + " descriptors, " +
                  std::to_string(fds.size()) + " arrived");
  }
  ++next_in_;
  bytes_received_ += bytes.size();
  header = *decoded;
  payload = bytes.substr(kHeaderBytes);
  return Got::message;
}

Link::Got Link::receive(Message& message) {
  message = Message{};
  // Bounded by what the socket holds; joined parts are kept until the last one has come.
  for (;;) {
    FrameHeader header;
    std::string_view part;
    std::vector<UniqueFd> fds;
    MessageOrigin sender;
    const Got got = receive_part(header, part, fds, sender);
    if (got != Got::message) return got;
    const auto type = static_cast<FrameType>(header.type);
    if (!is_known(type)) {
      if ((header.flags & kFlagCritical) == 0) continue;
      return broken("did not recognise frame type " + std::to_string(header.type));
    }
    if (partial_type_ && (*partial_type_ != type || !fds.empty())) {
      return broken("parts of one frame are mixed with another");
    }
    if (!partial_type_) {
      joined_.clear();
      partial_fds_ = std::move(fds);
    }
    const bool more = (header.flags & kFlagMore) != 0;
    if (!more && !partial_type_) {
      message.payload = part;
    } else {
      if (joined_.size() + part.size() > limits_.payload_bytes)
        return broken("a frame beyond 1 GiB");
      joined_.append(part);
      message.payload = joined_;
    }
    if (more) {
      partial_type_ = type;
      continue;
    }
    partial_type_.reset();
    message.type = type;
    message.sender = std::move(sender);
    message.fds = std::move(partial_fds_);
    partial_fds_.clear();
    return Got::message;
  }
}

}  // namespace segue::handoff
