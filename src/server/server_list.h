// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "server/documents.h"
#include "store/scheduler.h"
#include "store/store.h"

namespace segue::server {

// Which servers share the store: each writes down where it is reached when it starts, and sees what
// the others have written. One that has ended stays in the list until somebody removes it: it is
// expected back.
class ServerList {
 public:
  static constexpr base::Duration kRetry = std::chrono::seconds(1);

  using OnChange = std::function<void()>;
  // All outlive it. Nothing happens before begin().
  ServerList(store::Store& store, store::Scheduler& scheduler, const base::Log& log,
             OnChange on_change);

  void begin();
  // This server, as the others are to find it; written down again when it has changed.
  void announce(ServerRecord own);

  // Nothing is known of the others before.
  [[nodiscard]] bool is_listed() const { return is_listed_; }
  // This one first, then by name; at most fleet::kMaxServers.
  [[nodiscard]] std::vector<ServerRecord> all() const;

 private:
  void list();
  void listed(const base::Result<store::Page>& page);
  void watch(store::Revision first);
  void take(const tl::expected<store::Change, store::WatchEnd>& change);
  void add(const std::string& key, const std::string& value);
  void write_own();
  void try_again(const base::Error& why, void (ServerList::*what)());

  store::Store& store_;
  store::Scheduler& scheduler_;
  const base::Log& log_;
  const OnChange on_change_;
  bool is_listed_ = false;
  bool is_writing_ = false;
  std::optional<ServerRecord> own_;
  std::map<std::string, ServerRecord> servers_;
  std::unique_ptr<store::Watch> watch_;
  std::string complaint_;  // as it was logged last
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace segue::server
