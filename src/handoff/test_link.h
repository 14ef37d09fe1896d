// SPDX-License-Identifier: Apache-2.0
// For tests only: both ends of a link, and a peer that writes any bytes it likes.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "handoff/frame.h"
#include "handoff/unique_fd.h"

namespace segue::handoff::test {

struct Ends {
  UniqueFd here;
  UniqueFd there;
};
// A connected pair of SOCK_SEQPACKET sockets.
Ends make_ends();

// One message, as it is. Aborts the test program if the kernel does not take it.
void send_raw(int socket, std::string_view bytes, std::span<const int> fds = {});
struct RawMessage {
  std::string bytes;  // empty: none is waiting, or the peer has closed
  std::vector<UniqueFd> fds;
};
RawMessage receive_raw(int socket);

// A whole message with a header of these values.
std::string message_of(uint16_t type, uint16_t flags, uint32_t sequence, uint16_t fd_count,
                       std::string_view payload);

// Descriptors of /dev/null.
std::vector<UniqueFd> some_fds(size_t count);
std::vector<int> raw(const std::vector<UniqueFd>& fds);
// The two ends of a TCP connection over loopback; the server's does not block.
struct Tcp {
  UniqueFd client;
  UniqueFd server;
};
Tcp connected();
// Waits until there is something to read, and reads: bytes, "FIN", "RST", or "nothing".
std::string next(int fd);
void write_all(int fd, const std::string& bytes);

// How many descriptors this process has open.
size_t open_fds();

struct Value {
  uint32_t tag = 0;
  std::variant<uint64_t, std::string> value;
};
std::string record(const std::vector<Value>& fields);
std::string batch(const std::vector<std::pair<std::string, std::string>>& entries);
std::string u64s(std::initializer_list<uint64_t> values);

}  // namespace segue::handoff::test
