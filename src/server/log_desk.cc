// SPDX-License-Identifier: Apache-2.0
#include "server/log_desk.h"

#include <utility>

namespace segue::server {

using base::ErrorCode;
using base::fail;
using base::Result;

LogDesk::LogDesk(store::Scheduler& scheduler, Send send)
    : scheduler_(scheduler), send_(std::move(send)) {}

void LogDesk::ask(const std::string& host, const fleet::LogsWanted& wanted, Give give) {
  if (waiting_.size() >= kMaxWaiting) {
    return give(fail(ErrorCode::resource_exhausted,
                     "{} requests for logs wait already: try again in a moment", kMaxWaiting));
  }
  const std::uint64_t number = ++last_number_;
  waiting_.emplace(number, Waiting{host, std::move(give)});
  if (const auto sent = send_(host, number, fleet::write_logs_wanted(wanted)); !sent) {
    return end(number, fail(sent.error()));
  }
  scheduler_.call_at(scheduler_.now() + kLimit,
                     [this, alive = std::weak_ptr<char>(alive_), number, host] {
                       if (alive.expired()) return;
                       end(number, fail(ErrorCode::deadline_exceeded,
                                        "the agent of host '{}' has not answered within {} s; one "
                                        "of an older version does not know the question",
                                        host, kLimit / std::chrono::seconds(1)));
                     });
}

void LogDesk::take(const std::string& host, std::uint64_t number, const std::string& document) {
  const auto found = waiting_.find(number);
  if (found == waiting_.end() || found->second.host != host) return;  // it came too late
  auto read = fleet::read_logs_read(document);
  if (read && !read->trouble.empty()) {
    return end(number, fail(ErrorCode::failed_precondition, "host '{}': {}", host, read->trouble));
  }
  end(number, std::move(read));
}

void LogDesk::end(std::uint64_t number, Result<fleet::LogsRead> read) {
  const auto found = waiting_.find(number);
  if (found == waiting_.end()) return;
  const Give give = std::move(found->second.give);
  waiting_.erase(found);
  give(std::move(read));
}

}  // namespace segue::server
