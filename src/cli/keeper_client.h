// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "cli/output.h"
#include "control/request.h"
#include "os/unique_fd.h"

namespace segue::cli {

// One request to a keeper and its replies.
class KeeperClient {
 public:
  static constexpr base::Duration kAnswerLimit = std::chrono::seconds(10);  // of a query

  explicit KeeperClient(os::UniqueFd socket) : socket_(std::move(socket)) {}

  base::Result<void> send(const control::Request& request);
  // Calls `on_reply` for each reply but the last, and returns that. deadline_exceeded when nothing
  // comes for `silence`; unknown_outcome when the keeper goes away first.
  base::Result<Json> receive(base::Duration silence,
                             const std::function<void(const Json&)>& on_reply);
  // Both, for a query.
  base::Result<Json> ask(const control::Request& request);

  struct NamedSocket {
    std::string name;
    os::UniqueFd fd;
  };
  // The listening sockets that the keeper holds, as duplicates.
  base::Result<std::vector<NamedSocket>> ask_sockets();

 private:
  os::UniqueFd socket_;
};

}  // namespace segue::cli
