// SPDX-License-Identifier: Apache-2.0
#include "os/message_stream.h"

#include <sys/epoll.h>

#include <cstdint>
#include <utility>

#include "os/unix_socket.h"

namespace segue::os {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kHeadBytes = 4;
constexpr std::size_t kReadBytes = std::size_t{64} << 10;

std::string head_of(std::size_t length) {
  std::string head(kHeadBytes, '\0');
  for (std::size_t i = 0; i < kHeadBytes; ++i) {
    head[i] = static_cast<char>((length >> (8 * (kHeadBytes - 1 - i))) & 0xFF);
  }
  return head;
}

std::size_t length_of(std::string_view head) {
  std::size_t length = 0;
  for (const char byte : head.substr(0, kHeadBytes)) {
    length = (length << 8) | static_cast<std::uint8_t>(byte);
  }
  return length;
}

}  // namespace

Result<std::unique_ptr<MessageStream>> MessageStream::open(EpollLoop& loop, UniqueFd socket,
                                                           Handler handler) {
  std::unique_ptr<MessageStream> stream(
      new MessageStream(loop, std::move(socket), std::move(handler)));
  SEGUE_TRY(loop.watch(stream->socket_.get(), EPOLLIN,
                       [raw = stream.get()](std::uint32_t events) { raw->ready(events); }));
  return stream;
}

MessageStream::~MessageStream() {
  if (socket_) loop_.unwatch(socket_.get());
}

Result<void> MessageStream::send(std::string_view message) {
  if (message.empty() || message.size() > kMaxMessageBytes) {
    return fail(ErrorCode::invalid_argument, "a message has {} bytes, at least 1 and at most {}",
                message.size(), kMaxMessageBytes);
  }
  if (!socket_) return fail(ErrorCode::unavailable, "the other process has gone");
  if (out_.size() + kHeadBytes + message.size() > kMaxWaitingBytes) {
    return fail(ErrorCode::resource_exhausted, "the other process does not read");
  }
  out_ += head_of(message.size());
  out_ += message;
  if (waits_to_write_) return {};
  waits_to_write_ = true;
  return loop_.change(socket_.get(), EPOLLIN | EPOLLOUT);
}

void MessageStream::ready(std::uint32_t events) {
  Result<void> done;
  if ((events & ~std::uint32_t{EPOLLOUT}) != 0) done = read();  // first: its last word
  if (done && (events & EPOLLOUT) != 0) done = write();
  if (!done) end(done.error());
}

Result<void> MessageStream::write() {
  SEGUE_ASSIGN(const std::size_t sent, send_message(socket_, out_));
  out_.erase(0, sent);
  if (!out_.empty()) return {};
  waits_to_write_ = false;
  return loop_.change(socket_.get(), EPOLLIN);
}

Result<void> MessageStream::read() {
  SEGUE_ASSIGN(const Received received, receive_message(socket_, kReadBytes));
  if (received.kind == Received::Kind::would_block) return {};
  if (received.kind == Received::Kind::closed) {
    return fail(ErrorCode::unavailable, "the other process has gone");
  }
  in_ += received.bytes;
  return take();
}

Result<void> MessageStream::take() {
  std::string_view rest = in_;
  while (rest.size() >= kHeadBytes) {
    const std::size_t length = length_of(rest);
    if (length == 0 || length > kMaxMessageBytes) {
      return fail(ErrorCode::data_loss, "a message says that it has {} bytes", length);
    }
    if (rest.size() < kHeadBytes + length) break;
    handler_.received(rest.substr(kHeadBytes, length));
    rest.remove_prefix(kHeadBytes + length);
  }
  in_.erase(0, in_.size() - rest.size());
  return {};
}

void MessageStream::end(const base::Error& why) {
  loop_.unwatch(socket_.get());
  socket_.reset();
  handler_.ended(why);
}

}  // namespace segue::os
