// SPDX-License-Identifier: Apache-2.0
// What is held for a program, for whoever asks, and for the next keeper.
#include <fmt/format.h>

#include "control/text.h"
#include "keeper/contract/program_host.h"

namespace segue::keeper {

SavedPrograms ProgramHost::saved(Descriptors descriptors) const {
  const auto number = [&](int fd) { return descriptors == Descriptors::named ? fd : -1; };
  SavedPrograms programs;
  programs.notify_fd = number(notify_.fd());
  for (const auto& socket : sockets_) {
    programs.sockets.push_back({socket.listen.name, number(socket.fd.get()), socket.identity});
  }
  for (const auto& entry : store_.entries()) {
    programs.stored.push_back(
        {entry.name, number(entry.fd.get()), entry.identity, entry.is_watched});
  }
  programs.binary_name = binary_name_;
  for (const auto& [generation, pid] : announced_) programs.announced.push_back({generation, pid});
  return programs;
}

std::vector<std::string> ProgramHost::only_stored() const {
  if (store_.entries().empty()) return {};
  const ProcessTable table = ProcessTable::read();
  std::vector<pid_t> processes;
  for (const auto& [generation, pid] : pids_) {
    const auto family = table.family(pid);
    processes.insert(processes.end(), family.begin(), family.end());
  }
  const FileIndex index(processes);
  std::vector<std::string> names;
  for (const auto& entry : store_.entries()) {
    if (!index.holds(entry.identity)) names.push_back(entry.name);
  }
  return names;
}

std::string ProgramHost::losses() const {
  std::string text;
  if (!lost_stored_.empty()) {
    text = fmt::format("{} that it had stored went with the dead keeper: {}",
                       control::counted(lost_stored_.size(), "descriptor"),
                       control::some_of(lost_stored_));
  }
  if (!lost_sockets_.empty()) {
    text += fmt::format("{}{} of it could not be taken back, and no next version will get it: {}",
                        text.empty() ? "" : "; ",
                        control::counted(lost_sockets_.size(), "listening socket"),
                        control::some_of(lost_sockets_));
  }
  return text;
}

std::vector<std::string> ProgramHost::listener_names() const {
  std::vector<std::string> names;
  for (const auto& socket : sockets_) names.push_back(socket.listen.name);
  return names;
}

std::vector<std::string> ProgramHost::stored_names() const {
  std::vector<std::string> names;
  for (const auto& entry : store_.entries()) names.push_back(entry.name);
  return names;
}

}  // namespace segue::keeper
