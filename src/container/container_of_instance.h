// SPDX-License-Identifier: Apache-2.0
// The container that an instance is to have. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/container_options.h"
#include "runtime/container_spec.h"
#include "runtime/engine.h"

namespace segue::container {

// Where the component's keeper has its files, and what it calls this instance.
struct Place {
  std::string component;
  std::uint32_t generation = 0;
  std::string folder;  // the component's, in the runtime directory

  [[nodiscard]] std::string instances_folder() const;
  [[nodiscard]] std::string meeting_folder() const;  // of this instance; mounted
  [[nodiscard]] std::string description() const;     // a file: what runs, for people
  // Mounted where the keeper's own folder is outside: the next keeper listens there too.
  [[nodiscard]] std::string rendezvous_folder() const;
};

// In a meeting folder, inside the container and outside.
inline constexpr std::string_view kMeetingSocket = "keeper.sock";
inline constexpr std::string_view kGivenMark = "given";  // a file: the descriptors were taken
inline constexpr std::string_view kInnerMeetingFolder = "/run/segue-instance";

// So that what a killed segue-container has left is found again.
inline constexpr std::string_view kFolderLabel = "org.segue.folder";
inline constexpr std::string_view kStarterLabel = "org.segue.starter";  // "PID START-TICKS"
inline constexpr std::string_view kMeetingLabel = "org.segue.meeting";  // its meeting folder

// But for the secrets, whose contents have to be read for it.
runtime::ContainerSpec container_of_instance(const Place& place,
                                             const control::ContainerOptions& options,
                                             const std::vector<std::string>& arguments,
                                             const std::string& image_id,
                                             const std::string& starter, bool links_libsegue);

inline constexpr std::string_view kSecrets = "/run/secrets";

// What to do with a container of this component that another segue-container had started.
enum class Leftover { keep, remove, kill_and_remove };
Leftover judge(const runtime::ContainerSummary& found, bool starter_lives, bool was_given);

}  // namespace segue::container
