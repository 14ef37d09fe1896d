// SPDX-License-Identifier: Apache-2.0
#include "control/confinement_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace segue::control {
namespace {

constexpr std::array<std::string_view, 5> kKeys = {"memory", "cpus", "nofile", "pids", "secret"};

constexpr std::string_view kProgramDigest = "program-digest";

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

base::Result<void> check_program_digest(std::string_view digest) {
  constexpr std::string_view kAlgorithm = "sha256:";
  constexpr std::size_t kDigits = 64;
  const bool is_one =
      digest.starts_with(kAlgorithm) && digest.size() == kAlgorithm.size() + kDigits &&
      digest.find_first_not_of("0123456789abcdef", kAlgorithm.size()) == std::string_view::npos;
  if (is_one) return {};
  return base::fail(base::ErrorCode::invalid_argument,
                    "{}: '{}' is not sha256: and 64 hexadecimal digits", kProgramDigest, digest);
}

ConfinementOptions confinement_of(const ContainerOptions& options) {
  return {.memory_bytes = options.memory_bytes,
          .cpu_millicores = options.cpu_millicores,
          .max_processes = options.max_processes,
          .max_descriptors = options.max_descriptors,
          .secrets = options.secrets,
          .program_digest = ""};
}

base::Result<bool> assign_confinement_option(std::string_view key, const std::string& value,
                                             ConfinementOptions& options) {
  if (key == kProgramDigest) {
    SEGUE_TRY(check_program_digest(value));
    options.program_digest = value;
    return true;
  }
  if (!is_of_process(key)) return false;
  ContainerOptions container = as_container(options);
  SEGUE_ASSIGN(const bool known, assign_container_option(key, value, container));
  std::string program_digest = std::move(options.program_digest);
  options = confinement_of(container);
  options.program_digest = std::move(program_digest);
  return known;
}

std::vector<std::string> confinement_words(const ConfinementOptions& options) {
  std::vector<std::string> words = container_words(as_container(options));
  std::erase_if(words, [](const std::string& word) {
    return !is_of_process(std::string_view(word).substr(2, word.find('=') - 2));
  });
  if (!options.program_digest.empty()) {
    words.push_back(fmt::format("--{}={}", kProgramDigest, options.program_digest));
  }
  return words;
}

}  // namespace segue::control
