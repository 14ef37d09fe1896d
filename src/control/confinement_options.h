// SPDX-License-Identifier: Apache-2.0
// Within what a program that is a process of the host is to run: the words that `segue` gives to
// segue-confine. A container has the same, and more, of its own (container_options.h).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "control/container_options.h"

namespace segue::control {

struct ConfinementOptions {
  std::uint64_t memory_bytes = 0;     // 0: no limit
  std::uint32_t cpu_millicores = 0;   // 0: no limit
  std::uint32_t max_processes = 0;    // 0: no limit
  std::uint32_t max_descriptors = 0;  // 0: the keeper's own
  std::vector<ContainerSecret> secrets;
  // Of the program's file, sha256:HEX: another one is not started. Empty: whichever is there.
  std::string program_digest;

  bool operator==(const ConfinementOptions&) const = default;
};

// invalid_argument unless it is sha256: and 64 hexadecimal digits.
base::Result<void> check_program_digest(std::string_view digest);

// What container options say of them.
ConfinementOptions confinement_of(const ContainerOptions& options);

// KEY as on the command line, without the dashes; invalid_argument names it. False: there is no
// such option.
base::Result<bool> assign_confinement_option(std::string_view key, const std::string& value,
                                             ConfinementOptions& options);

// --KEY=VALUE each, which assign_confinement_option() reads again; none: nothing is asked for.
std::vector<std::string> confinement_words(const ConfinementOptions& options);

}  // namespace segue::control
