// SPDX-License-Identifier: Apache-2.0
#include "handoff/test_relay.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>

#include "handoff/test_link.h"

namespace segue::handoff::test {
namespace {

constexpr uint16_t kUnknownType = 41;

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  EXPECT_LT(path.size(), sizeof address.sun_path) << path;
  memcpy(address.sun_path, path.data(), path.size());
  return address;
}

UniqueFd seqpacket() {
  return UniqueFd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
}

}  // namespace

Relay::Relay(const std::string& predecessor, Edit edit, bool adds_unknown_frames)
    : predecessor_directory_(predecessor),
      edit_(std::move(edit)),
      adds_unknown_frames_(adds_unknown_frames),
      listener_(seqpacket()),
      stop_(eventfd(0, EFD_CLOEXEC)) {
  // Like an instance that serves: it holds the lock, and shows a nonce.
  const std::string lock = directory() + "/owner.lock";
  lock_.reset(open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  EXPECT_EQ(flock(lock_.get(), LOCK_EX | LOCK_NB), 0);
  std::filesystem::copy_file(predecessor + "/nonce", directory() + "/nonce");
  const sockaddr_un address = address_of(directory() + "/handoff.sock");
  EXPECT_EQ(bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(listen(listener_.get(), 1), 0);
  thread_ = std::thread([this] { serve(); });
}

Relay::~Relay() {
  const uint64_t one = 1;
  EXPECT_EQ(write(stop_.get(), &one, sizeof one), static_cast<ssize_t>(sizeof one));
  thread_.join();
}

std::vector<Relay::Seen> Relay::seen() const {
  const std::lock_guard guard(mutex_);
  return seen_;
}

bool Relay::has_seen(FrameType type) const {
  const std::lock_guard guard(mutex_);
  for (const Seen& message : seen_) {
    if (message.header.type == static_cast<uint16_t>(type)) return true;
  }
  return false;
}

bool Relay::meet() {
  successor_.socket.reset(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  predecessor_.socket = seqpacket();
  const sockaddr_un address = address_of(predecessor_directory_ + "/handoff.sock");
  return connect(predecessor_.socket.get(), reinterpret_cast<const sockaddr*>(&address),
                 sizeof address) == 0;
}

void Relay::serve() {
  pollfd waiting[2] = {{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
  if (poll(waiting, 2, -1) < 0 || waiting[1].revents != 0 || !meet()) return;
  for (;;) {
    pollfd fds[3] = {{predecessor_.socket.get(), POLLIN, 0},
                     {successor_.socket.get(), POLLIN, 0},
                     {stop_.get(), POLLIN, 0}};
    if (poll(fds, 3, -1) < 0 || fds[2].revents != 0) return;
    if (fds[0].revents != 0 && !pass(Way::to_successor, predecessor_, successor_)) break;
    if (fds[1].revents != 0 && !pass(Way::to_predecessor, successor_, predecessor_)) break;
  }
  predecessor_.socket.reset();
  successor_.socket.reset();
}

bool Relay::pass(Way way, Side& from, Side& to) {
  const RawMessage message = receive_raw(from.socket.get());
  if (message.bytes.empty()) return false;
  const auto decoded = decode_header(message.bytes);
  EXPECT_TRUE(decoded);
  if (!decoded) return false;
  FrameHeader header = *decoded;
  std::string payload = message.bytes.substr(kHeaderBytes);
  {
    const std::lock_guard guard(mutex_);
    seen_.push_back({way, header, payload});
  }
  if (edit_ && !edit_(way, header, payload)) return true;
  if (adds_unknown_frames_) {
    FrameHeader unknown;
    unknown.type = kUnknownType;
    send(to, unknown, "of a later version", {});
  }
  send(to, header, payload, message.fds);
  return true;
}

void Relay::send(Side& to, FrameHeader header, const std::string& payload,
                 const std::vector<UniqueFd>& fds) {
  send_raw(to.socket.get(),
           message_of(header.type, header.flags, to.next_sequence++,
                      static_cast<uint16_t>(fds.size()), payload),
           raw(fds));
}

}  // namespace segue::handoff::test
