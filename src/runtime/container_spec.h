// SPDX-License-Identifier: Apache-2.0
// What a container is to be, as a value, and what an engine is told to make of it. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/time.h"

namespace segue::runtime {

using Labels = std::map<std::string, std::string>;

// Whose container it is: its labels.
inline constexpr std::string_view kComponentLabel = "segue.component";
inline constexpr std::string_view kSlotLabel = "segue.slot";
inline constexpr std::string_view kReleaseLabel = "segue.release";
inline constexpr std::string_view kGenerationLabel = "segue.generation";
inline constexpr std::string_view kSpecLabel = "segue.spec";  // spec_digest()

struct Identity {
  std::string component;
  std::string slot;              // which of the component's instances
  std::string release;           // that it runs
  std::uint64_t generation = 0;  // of the desired state that asked for it
  friend bool operator==(const Identity&, const Identity&) = default;
};

// A file or directory of the host. Its source has to be there: engines differ in what they make of
// one that is missing.
struct BindMount {
  std::string source;
  std::string target;
  bool is_read_only = false;
  friend bool operator==(const BindMount&, const BindMount&) = default;
};
// Kept by the engine when the container is removed; made when it is missing.
struct VolumeMount {
  std::string name;
  std::string target;
  bool is_read_only = false;
  friend bool operator==(const VolumeMount&, const VolumeMount&) = default;
};
struct MemoryMount {  // a tmpfs
  std::string target;
  std::uint64_t size_bytes = std::uint64_t{64} << 20;
  std::uint32_t mode = 01777;
  friend bool operator==(const MemoryMount&, const MemoryMount&) = default;
};
using Mount = std::variant<BindMount, VolumeMount, MemoryMount>;

// A secret is only ever a file: environments are shown by `inspect` and inherited by children.
struct SecretFile {
  std::string source;          // of the host, mode 0400, below a directory of mode 0700
  std::string target;          // in the container
  std::string content_digest;  // so that another secret is another container
  friend bool operator==(const SecretFile&, const SecretFile&) = default;
};

enum class NetworkMode {
  none,    // loopback alone; connections arrive by handoff
  host,    // the host's own
  bridge,  // the engine's default bridge, with published ports
};

struct PublishedPort {
  std::string host_address;  // empty: all
  std::uint16_t host_port = 0;
  std::uint16_t container_port = 0;
  bool is_udp = false;
  friend bool operator==(const PublishedPort&, const PublishedPort&) = default;
};

struct Limit {
  std::string name;  // as setrlimit(2) says it: nofile, nproc, core, memlock
  std::uint64_t soft = 0;
  std::uint64_t hard = 0;
  friend bool operator==(const Limit&, const Limit&) = default;
};

struct ContainerSpec {
  std::string name;
  Identity identity;
  Labels labels;      // more of them; none may begin with "segue."
  std::string image;  // "sha256:…" or NAME@sha256:…: what does not move

  std::vector<std::string> entrypoint;  // empty: the image's
  std::vector<std::string> arguments;   // empty: the image's, unless an entrypoint is given
  std::map<std::string, std::string> environment;
  std::string working_directory;  // empty: the image's
  std::string user;               // UID or UID:GID or names of the image; empty: the image's

  std::vector<Mount> mounts;
  std::vector<SecretFile> secrets;

  NetworkMode network = NetworkMode::none;
  std::vector<PublishedPort> ports;  // only on a bridge

  std::uint64_t memory_bytes = 0;    // 0: no limit; swap is never added to it
  std::uint32_t cpu_millicores = 0;  // 0: no limit
  std::uint32_t max_processes = 0;   // pids of its cgroup; 0: no limit
  // Engines have defaults that differ, and that they may not be allowed to set: these two are
  // always given.
  Limit descriptors{.name = "nofile", .soft = 16'384, .hard = 16'384};
  Limit processes{.name = "nproc", .soft = 16'384, .hard = 16'384};
  std::vector<Limit> limits;  // more of them

  std::vector<std::string> dropped_capabilities{"ALL"};
  std::vector<std::string> added_capabilities;  // without CAP_
  bool is_root_read_only = true;
  bool may_gain_privileges = false;  // by set-user-ID programs

  std::string stop_signal = "SIGTERM";
  base::Duration stop_grace = std::chrono::seconds(10);  // then SIGKILL
  std::uint64_t log_bytes = std::uint64_t{16} << 20;     // that the engine keeps of its output

  friend bool operator==(const ContainerSpec&, const ContainerSpec&) = default;
};

// invalid_argument: what in the spec is wrong.
base::Result<void> check(const ContainerSpec& spec);

// The labels that the container gets, the spec's digest among them.
Labels labels_of(const ContainerSpec& spec);

// "sha256:…", of all that makes a difference to the running container: not of its name and of the
// generation that asked for it.
std::string spec_digest(const ContainerSpec& spec);

enum class EngineKind { docker, podman };
std::string_view to_string(EngineKind kind);

// The body of POST /containers/create. What engines would do differently when it is left out is
// said, so that the bodies differ in little.
std::string create_body(const ContainerSpec& spec, EngineKind kind);

}  // namespace segue::runtime
