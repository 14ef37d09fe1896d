// SPDX-License-Identifier: Apache-2.0
#include "agent/proxy_driver.h"

#include <utility>

namespace segue::agent {
namespace {

using base::Result;

// On a thread of its own.
Result<ProxyLook> look_at(const os::Clock& clock, const std::string& address,
                          const traffic::ProxyWanted& wanted) {
  SEGUE_ASSIGN(const auto socket, traffic::ProxySocket::at(clock, address));
  ProxyLook look;
  SEGUE_ASSIGN(look.report, traffic::reconcile(socket, wanted));
  if (look.report.orders == 0) {
    look.now = look.report.seen;
    return look;
  }
  SEGUE_ASSIGN(look.now, traffic::observe(socket, wanted));
  return look;
}

}  // namespace

Result<std::unique_ptr<ProxyDriver>> ProxyDriver::open(os::EpollLoop& loop, const os::Clock& clock,
                                                       const base::Log& log, std::string component,
                                                       Tell tell) {
  SEGUE_ASSIGN(auto mailbox, os::LoopMailbox::open(loop));
  return std::unique_ptr<ProxyDriver>(
      new ProxyDriver(loop, clock, log, std::move(component), std::move(tell), std::move(mailbox)));
}

ProxyDriver::ProxyDriver(os::EpollLoop& loop, const os::Clock& clock, const base::Log& log,
                         std::string component, Tell tell, std::unique_ptr<os::LoopMailbox> mailbox)
    : loop_(loop),
      clock_(clock),
      log_(log),
      component_(std::move(component)),
      tell_(std::move(tell)),
      mailbox_(std::move(mailbox)) {}

ProxyDriver::~ProxyDriver() {
  mailbox_.reset();  // what it still posts is dropped
  if (timer_) loop_.cancel(*timer_);
  if (thread_.joinable()) thread_.join();
}

void ProxyDriver::keep(const fleet::ProxyShare& share) {
  share_ = share;
  is_new_ = true;
  if (looks_) return;  // the next look follows at once
  if (timer_) loop_.cancel(*timer_);
  timer_.reset();
  look();
}

void ProxyDriver::look() {
  looks_ = true;
  is_new_ = false;
  if (thread_.joinable()) thread_.join();  // it has posted its answer
  thread_ = std::thread([this, share = share_, poster = mailbox_->poster()] {
    auto look =
        std::make_shared<Result<ProxyLook>>(look_at(clock_, share.socket, wanted_of(share)));
    poster.post([this, share, look] { looked(share, *look); });
  });
}

void ProxyDriver::looked(const fleet::ProxyShare& share, const Result<ProxyLook>& look) {
  looks_ = false;
  if (look) count(wanted_of(share), *look);
  const fleet::SeenShare seen = seen_of(share, look, meter_.moved());
  if (is_new_) {
    this->look();
  } else {
    const auto timer = loop_.call_at(clock_.monotonic_now() + kLookEvery, [this] {
      timer_.reset();
      this->look();
    });
    if (timer) timer_ = *timer;
  }
  tell(seen);
}

// What moved counts from when the share was set; a proxy that lost it and has it again goes on.
void ProxyDriver::count(const traffic::ProxyWanted& wanted, const ProxyLook& look) {
  const bool is_same =
      measured_ && measured_->share_ppm == wanted.share_ppm && measured_->servers == wanted.servers;
  if (!is_same) {
    measured_ = wanted;
    meter_ = traffic::ProxyMeter();
    meter_.observe(wanted, look.now);
    return;
  }
  const std::uint32_t restarts = meter_.moved().restarts;
  meter_.observe(wanted, look.now);
  if (meter_.moved().restarts == restarts && look.report.orders == 0) return;
  log_.info("proxy.share-put-back", {{"component", component_},
                                     {"share_ppm", wanted.share_ppm},
                                     {"orders", look.report.orders},
                                     {"restarts", meter_.moved().restarts}});
}

void ProxyDriver::tell(const fleet::SeenShare& seen) {
  const base::MonotonicTime now = clock_.monotonic_now();
  const bool is_news = !told_ || says_more(*told_, seen);
  if (!is_news && (*told_ == seen || now < told_at_ + kTellEvery)) return;
  if (is_news) {
    log_.info("proxy.share", {{"component", component_},
                              {"share_ppm", share_.share_ppm()},
                              {"result", to_string(seen.result)},
                              {"text", seen.text}});
  }
  told_ = seen;
  told_at_ = now;
  tell_(seen);
}

}  // namespace segue::agent
