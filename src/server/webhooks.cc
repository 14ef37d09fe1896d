// SPDX-License-Identifier: Apache-2.0
#include "server/webhooks.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/base64.h"
#include "control/name.h"
#include "fleet/layout.h"
#include "os/random.h"
#include "server/documents.h"

namespace segue::server {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxErased = 100;  // of the outbox in one transaction

bool is_taken(const Result<long>& status) {
  return status && *status >= 200 && *status < 300;
}

std::string text_of(const Result<long>& status) {
  return status ? fmt::format("the answer was {}", *status) : status.error().message();
}

}  // namespace

Webhooks::Webhooks(Books& books, Ledger& ledger, store::Scheduler& scheduler,
                   const os::Clock& clock, Post post, OnTrouble on_trouble)
    : books_(books),
      ledger_(ledger),
      scheduler_(scheduler),
      clock_(clock),
      post_(std::move(post)),
      on_trouble_(std::move(on_trouble)) {
  if (!books_.outbox.empty()) last_ = books_.outbox.rbegin()->first;
  for (const auto& [name, webhook] : books_.webhooks) last_ = std::max(last_, webhook.next);
  stored_ = last_;
}

void Webhooks::begin() {
  deliver_all();
}

// ---- Who is told

void Webhooks::set(const std::string& name, const std::string& url, std::vector<std::string> kinds,
                   const std::string& by, std::function<void(Result<std::string>)> take) {
  if (const auto named = control::check_name(name, "a webhook"); !named) {
    return take(fail(named.error()));
  }
  const auto known = books_.webhooks.find(name);
  if (known == books_.webhooks.end() && books_.webhooks.size() >= kMaxWebhooks) {
    return take(fail(ErrorCode::resource_exhausted, "there are {} webhooks already: remove some",
                     kMaxWebhooks));
  }
  WebhookRecord webhook = known == books_.webhooks.end()
                              ? WebhookRecord{.name = name, .next = last_ + 1}
                              : known->second;
  webhook.url = url;
  webhook.kinds = std::move(kinds);
  webhook.secret = base::to_base64(os::random_bytes(WebhookRecord::kSecretBytes));
  webhook.by = by;
  webhook.created_ms = milliseconds_of(clock_.realtime_now());
  webhook.gone = false;
  books_.webhooks[name] = webhook;
  lines_.erase(name);
  store::Transaction transaction;
  transaction.put(webhook_key(name), write_record(webhook));
  ledger_.write(std::move(transaction), {{by, "webhook.set", name, url}},
                [this, name, secret = webhook.secret, take = std::move(take)](store::Revision) {
                  take("whsec_" + secret);
                  deliver(name);
                });
}

Result<void> Webhooks::remove(const std::string& name, const std::string& by) {
  if (books_.webhooks.erase(name) == 0) {
    return fail(ErrorCode::not_found, "there is no webhook '{}'", name);
  }
  lines_.erase(name);
  store::Transaction transaction;
  transaction.erase(webhook_key(name));
  trim(transaction);
  ledger_.write(std::move(transaction), {{by, "webhook.remove", name, ""}}, nullptr);
  return {};
}

Result<void> Webhooks::test(const std::string& name, const std::string& by, OnStatus on_status) {
  const auto found = books_.webhooks.find(name);
  if (found == books_.webhooks.end()) {
    return fail(ErrorCode::not_found, "there is no webhook '{}'", name);
  }
  if (tests_ >= kMaxTests) {
    return fail(ErrorCode::resource_exhausted, "{} tests are under way: wait for them", tests_);
  }
  ++tests_;
  const std::uint64_t now_ms = milliseconds_of(clock_.realtime_now());
  last_ = std::max(last_ + 1, now_ms);
  const Notification notification{.number = last_,
                                  .time_ms = now_ms,
                                  .kind = "webhook.test",
                                  .object = name,
                                  .by = by,
                                  .text = "nothing has happened: somebody tries the webhook"};
  post_(webhook_post(found->second, notification, books_.fleet.id, now_ms / 1'000),
        [this, alive = std::weak_ptr<char>(alive_),
         on_status = std::move(on_status)](const Result<long>& status) {
          if (alive.expired()) return;
          --tests_;
          on_status(status);
        });
  return {};
}

std::string Webhooks::trouble(const std::string& name) const {
  const auto line = lines_.find(name);
  return line == lines_.end() ? "" : line->second.trouble;
}

// ---- What is told

void Webhooks::add_to(store::Transaction& transaction, Notification notification) {
  const bool is_wanted = std::ranges::any_of(books_.webhooks, [&](const auto& entry) {
    return !entry.second.gone && entry.second.wants(notification.kind);
  });
  if (!is_wanted) return;
  for (std::string* text : {&notification.object, &notification.component, &notification.version,
                            &notification.title, &notification.by, &notification.text}) {
    *text = fleet::short_text(*text);
  }
  notification.time_ms = milliseconds_of(clock_.realtime_now());
  last_ = std::max(last_ + 1, notification.time_ms);
  notification.number = last_;
  if (books_.outbox.size() >= kMaxKept) drop_oldest(transaction);
  transaction.put(outbox_key(notification.number), write_record(notification));
  books_.outbox[notification.number] = std::move(notification);
  // The transaction is the ledger's by then, and what the ledger gets later is stored later.
  scheduler_.call_soon([this, alive = std::weak_ptr<char>(alive_), number = last_] {
    if (alive.expired()) return;
    ledger_.write({}, {}, [this, number](store::Revision) {
      stored_ = std::max(stored_, number);
      deliver_all();
    });
  });
}

void Webhooks::tell(Notification notification) {
  store::Transaction transaction;
  add_to(transaction, std::move(notification));
  if (!transaction.operations.empty()) ledger_.write(std::move(transaction), {}, nullptr);
}

void Webhooks::drop_oldest(store::Transaction& transaction) {
  const auto oldest = books_.outbox.begin();
  for (auto& [name, webhook] : books_.webhooks) {
    if (!webhook.gone && webhook.next <= oldest->first) miss(webhook, oldest->second);
  }
  transaction.erase(outbox_key(oldest->first));
  books_.outbox.erase(oldest);
}

void Webhooks::miss(WebhookRecord& webhook, const Notification& notification) {
  webhook.next = notification.number + 1;
  if (!webhook.wants(notification.kind)) return;
  ++webhook.missed;
  ++figures_.missed;
  Line& line = lines_[webhook.name];
  if (std::exchange(line.has_missed, true)) return;
  on_trouble_(webhook.name, fmt::format("misses '{}' of {} and perhaps more: {}", notification.kind,
                                        notification.object,
                                        line.trouble.empty() ? "too much happens" : line.trouble));
}

// ---- How it gets there

void Webhooks::deliver_all() {
  std::vector<std::string> names;
  for (const auto& [name, webhook] : books_.webhooks) names.push_back(name);
  for (const auto& name : names) deliver(name);
}

const Notification* Webhooks::next_for(WebhookRecord& webhook) {
  const std::uint64_t now_ms = milliseconds_of(clock_.realtime_now());
  const auto kept_ms = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(kKept).count());
  for (auto at = books_.outbox.lower_bound(webhook.next);
       at != books_.outbox.end() && at->first <= stored_; ++at) {
    const Notification& notification = at->second;
    const bool is_old = notification.time_ms + kept_ms < now_ms;
    if (webhook.wants(notification.kind) && !is_old) return &notification;
    if (is_old) {
      miss(webhook, notification);
    } else {
      webhook.next = notification.number + 1;
    }
  }
  return nullptr;
}

void Webhooks::deliver(const std::string& name) {
  const auto found = books_.webhooks.find(name);
  if (found == books_.webhooks.end() || found->second.gone) return;
  WebhookRecord& webhook = found->second;
  Line& line = lines_[name];
  if (line.is_under_way || line.is_waiting) return;
  const std::uint64_t before = webhook.next;
  const Notification* notification = next_for(webhook);
  if (webhook.next != before) keep(webhook);
  if (notification == nullptr) return;
  line.is_under_way = true;
  post_(webhook_post(webhook, *notification, books_.fleet.id,
                     milliseconds_of(clock_.realtime_now()) / 1'000),
        [this, alive = std::weak_ptr<char>(alive_), name,
         number = notification->number](const Result<long>& status) {
          if (!alive.expired()) took(name, number, status);
        });
}

void Webhooks::took(const std::string& name, std::uint64_t number, const Result<long>& status) {
  const auto found = books_.webhooks.find(name);
  const auto line = lines_.find(name);
  if (found == books_.webhooks.end() || line == lines_.end()) return;
  line->second.is_under_way = false;
  WebhookRecord& webhook = found->second;
  if (is_taken(status)) {
    ++figures_.taken;
    if (number >= webhook.next) {
      webhook.next = number + 1;
      ++webhook.sent;
      keep(webhook);
    }
    if (line->second.failures != 0) on_trouble_(name, "takes notifications again");
    line->second = {};
    return deliver(name);
  }
  ++figures_.refused;
  if (status && *status == kGone) {
    webhook.gone = true;
    keep(webhook);
    return on_trouble_(name,
                       "wants nothing more (410 Gone): it is not told anything until it is "
                       "set again");
  }
  refused(webhook, line->second, text_of(status));
}

void Webhooks::refused(const WebhookRecord& webhook, Line& line, std::string why) {
  line.trouble = std::move(why);
  if (line.failures == 0) {
    on_trouble_(webhook.name,
                fmt::format("does not take notifications, and is asked again for 24 hours: {}",
                            line.trouble));
  }
  base::Duration pause = kFirstWait;
  for (std::uint32_t i = 0; i < line.failures && pause < kMaxWait; ++i) pause *= 2;
  ++line.failures;
  line.is_waiting = true;
  scheduler_.call_at(scheduler_.now() + std::min(pause, kMaxWait),
                     [this, alive = std::weak_ptr<char>(alive_), name = webhook.name] {
                       if (alive.expired()) return;
                       const auto found = lines_.find(name);
                       if (found == lines_.end()) return;
                       found->second.is_waiting = false;
                       deliver(name);
                     });
}

void Webhooks::keep(const WebhookRecord& webhook) {
  store::Transaction transaction;
  transaction.put(webhook_key(webhook.name), write_record(webhook));
  trim(transaction);
  ledger_.write(std::move(transaction), {}, nullptr);
}

// What all have taken or missed.
void Webhooks::trim(store::Transaction& transaction) {
  std::uint64_t needed = std::numeric_limits<std::uint64_t>::max();
  for (const auto& [name, webhook] : books_.webhooks) {
    if (!webhook.gone) needed = std::min(needed, webhook.next);
  }
  for (std::size_t i = 0; i < kMaxErased && !books_.outbox.empty(); ++i) {
    const auto oldest = books_.outbox.begin();
    if (oldest->first >= needed) break;
    transaction.erase(outbox_key(oldest->first));
    books_.outbox.erase(oldest);
  }
}

}  // namespace segue::server
