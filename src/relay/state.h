// SPDX-License-Identifier: Apache-2.0
// What a relay says of itself at GET /relay/state, to people and to the other members of its site.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "relay/transfer_queue.h"

namespace segue::relay {

inline constexpr std::size_t kMaxStateBytes = std::size_t{1} << 20;
inline constexpr std::size_t kMaxTransfers = 512;
inline constexpr std::size_t kMaxHosts = 256;

struct LineState {
  std::optional<std::uint64_t> limit_bytes_per_second;
  double bytes_per_second = 0;
  std::uint64_t bytes_today = 0;
  std::uint64_t bytes_total = 0;
  friend bool operator==(const LineState&, const LineState&) = default;
};

struct TransferState {
  std::string object;
  std::uint64_t bytes = 0;
  std::optional<std::uint64_t> total_bytes;
  GoLive go_live;
  std::string source;       // a member's name, "origin", or "" while it waits
  std::size_t waiters = 0;  // hosts and relays that are waiting for it here
  friend bool operator==(const TransferState&, const TransferState&) = default;
};

// A host that stages something.
struct HostState {
  std::string host;
  std::string task;   // "chat 1.4.2"
  std::string relay;  // that it asks
  GoLive go_live;
  std::optional<std::uint64_t> left_bytes;
  double bytes_per_second = 0;
  std::uint64_t bytes = 0;  // that it got
  std::optional<std::uint64_t> eta_s;
  friend bool operator==(const HostState&, const HostState&) = default;
};

struct MemberState {
  std::string name;
  std::string url;
  bool is_alive = false;
  bool is_trusted = true;
  std::optional<double> seen_s_ago;
  std::optional<LineState> line;  // as it was said last
  friend bool operator==(const MemberState&, const MemberState&) = default;
};

struct RelayState {
  std::string site;
  std::string name;
  std::string leader;  // empty: not known
  bool leads = false;
  bool is_busy = false;
  bool is_able = true;  // its disk takes what comes
  std::uint64_t cache_bytes = 0;
  std::uint64_t cache_max_bytes = 0;
  LineState line;
  std::vector<MemberState> members;
  std::vector<TransferState> transfers;
  std::vector<HostState> hosts;       // that ask this relay
  std::vector<HostState> site_hosts;  // all of the site, also those
  friend bool operator==(const RelayState&, const RelayState&) = default;
};

std::string write_state(const RelayState& state);
// From a member, or who says to be one. data_loss: it is none.
base::Result<RelayState> read_state(std::string_view text);

}  // namespace segue::relay
