// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/error.h"
#include "fleet/logs.h"
#include "store/scheduler.h"

namespace segue::server {

// Asks agents what instances of their hosts have printed. Nothing of it is kept.
class LogDesk {
 public:
  static constexpr std::size_t kMaxWaiting = 200;
  static constexpr base::Duration kLimit = std::chrono::seconds(10);

  // To the host's agent; unavailable: it is not attached.
  using Send = std::function<base::Result<void>(const std::string& host, std::uint64_t number,
                                                std::string document)>;
  // The scheduler outlives it.
  LogDesk(store::Scheduler& scheduler, Send send);
  LogDesk(const LogDesk&) = delete;
  LogDesk& operator=(const LogDesk&) = delete;

  // `give` is called once, perhaps from within the call. resource_exhausted: kMaxWaiting wait.
  // deadline_exceeded: no answer came. failed_precondition: the host cannot read them.
  using Give = std::function<void(base::Result<fleet::LogsRead> read)>;
  void ask(const std::string& host, const fleet::LogsWanted& wanted, Give give);
  void take(const std::string& host, std::uint64_t number, const std::string& document);

 private:
  struct Waiting {
    std::string host;
    Give give;
  };
  void end(std::uint64_t number, base::Result<fleet::LogsRead> read);

  store::Scheduler& scheduler_;
  Send send_;
  std::map<std::uint64_t, Waiting> waiting_;
  std::uint64_t last_number_ = 0;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace segue::server
