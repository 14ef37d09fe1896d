// SPDX-License-Identifier: Apache-2.0
// What a component is to be on each of its hosts: one revision of it. Values only; segue.yaml is
// how people write it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/contract.h"
#include "control/options.h"

namespace segue::fleet {

enum class Driver { process, container };
std::string_view to_string(Driver driver);
std::optional<Driver> driver_of(std::string_view word);
enum class Network { host, bridge, none };
std::string_view to_string(Network network);
std::optional<Network> network_of(std::string_view word);

// Where the files, or the image, come from.
struct ReleaseSource {
  std::string library;    // a URL or a directory on the host
  std::string component;  // its name there; empty: the component's own
  std::string version;
  std::string root;      // a file on the host to trust at first; empty: what the agent trusts
  std::string registry;  // instead of a library, with `driver: container`: IMAGE[:TAG|@DIGEST]

  bool operator==(const ReleaseSource&) const = default;
};

struct Volume {
  std::string source;  // a directory on the host
  std::string target;  // in the container
  bool read_only = false;

  bool operator==(const Volume&) const = default;
};

// A file of the host that only the component's user may read; never an environment variable.
struct Secret {
  std::string name;  // /run/secrets/NAME in a container, $SEGUE_SECRETS/NAME otherwise
  std::string file;

  bool operator==(const Secret&) const = default;
};

struct PublishedPort {
  std::string host = "127.0.0.1";
  std::uint16_t host_port = 0;
  std::uint16_t port = 0;  // in the container

  bool operator==(const PublishedPort&) const = default;
};

// 0: none.
struct Limits {
  std::uint64_t memory_bytes = 0;
  std::uint32_t cpu_thousandths = 0;
  std::uint32_t processes = 0;
  std::uint32_t descriptors = 0;

  bool operator==(const Limits&) const = default;
};

struct HealthCheck {
  enum class Kind { none, http, tcp, exec, grpc };
  Kind kind = Kind::none;
  std::string target;  // a URL; HOST:PORT; a shell command; HOST:PORT[/SERVICE]
  std::uint32_t interval_ms = 5'000;
  std::uint32_t timeout_ms = 2'000;
  std::uint32_t good_in_row = 2;  // until it counts as good
  std::uint32_t bad_in_row = 3;   // until it counts as bad

  bool operator==(const HealthCheck&) const = default;
};
std::string_view to_string(HealthCheck::Kind kind);

// Who splits new connections between the slots.
struct Sharing {
  enum class Kind { none, kernel, haproxy };
  enum class Pick { random, source };
  Kind kind = Kind::none;
  Pick pick = Pick::random;  // of kernel
  // of haproxy
  std::string proxy_host;    // the host whose agent reaches the socket; empty: each its own
  std::string proxy_socket;  // a path, or HOST:PORT
  std::string backend;
  std::string stable_server;  // may hold {host}; empty: {host}
  std::string canary_server;  // … {host}.canary
  // Whoever has a header or a cookie of these values has the canary, while it has a share.
  std::string map;  // a file of HAProxy's
  std::vector<std::string> routed;
  std::string map_value;  // that they have there; empty: canary

  bool operator==(const Sharing&) const = default;
};
std::string_view to_string(Sharing::Kind kind);
std::string_view to_string(Sharing::Pick pick);

// All that are named have to fit; nothing named: every host.
struct HostSelector {
  std::vector<std::string> names;
  std::vector<std::string> sites;
  std::vector<std::string> labels;  // NAME=VALUE

  bool operator==(const HostSelector&) const = default;
};

struct ComponentSpec {
  std::string service;
  std::string name;
  Driver driver = Driver::process;
  ReleaseSource release;
  std::vector<std::string> command;      // of process: its first word below the release's tree
  std::vector<std::string> environment;  // NAME=value
  std::vector<Secret> secrets;
  std::vector<Volume> volumes;
  Network network = Network::host;
  std::vector<PublishedPort> ports;
  std::vector<std::string> capabilities;  // that it keeps; none else
  Limits limits;
  HealthCheck health;
  Sharing sharing;
  HostSelector hosts;
  control::ContractOptions contract;  // what it can do about its own upgrade; its listeners
  control::RunOptions run;
  control::AttemptOptions attempt;

  bool operator==(const ComponentSpec&) const = default;
};

}  // namespace segue::fleet
