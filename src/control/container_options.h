// SPDX-License-Identifier: Apache-2.0
// In what container a program is to run: the words that `segue` gives to segue-container.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace segue::control {

// A file or directory of the host: SOURCE:TARGET[:ro].
struct ContainerMount {
  std::string source;
  std::string target;
  bool is_read_only = false;

  bool operator==(const ContainerMount&) const = default;
};

// A file of the host that is at /run/secrets/NAME in the container: NAME=/PATH.
struct ContainerSecret {
  std::string name;
  std::string file;

  bool operator==(const ContainerSecret&) const = default;
};

// On a bridge: ADDRESS:HOST_PORT:PORT.
struct ContainerPort {
  std::string address;
  std::uint16_t host_port = 0;
  std::uint16_t port = 0;  // in the container

  bool operator==(const ContainerPort&) const = default;
};

struct ContainerOptions {
  std::string image;                  // as it was named
  std::string image_id;               // "sha256:…": what it was then; empty: look
  std::string engine;                 // "unix:///PATH"; empty: the first of the usual ones
  std::string network = "none";       // none, host, bridge
  std::vector<std::string> cap_add;   // all others are dropped
  std::uint64_t memory_bytes = 0;     // 0: no limit
  std::uint32_t cpu_millicores = 0;   // 0: no limit
  std::uint32_t max_descriptors = 0;  // 0: 16,384
  std::uint32_t max_processes = 0;    // 0: no limit but the user's
  std::vector<ContainerMount> mounts;
  std::vector<ContainerSecret> secrets;
  std::vector<ContainerPort> ports;
  std::vector<std::string> env;  // NAME=value
  std::string user;              // empty: the image's
  bool is_root_writable = false;

  bool operator==(const ContainerOptions&) const = default;
};

inline constexpr std::size_t kMaxContainerItems = 256;  // of each list

// KEY as on the command line, without the dashes; invalid_argument names it. False: there is no
// such option. `cap-drop` takes only `all`, which is so anyway; `writable-root` takes 0 or 1.
base::Result<bool> assign_container_option(std::string_view key, const std::string& value,
                                           ContainerOptions& options);

// --KEY=VALUE each, which assign_container_option() reads again.
std::vector<std::string> container_words(const ContainerOptions& options);

// 512m, 2g, 1048576: bytes, with k, m or g for powers of 1,024.
base::Result<std::uint64_t> parse_bytes(std::string_view key, const std::string& text);

}  // namespace segue::control
