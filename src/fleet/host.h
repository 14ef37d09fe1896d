// SPDX-License-Identifier: Apache-2.0
// What a server and the agent of a host tell each other. Values, and their JSON: written whole,
// read so that what a newer version adds is passed over; bounded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "fleet/instance.h"
#include "fleet/proxy_share.h"

namespace segue::fleet {

inline constexpr std::string_view kDefaultSite = "default";  // of who does not say one
inline constexpr std::size_t kMaxInstancesOfHost = 500;
inline constexpr std::size_t kMaxLabels = 50;
inline constexpr std::size_t kMaxSharesOfHost = 50;
inline constexpr std::size_t kMaxHostDocumentBytes = std::size_t{1} << 20;

using SlotKey = std::pair<std::string, Slot>;  // component, slot

// From an agent when it attaches.
struct Hello {
  std::string site;
  std::vector<std::string> labels;  // NAME=VALUE
  std::string program_version;
  std::string boot_id;      // of the host's kernel
  std::string incarnation;  // drawn at random when the agent started: two at once are clones
  std::string fleet;        // whose desired state it has; empty: none so far
  bool observe_only = false;

  bool operator==(const Hello&) const = default;
};

// All that the agent sees on its host.
struct ObservedHost {
  std::uint64_t generation = 0;  // of the desired state that it acts on
  std::map<SlotKey, Observation> instances;
  SeenShares shares;    // of proxies that it speaks with
  std::string trouble;  // what keeps it from acting, for a person; empty: nothing

  bool operator==(const ObservedHost&) const = default;
};

// All that a host is to be. Generations of one epoch only grow; an agent passes over what is older
// than what it has.
struct DesiredHost {
  std::string fleet;        // drawn at random when the server's state was made
  std::uint64_t epoch = 1;  // raised by a person, when state was put back from a backup
  std::uint64_t generation = 0;
  bool stopped = false;  // by an emergency stop: nothing new is begun
  std::map<SlotKey, Assignment> instances;
  ProxyShares shares;  // of components that may run elsewhere: the host's agent speaks with their
                       // proxies
  // The documents of all revisions that are named above (component_document.h).
  std::map<std::pair<std::string, Revision>, std::string> specs;

  bool operator==(const DesiredHost&) const = default;
};

std::string write_hello(const Hello& hello);
std::string write_observed(const ObservedHost& observed);
std::string write_desired(const DesiredHost& desired);

// data_loss: damaged, or out of bounds; says where.
base::Result<Hello> read_hello(std::string_view bytes);
base::Result<ObservedHost> read_observed(std::string_view bytes);
base::Result<DesiredHost> read_desired(std::string_view bytes);

}  // namespace segue::fleet
