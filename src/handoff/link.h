// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "handoff/frame.h"
#include "handoff/guard.h"
#include "handoff/status.h"
#include "handoff/unique_fd.h"

namespace segue::handoff {

// Who sent a message, as the kernel says.
struct MessageOrigin {
  pid_t pid = 0;   // 0: it is not known, or this PID namespace does not see it
  UniqueFd pidfd;  // invalid before Linux 6.5
};

struct Message {
  FrameType type{};
  std::string_view payload;  // valid until the next receive()
  std::vector<UniqueFd> fds;
  MessageOrigin sender;  // where name_senders() asked for it
};

struct LinkLimits {
  size_t payload_bytes = kMaxPayloadBytes;
  // At most so many bytes wait for a slow receiver; send() then fails with SEGUE_LIMIT. Producers
  // of bulk look at congested() and wait for the socket to become writable.
  size_t queued_bytes = size_t{2} << 30;
};

// One end of a SOCK_SEQPACKET Unix socket that carries frames. Never blocks.
class Link {
 public:
  explicit Link(UniqueFd fd, LinkLimits limits = {});

  // Where the two directions stand, so that another program of this process can go on.
  struct Position {
    uint32_t next_out = 1;
    uint32_t next_in = 1;
  };
  Link(UniqueFd fd, Position position);
  // nullopt while a part of a frame waits to be sent or joined.
  [[nodiscard]] std::optional<Position> position() const;

  [[nodiscard]] int fd() const { return fd_.get(); }

  // Whether what arrives from now on says who sent it. Both ends see it that way: to be called
  // before the other end is given away.
  void name_senders(bool named);

  // Several threads will send, from now on; one receives.
  void share() { guard_->enable(); }

  // Sends now or queues. `fds` stay the caller's; queued ones are duplicated. At most
  // kMaxFdsPerMessage.
  Status send(FrameType type, std::string_view payload, std::span<const int> fds = {});
  // Sends what is queued as far as the socket takes it.
  Status flush();
  [[nodiscard]] bool congested() const {
    const Guarded guarded(*guard_);
    return !queue_.empty();
  }
  [[nodiscard]] uint64_t bytes_sent() const {
    const Guarded guarded(*guard_);
    return bytes_sent_;
  }
  [[nodiscard]] uint64_t bytes_received() const { return bytes_received_; }

  enum class Got { message, nothing, ended, broken };
  // kBroken: the peer broke the protocol or descriptors were lost; error() says how.
  // Frames of unknown type without CRITICAL are skipped.
  Got receive(Message& message);
  [[nodiscard]] const std::string& error() const { return error_; }

 private:
  struct Queued {
    std::string bytes;
    std::vector<UniqueFd> fds;
  };

  // 1 sent, 0 the socket is full, -1 failed (errno).
  int send_now(std::string_view header, std::string_view payload, std::span<const int> fds);
  Got broken(std::string why);
  Got receive_part(FrameHeader& header, std::string_view& payload, std::vector<UniqueFd>& fds,
                   MessageOrigin& sender);

  UniqueFd fd_;
  LinkLimits limits_;
  std::unique_ptr<Guard> guard_ = std::make_unique<Guard>();  // of what is sent
  uint32_t next_out_ = 1;
  uint32_t next_in_ = 1;
  std::deque<Queued> queue_;
  size_t queued_bytes_ = 0;
  uint64_t bytes_sent_ = 0;
  uint64_t bytes_received_ = 0;
  std::vector<char> buffer_;
  std::string joined_;
  std::optional<FrameType> partial_type_;
  std::vector<UniqueFd> partial_fds_;
  std::string error_;
};

}  // namespace segue::handoff
