// SPDX-License-Identifier: Apache-2.0
#include "keeper/service_manager.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>

namespace segue::keeper {
namespace {

constexpr int kFirstFd = 3;  // SD_LISTEN_FDS_START

bool is_socket(int fd) {
  int type = 0;
  socklen_t size = sizeof type;
  return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
}

}  // namespace

ServiceManager::ServiceManager(const os::Clock& clock, os::EpollLoop& loop,
                               ManagerVariables variables)
    : clock_(clock), loop_(loop), variables_(std::move(variables)) {
  if (variables_.notify_socket.empty()) return;
  if (auto socket = os::NotifySocket::open(variables_.notify_socket)) {
    socket_ = *std::move(socket);
    watch_over();
  }
}

KeptFds ServiceManager::take_kept() {
  KeptFds kept;
  int fd = kFirstFd;
  for (const auto& kept_name : std::exchange(variables_.fd_names, {})) {
    os::UniqueFd taken(fd++);
    (void)::fcntl(taken.get(), F_SETFD, FD_CLOEXEC);
    // Whatever else it is, nobody here would ever close it.
    if (const auto listener = name_of_kept(Kept::listener, kept_name)) {
      if (is_socket(taken.get())) kept.listeners.push_back({*listener, std::move(taken)});
    } else if (const auto stored = name_of_kept(Kept::stored, kept_name)) {
      kept.stored.push_back({*stored, std::move(taken)});
    }
  }
  return kept;
}

std::vector<std::string> ServiceManager::variables() const {
  std::vector<std::string> variables;
  if (!variables_.notify_socket.empty()) {
    variables.push_back("NOTIFY_SOCKET=" + variables_.notify_socket);
  }
  if (variables_.watchdog) {
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(*variables_.watchdog);
    variables.push_back(fmt::format("WATCHDOG_USEC={}", us.count()));
  }
  return variables;
}

void ServiceManager::show(const Decider& component) {
  if (!socket_) return;
  const ServiceState now = service_state_of(component, told_);
  if (now == told_) return;
  const std::string text = notification(told_, now, clock_.monotonic_now());
  if (text.empty() || socket_->send(text)) told_ = now;
}

void ServiceManager::keep(Kept kind, const std::string& name, int fd, bool poll) const {
  if (!socket_) return;
  (void)socket_->send("FDSTORE=1\nFDNAME=" + kept_name_of(kind, name) + (poll ? "" : "\nFDPOLL=0"),
                      {&fd, 1});
}

void ServiceManager::forget(Kept kind, const std::string& name) const {
  if (!socket_) return;
  (void)socket_->send("FDSTOREREMOVE=1\nFDNAME=" + kept_name_of(kind, name));
}

void ServiceManager::watch_over() {
  if (!variables_.watchdog) return;
  (void)socket_->send("WATCHDOG=1");
  (void)loop_.call_at(clock_.monotonic_now() + *variables_.watchdog / 3, [this] { watch_over(); });
}

}  // namespace segue::keeper
