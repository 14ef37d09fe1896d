// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "fetch/async_http.h"
#include "store/etcd_messages.h"
#include "store/loop_scheduler.h"

namespace segue::store {

struct EtcdSettings {
  std::vector<std::string> members;  // "http://10.0.0.1:2379", "https://…"; all of them
  std::string root = "/segue/";      // before each key; ends in '/'
  fetch::TlsFiles tls;
  base::Duration connect = std::chrono::seconds(2);
  base::Duration read_limit = std::chrono::seconds(3);  // of one attempt
  // Of one attempt, which is the only one once it has been sent. A member whose leader has just
  // died says nothing for 7 s, at etcd's usual settings; another has one after 1 to 2 s.
  base::Duration write_limit = std::chrono::seconds(2);
  // How long to look for a member that can do it.
  base::Duration patience = std::chrono::seconds(15);
  base::Duration watch_patience = std::chrono::seconds(60);
  std::size_t max_queued_changes = 1024;  // of one watch
  std::size_t max_queued_bytes = std::size_t{8} << 20;
  // Older changes are compacted, for the whole cluster, while this server commits; 0: never.
  Revision history_revisions = 10'000;
};

// Requests to whichever member of an etcd cluster can do them. Scheduler, loop and clock outlive
// it; one thread, the loop's.
class EtcdClient {
 public:
  static constexpr std::size_t kMaxAtOnce = 32;

  EtcdClient(EtcdSettings settings, LoopScheduler& scheduler, os::EpollLoop& loop,
             const os::Clock& clock);

  enum class Kind {
    repeatable,  // done twice is as good as done once
    once,        // sent again only after an answer that it has not been done
  };
  using OnEnd = std::function<void(tl::expected<std::string, etcd::Refusal> body)>;
  // At most kMaxPending at a time. `path`: "kv/range".
  void request(Kind kind, std::string path, std::string body, OnEnd on_end);

  // The member that requests go to now. leave(): it does not do; the next one from now on.
  [[nodiscard]] std::size_t member() const { return member_; }
  [[nodiscard]] std::string url(const std::string& path) const;
  void leave(std::size_t member);
  void when_left(std::function<void()> call) { when_left_ = std::move(call); }

  [[nodiscard]] fetch::HttpPost make_post(const std::string& path, std::string body) const;
  [[nodiscard]] fetch::AsyncHttp& http() { return http_; }
  [[nodiscard]] const EtcdSettings& settings() const { return settings_; }
  [[nodiscard]] LoopScheduler& scheduler() { return *scheduler_; }
  // Runs it later, unless this is destroyed before.
  void at(base::Duration delay, std::function<void()> call);

 private:
  struct Request;
  void start(const std::shared_ptr<Request>& request);
  void attempt(const std::shared_ptr<Request>& request);
  void end_attempt(const std::shared_ptr<Request>& request, std::size_t member,
                   fetch::HttpPostEnd end);
  void retry(const std::shared_ptr<Request>& request, const etcd::Refusal& refusal);
  void finish(const std::shared_ptr<Request>& request,
              tl::expected<std::string, etcd::Refusal> body);

  EtcdSettings settings_;
  LoopScheduler* scheduler_;
  std::size_t member_ = 0;
  std::function<void()> when_left_;
  std::size_t at_once_ = 0;
  std::deque<std::shared_ptr<Request>> waiting_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
  fetch::AsyncHttp http_;
};

// How long to wait before the next attempt: a little more each time.
[[nodiscard]] base::Duration etcd_pause(std::size_t attempts, std::size_t members);

}  // namespace segue::store
