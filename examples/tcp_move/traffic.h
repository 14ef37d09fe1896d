// SPDX-License-Identifier: Apache-2.0
// Many connections in a NetworkLab with data in both directions, whose server ends can be moved.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "base/error.h"
#include "network_lab.h"
#include "os/clock.h"
#include "streams.h"

namespace segue::example {

class Traffic {
 public:
  explicit Traffic(const os::Clock& clock) : clock_(clock) {}

  void add(std::vector<ConnectedPair> pairs);
  [[nodiscard]] std::size_t size() const { return clients_fds_.size(); }

  // Both sides send and check.
  void start();
  // Every connection carries data both ways since start() or thaw(); deadline_exceeded if not.
  base::Result<void> wait_until_flowing(base::Duration at_most);

  // The server ends stand still; the clients go on sending and waiting.
  void freeze();
  void thaw();
  // The server ends, borrowed, in the order of add().
  [[nodiscard]] std::vector<int> servers() const;
  // While frozen. An empty one means: none any more; its stream is no longer looked at.
  void replace_servers(std::vector<os::UniqueFd> servers);

  // Each end sends `more_bytes` more; waits until all have arrived, and nothing else.
  // data_loss names the first stream that is not whole.
  base::Result<void> finish(std::uint64_t more_bytes, base::Duration at_most);

 private:
  [[nodiscard]] base::Result<void> check_faults();

  const os::Clock& clock_;
  std::vector<os::UniqueFd> clients_fds_;
  std::vector<os::UniqueFd> servers_fds_;
  std::vector<StreamEnd> client_ends_;
  std::vector<StreamEnd> server_ends_;
  std::unique_ptr<Pump> clients_;
  std::unique_ptr<Pump> servers_;
};

}  // namespace segue::example
