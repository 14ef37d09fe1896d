// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "os/clock.h"
#include "server/books.h"
#include "server/ledger.h"
#include "server/webhook_record.h"
#include "store/scheduler.h"

namespace segue::server {

// Tells others what happens. What is to be told is stored with the change that it is about, and
// each webhook gets it in order, at least once. Who does not take it is asked again, later each
// time, until it is kKept old; then it is missed, which is said. Books, ledger, scheduler and clock
// outlive it.
class Webhooks {
 public:
  static constexpr std::size_t kMaxWebhooks = 50;
  static constexpr std::size_t kMaxKept = 10'000;  // notifications; of more the oldest are missed
  static constexpr base::Duration kKept = std::chrono::hours(24);
  static constexpr base::Duration kFirstWait = std::chrono::seconds(5);  // then twice as long …
  static constexpr base::Duration kMaxWait = std::chrono::minutes(10);
  static constexpr long kGone = 410;
  static constexpr std::size_t kMaxTests = 20;

  // The status that was answered. Called once, or never; not inside the call.
  using OnStatus = std::function<void(base::Result<long>)>;
  using Post = std::function<void(WebhookPost post, OnStatus on_status)>;
  // Something that an operator should know about the webhook of this name.
  using OnTrouble = std::function<void(const std::string& name, const std::string& text)>;
  Webhooks(Books& books, Ledger& ledger, store::Scheduler& scheduler, const os::Clock& clock,
           Post post, OnTrouble on_trouble);

  // Goes on with what is stored; once.
  void begin();

  // The secret, once all is written down; nobody can be told it again. A webhook that there is
  // gets another URL and secret, and goes on where it was.
  void set(const std::string& name, const std::string& url, std::vector<std::string> kinds,
           const std::string& by, std::function<void(base::Result<std::string>)> take);
  base::Result<void> remove(const std::string& name, const std::string& by);
  // Sends one notification of kind "webhook.test" now, once. not_found: there is none of that name.
  // resource_exhausted: kMaxTests are under way.
  base::Result<void> test(const std::string& name, const std::string& by, OnStatus on_status);

  // Adds what is to be told to a transaction that the ledger gets before the loop's next turn: at
  // most kOperations. The number and the time are given to it here.
  static constexpr std::size_t kOperations = 2;
  void add_to(store::Transaction& transaction, Notification notification);
  // … in a transaction of its own.
  void tell(Notification notification);

  struct Figures {
    std::uint64_t taken = 0;
    std::uint64_t refused = 0;  // or no answer; asked again
    std::uint64_t missed = 0;
  };
  [[nodiscard]] const Figures& figures() const { return figures_; }
  [[nodiscard]] std::size_t waiting() const { return books_.outbox.size(); }
  [[nodiscard]] const std::map<std::string, WebhookRecord>& all() const { return books_.webhooks; }
  // Why the last attempt was in vain; empty: it was not.
  [[nodiscard]] std::string trouble(const std::string& name) const;

 private:
  struct Line {
    bool is_under_way = false;
    bool is_waiting = false;
    bool has_missed = false;     // since it took something
    std::uint32_t failures = 0;  // in a row
    std::string trouble;
  };

  void deliver(const std::string& name);
  void deliver_all();
  const Notification* next_for(WebhookRecord& webhook);
  void took(const std::string& name, std::uint64_t number, const base::Result<long>& status);
  void refused(const WebhookRecord& webhook, Line& line, std::string why);
  void miss(WebhookRecord& webhook, const Notification& notification);
  void drop_oldest(store::Transaction& transaction);
  void keep(const WebhookRecord& webhook);
  void trim(store::Transaction& transaction);

  Books& books_;
  Ledger& ledger_;
  store::Scheduler& scheduler_;
  const os::Clock& clock_;
  Post post_;
  OnTrouble on_trouble_;
  std::map<std::string, Line> lines_;
  std::uint64_t last_ = 0;    // notification that was given a number
  std::uint64_t stored_ = 0;  // … that is stored for sure
  std::size_t tests_ = 0;     // under way
  Figures figures_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace segue::server
