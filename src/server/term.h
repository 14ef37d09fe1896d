// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "control/listen_address.h"
#include "control/server_options.h"
#include "fetch/async_http.h"
#include "os/clock.h"
#include "os/epoll_loop.h"
#include "server/api.h"
#include "server/control.h"
#include "server/credentials.h"
#include "server/gate_keeper.h"
#include "server/http_listener.h"
#include "server/server_list.h"
#include "store/election.h"
#include "store/loop_scheduler.h"

namespace segue::server {

// A server of a fleet from when it opens its store until it stands down, is told to end, or cannot
// go on: it stands by, with no port open, and leads when it is elected. Whatever it has in memory
// is gone with it; the next one reads what is stored.
class Term {
 public:
  // Without an answer of the store by then, others lead when the lease has ended.
  static constexpr base::Duration kResignLimit = std::chrono::seconds(5);

  // All outlive it. It stops the loop when it is over; may only be destroyed outside of callbacks.
  Term(const control::ServerOptions& options, const control::SayServer& say, std::string directory,
       os::EpollLoop& loop, const os::Clock& clock, const base::Log& log);
  ~Term();
  Term(const Term&) = delete;
  Term& operator=(const Term&) = delete;

  // invalid_argument, or that the store cannot be opened.
  base::Result<void> open();
  void begin();
  // Writes what waits to be written, and gives the leadership back. Called again: ends at once.
  void resign();

  // Once it is over. Why the process cannot go on …
  [[nodiscard]] const std::optional<base::Error>& error() const { return error_; }
  // … or why this term has ended, and another may begin.
  [[nodiscard]] const std::optional<base::Error>& stood_down() const { return stood_down_; }
  [[nodiscard]] bool has_led() const { return has_led_; }

 private:
  [[nodiscard]] std::vector<std::string> addresses() const;
  [[nodiscard]] std::string advertised() const;
  [[nodiscard]] ServerRecord own_record(std::uint16_t agents_port, std::uint16_t people_port) const;
  void campaign();
  void lead(const store::Compare& guard);
  base::Result<void> serve(const store::Compare& guard, Books books);
  base::Result<void> listen();
  void answer(HttpRequest request, HttpListener::GiveAnswer give);
  void post(WebhookPost wanted, Webhooks::OnStatus on_status);
  base::Result<void> judge_gates();
  void welcome();
  void servers_changed();
  base::Result<void> keep_profile(const std::string& token);
  [[nodiscard]] std::vector<std::string> urls() const;
  [[nodiscard]] std::string url() const;
  void announce();
  void renew_later();
  void end(base::Error why);
  void stand_down(base::Error why);
  void give_back();

  const control::ServerOptions& options_;
  const control::SayServer& say_;
  const std::string directory_;
  os::EpollLoop& loop_;
  const os::Clock& clock_;
  const base::Log& log_;
  control::ListenAddress agents_;
  control::ListenAddress people_;
  std::string name_;
  std::optional<pki::Authority> authority_;
  ServerFiles files_;
  std::unique_ptr<store::LoopScheduler> scheduler_;
  std::unique_ptr<store::Store> store_;
  std::optional<ServerList> servers_;
  std::optional<store::Election> election_;
  std::unique_ptr<Control> control_;
  std::unique_ptr<fetch::AsyncHttp> poster_;  // ends before what its answers go to
  std::unique_ptr<MetricAsker> asker_;
  std::unique_ptr<GateKeeper> gates_;
  std::unique_ptr<rpc::FleetServer> sessions_;
  std::unique_ptr<Api> api_;
  std::unique_ptr<HttpListener> http_;
  bool has_led_ = false;
  bool is_ending_ = false;
  std::optional<base::Error> error_;
  std::optional<base::Error> stood_down_;
};

}  // namespace segue::server
