// SPDX-License-Identifier: Apache-2.0
#include "traffic.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace segue::example {

using base::ErrorCode;
using base::fail;
using base::Result;

void Traffic::add(std::vector<ConnectedPair> pairs) {
  for (ConnectedPair& pair : pairs) {
    const std::uint64_t seed = 2 * size() + 1;
    client_ends_.push_back({.fd = pair.client.get(), .send_seed = seed, .receive_seed = seed + 1});
    server_ends_.push_back({.fd = pair.server.get(), .send_seed = seed + 1, .receive_seed = seed});
    clients_fds_.push_back(std::move(pair.client));
    servers_fds_.push_back(std::move(pair.server));
  }
}

void Traffic::start() {
  clients_ = std::make_unique<Pump>(std::move(client_ends_));
  servers_ = std::make_unique<Pump>(std::move(server_ends_));
  clients_->start();
  servers_->start();
}

Result<void> Traffic::wait_until_flowing(base::Duration at_most) {
  const auto flowing = [this] {
    return servers_->active_ends() >= servers_->ends().size() || servers_->faulty_ends() > 0 ||
           clients_->faulty_ends() > 0;
  };
  if (!wait_until(clock_, at_most, flowing)) {
    return fail(ErrorCode::deadline_exceeded, "{} of {} connections carry data both ways",
                servers_->active_ends(), size());
  }
  if (clients_->faulty_ends() == 0 && servers_->faulty_ends() == 0) return {};
  clients_->stop();
  servers_->stop();
  return check_faults();
}

void Traffic::freeze() {
  servers_->stop();
}

void Traffic::thaw() {
  servers_->start();
}

std::vector<int> Traffic::servers() const {
  std::vector<int> fds;
  fds.reserve(servers_fds_.size());
  for (const os::UniqueFd& fd : servers_fds_) fds.push_back(fd.get());
  return fds;
}

void Traffic::replace_servers(std::vector<os::UniqueFd> servers) {
  servers_fds_ = std::move(servers);
  for (std::size_t i = 0; i < servers_fds_.size(); ++i) {
    servers_->ends()[i].fd = servers_fds_[i].get();
  }
}

Result<void> Traffic::check_faults() {
  for (const auto& [pump, who] :
       {std::pair<Pump*, std::string_view>{clients_.get(), "client"}, {servers_.get(), "server"}}) {
    for (std::size_t i = 0; i < pump->ends().size(); ++i) {
      const StreamEnd& end = pump->ends()[i];
      if (!end.fault.empty()) {
        return fail(ErrorCode::data_loss, "connection {}, {}: {}", i, who, end.fault);
      }
    }
  }
  return {};
}

Result<void> Traffic::finish(std::uint64_t more_bytes, base::Duration at_most) {
  clients_->stop();
  servers_->stop();
  std::uint64_t expected = 0;
  for (std::size_t i = 0; i < size(); ++i) {
    for (Pump* pump : {clients_.get(), servers_.get()}) {
      StreamEnd& end = pump->ends()[i];
      end.send_limit_bytes = end.sent_bytes + more_bytes;
      expected += end.send_limit_bytes;
    }
  }
  clients_->start();
  servers_->start();
  const auto arrived = [&] {
    return clients_->received_bytes() + servers_->received_bytes() >= expected ||
           clients_->faulty_ends() + servers_->faulty_ends() > 0;
  };
  const bool in_time = wait_until(clock_, at_most, arrived);
  clients_->stop();
  servers_->stop();
  SEGUE_TRY(check_faults());
  for (std::size_t i = 0; i < size(); ++i) {
    const StreamEnd& client = clients_->ends()[i];
    const StreamEnd& server = servers_->ends()[i];
    if (client.received_bytes != server.send_limit_bytes ||
        server.received_bytes != client.send_limit_bytes) {
      return fail(ErrorCode::data_loss,
                  "connection {}: {} of {} bytes came to the client, {} of {} to the server{}", i,
                  client.received_bytes, server.send_limit_bytes, server.received_bytes,
                  client.send_limit_bytes, in_time ? "" : ", and the time is up");
    }
  }
  return {};
}

}  // namespace segue::example
