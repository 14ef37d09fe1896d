// SPDX-License-Identifier: Apache-2.0
#include "agent/executor.h"

#include <concepts>
#include <iterator>
#include <utility>
#include <variant>

#include "agent/instance_logs.h"

namespace segue::agent {

using base::ErrorCode;
using base::fail;
using base::Result;

Executor::Executor(os::EpollLoop& loop, const os::Clock& clock, const base::Log& log,
                   Settings settings, Answer answer)
    : loop_(loop),
      clock_(clock),
      log_(log),
      settings_(std::move(settings)),
      answer_(std::move(answer)),
      means_(loop, clock, settings_.engine) {}

Executor::~Executor() = default;

Result<void> Executor::carry_out(const Order& order) {
  return std::visit(
      [this]<class T>(const T& one) -> Result<void> {
        if constexpr (std::same_as<T, Know>) {
          return know(one);
        } else if constexpr (std::same_as<T, GiveUp>) {
          return fail(one.why);
        } else if constexpr (std::same_as<T, ReadLogs>) {
          read_logs(one);
          return {};
        } else if constexpr (std::same_as<T, reconcile::KeepShare>) {
          return keep(one);
        } else {
          SEGUE_ASSIGN(InstanceDriver * driver, this->driver(one.key));
          if constexpr (!std::same_as<T, Watch>) driver->carry_out(one);
          return {};
        }
      },
      order);
}

Result<void> Executor::know(const Know& know) {
  if (specs_.size() >= kMaxInstances && !specs_.contains(know.component)) {
    return fail(ErrorCode::resource_exhausted, "more than {} components are spoken of",
                kMaxInstances);
  }
  auto& revisions = specs_[know.component];
  if (!revisions.try_emplace(know.revision, know.spec).second) return {};  // it never changes
  if (revisions.size() <= kKeptRevisions) return {};
  const auto oldest = revisions.begin();
  revisions.erase(oldest->first == know.revision ? std::next(oldest) : oldest);
  return {};
}

void Executor::read_logs(const ReadLogs& wanted) {
  const InstanceHome home =
      home_of(settings_.segue, settings_.directory, settings_.runtime, wanted.key);
  LogsRead answer{wanted.request,
                  fleet::write_logs_read(read_instance_logs(settings_.state + "/" + home.name,
                                                            wanted.from, wanted.lines))};
  (void)loop_.call_at(clock_.monotonic_now(),
                      [this, alive = std::weak_ptr<char>(alive_), answer = std::move(answer)] {
                        if (!alive.expired()) answer_(answer);
                      });
}

const fleet::ComponentSpec* Executor::find(const std::string& component,
                                           fleet::Revision revision) const {
  const auto revisions = specs_.find(component);
  if (revisions == specs_.end()) return nullptr;
  const auto found = revisions->second.find(revision);
  return found == revisions->second.end() ? nullptr : &found->second;
}

Result<void> Executor::keep(const reconcile::KeepShare& order) {
  const auto found = proxies_.find(order.component);
  if (order.share.is_empty()) {
    if (found != proxies_.end()) proxies_.erase(found);
    return {};
  }
  if (found != proxies_.end()) {
    found->second->keep(order.share);
    return {};
  }
  if (proxies_.size() >= fleet::kMaxSharesOfHost) {
    return fail(ErrorCode::resource_exhausted, "more than {} shares of proxies are spoken of",
                fleet::kMaxSharesOfHost);
  }
  SEGUE_ASSIGN(auto driver,
               ProxyDriver::open(loop_, clock_, log_, order.component,
                                 [this, component = order.component](const fleet::SeenShare& seen) {
                                   answer_(reconcile::ShareKept{component, seen});
                                 }));
  driver->keep(order.share);
  proxies_.emplace(order.component, std::move(driver));
  return {};
}

Result<InstanceDriver*> Executor::driver(const reconcile::InstanceKey& key) {
  if (const auto found = drivers_.find(key); found != drivers_.end()) return found->second.get();
  if (drivers_.size() >= kMaxInstances) {
    return fail(ErrorCode::resource_exhausted, "more than {} instances are spoken of",
                kMaxInstances);
  }
  InstanceHome home = home_of(settings_.segue, settings_.directory, settings_.runtime, key);
  home.engine = settings_.engine;
  auto driver = std::make_unique<InstanceDriver>(
      loop_, clock_, log_, means_, key, std::move(home), settings_.environment,
      [this, component = key.component](fleet::Revision revision) {
        return find(component, revision);
      },
      [this](const reconcile::Event& event) { answer_(event); });
  driver->start();
  return drivers_.emplace(key, std::move(driver)).first->second.get();
}

}  // namespace segue::agent
