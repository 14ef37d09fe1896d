// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/log.h"
#include "builder/build_run.h"
#include "builder/config.h"
#include "builder/decider.h"
#include "builder/repository_watch.h"
#include "builder/status_sender.h"
#include "builder/store.h"
#include "builder/webhook_server.h"
#include "builder/workshop.h"
#include "control/build_options.h"
#include "os/clock.h"
#include "os/epoll_loop.h"

namespace segue::builder {

// Watches repositories and builds their commits, one at a time, until it is told to end (SIGTERM,
// SIGINT). It may be killed at any instruction: the next one goes on.
class Builder {
 public:
  struct Settings {
    std::vector<std::string> environment;  // of git and of the publisher
    std::string publisher;
    bool once = false;  // end when nothing is left to do
  };

  // `clock`, `config`, `store`, `log` and `screen` outlive it.
  static base::Result<std::unique_ptr<Builder>> create(const os::Clock& clock, const Config& config,
                                                       Store& store, base::Log& log,
                                                       control::Screen& screen, Settings settings);
  ~Builder();

  // How many builds ended, and how many of them failed; an error ends it at once.
  struct Summary {
    std::uint64_t ended = 0;
    std::uint64_t failed = 0;
    std::uint64_t unreachable = 0;  // repositories whose last look failed
  };
  base::Result<Summary> run();

 private:
  Builder(const os::Clock& clock, const Config& config, Store& store, base::Log& log,
          control::Screen& screen, Settings settings, os::EpollLoop loop);

  base::Result<void> start();
  base::Result<void> end_leftovers();
  base::Result<void> read_secrets();
  base::Result<void> watch_spool();
  base::Result<void> restore();
  void read_spool();
  void execute(Commands commands);
  void do_command(const Command& command);
  void save_record(const Record& record);
  void stage_ended(const StageResult& result);
  void tell(std::uint64_t id);
  void send_statuses();
  void status_sent(std::uint64_t id, Status status, const base::Result<void>& result);
  [[nodiscard]] StatusSender::Post make_post(const Record& record) const;
  WebhookAnswer answer(const WebhookRequest& request);
  void show_progress();
  void give_up(base::Error error);
  [[nodiscard]] bool is_idle() const;
  [[nodiscard]] const RepositoryConfig* config_of(const std::string& repository) const;

  struct StatusSecrets {
    std::string header;
    std::string secret;
  };

  os::EpollLoop loop_;
  const os::Clock& clock_;
  const Config& config_;
  Store& store_;
  base::Log& log_output_;
  control::Screen& screen_;
  Settings settings_;
  Decider decider_;
  Workshop workshop_;
  BuildRun build_run_;
  std::map<std::string, std::unique_ptr<RepositoryWatch>> watches_;
  std::map<std::string, std::string> webhook_secrets_;
  std::map<std::string, StatusSecrets> status_secrets_;
  std::set<std::uint64_t> to_tell_;
  std::set<std::uint64_t> being_told_;
  std::unique_ptr<StatusSender> sender_;
  std::unique_ptr<WebhookServer> webhooks_;
  os::UniqueFd signals_;
  os::UniqueFd spool_watch_;
  std::optional<base::Error> error_;
  bool ends_ = false;
  Summary summary_;
};

}  // namespace segue::builder
