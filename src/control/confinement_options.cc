// SPDX-License-Identifier: Apache-2.0
#include "control/confinement_options.h"

#include <algorithm>
#include <array>

namespace segue::control {
namespace {

constexpr std::array<std::string_view, 5> kKeys = {"memory", "cpus", "nofile", "pids", "secret"};

bool is_of_process(std::string_view key) {
  return std::find(kKeys.begin(), kKeys.end(), key) != kKeys.end();
}

ContainerOptions as_container(const ConfinementOptions& options) {
  ContainerOptions container;
  container.memory_bytes = options.memory_bytes;
  container.cpu_millicores = options.cpu_millicores;
  container.max_processes = options.max_processes;
  container.max_descriptors = options.max_descriptors;
  container.secrets = options.secrets;
  return container;
}

}  // namespace

ConfinementOptions confinement_of(const ContainerOptions& options) {
  return {.memory_bytes = options.memory_bytes,
          .cpu_millicores = options.cpu_millicores,
          .max_processes = options.max_processes,
          .max_descriptors = options.max_descriptors,
          .secrets = options.secrets};
}

base::Result<bool> assign_confinement_option(std::string_view key, const std::string& value,
                                             ConfinementOptions& options) {
  if (!is_of_process(key)) return false;
  ContainerOptions container = as_container(options);
  SEGUE_ASSIGN(const bool known, assign_container_option(key, value, container));
  options = confinement_of(container);
  return known;
}

std::vector<std::string> confinement_words(const ConfinementOptions& options) {
  std::vector<std::string> words = container_words(as_container(options));
  std::erase_if(words, [](const std::string& word) {
    return !is_of_process(std::string_view(word).substr(2, word.find('=') - 2));
  });
  return words;
}

}  // namespace segue::control
