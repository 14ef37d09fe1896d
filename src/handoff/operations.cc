// SPDX-License-Identifier: Apache-2.0
#include "handoff/operations.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace segue::handoff {

Status Operations::open(const std::string& name, const segue_operations_ops& ops, void* user,
                        segue_operations*& operations) {
  if (!ended_.valid()) ended_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!ended_.valid()) return Status::system("opening an event descriptor for " + name);
  auto made = std::make_unique<segue_operations>();
  made->all = this;
  made->name = name;
  made->ops = ops;
  made->user = user;
  all_.push_back(std::move(made));
  operations = all_.back().get();
  return Status::good();
}

bool Operations::has(const std::string& name) const {
  return std::any_of(all_.begin(), all_.end(),
                     [&](const auto& operations) { return operations->name == name; });
}

void Operations::add(segue_operations& operations, int64_t change) {
  const int64_t left = operations.in_flight.fetch_add(change) + change;
  if (left < 0) abort();  // more ended than began
  if (left != 0 || !operations.all->draining_) return;
  const uint64_t one = 1;
  (void)!write(operations.all->ended_.get(), &one, sizeof one);
}

bool Operations::in_flight() const {
  return std::any_of(all_.begin(), all_.end(),
                     [](const auto& operations) { return operations->in_flight != 0; });
}

std::string Operations::describe() const {
  std::string text;
  for (const auto& operations : all_) {
    const int64_t count = operations->in_flight;
    if (count == 0) continue;
    text += text.empty() ? "operations in flight: " : ", ";
    text += std::to_string(count) + " of " + operations->name;
  }
  return text.empty() ? "no operations in flight" : text;
}

void Operations::drain() {
  draining_ = true;
  for (const auto& operations : all_) {
    if (operations->ops.drain != nullptr) operations->ops.drain(operations->user);
  }
}

void Operations::go_on() {
  if (!draining_.exchange(false)) return;
  for (const auto& operations : all_) {
    if (operations->ops.go_on != nullptr) operations->ops.go_on(operations->user);
  }
}

void Operations::drain_ended() {
  uint64_t count = 0;
  (void)!read(ended_.get(), &count, sizeof count);
}

bool is_io_uring(int fd) {
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  char target[64];
  const ssize_t size = readlink(link.c_str(), target, sizeof target);
  return size > 0 && std::string_view(target, static_cast<size_t>(size)) == "anon_inode:[io_uring]";
}

}  // namespace segue::handoff
