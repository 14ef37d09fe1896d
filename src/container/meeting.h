// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "base/error.h"
#include "container/container_of_instance.h"
#include "os/unique_fd.h"

namespace segue::container {

// What an instance would have inherited from its keeper.
struct Inheritance {
  os::UniqueFd channel;
  os::UniqueFd lock;
};

// The socket, mounted into the container, where its first process to come is given the inheritance
// (protocol/handoff.md, K_CHANNEL).
class Meeting {
 public:
  // Makes the folders and listens.
  static base::Result<Meeting> open(const Place& place);

  [[nodiscard]] int fd() const { return listener_.get(); }

  enum class Came { nobody, stranger, instance };
  // Who comes has to be in the PID namespace of the container's first process; others are sent
  // away. `instance`: it has everything, which is marked in the folder, and this process has
  // nothing of it any more.
  base::Result<Came> receive(pid_t first_process, Inheritance& inheritance);

  // Takes the folder away.
  void close();

 private:
  Meeting(std::string folder, os::UniqueFd listener)
      : folder_(std::move(folder)), listener_(std::move(listener)) {}

  std::string folder_;
  os::UniqueFd listener_;
};

}  // namespace segue::container
