// SPDX-License-Identifier: Apache-2.0
// The fleet as the server leads it: hosts that attach, and what they are to be.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>

#include "base/error.h"
#include "base/log.h"
#include "fleet/host.h"
#include "os/clock.h"
#include "rpc/fleet_server.h"
#include "server/attachments.h"
#include "server/books.h"
#include "server/enrolment.h"
#include "server/event_log.h"
#include "server/ledger.h"
#include "server/log_desk.h"
#include "server/people.h"
#include "server/requests.h"
#include "server/rollouts.h"
#include "server/webhooks.h"

namespace segue::server {

class Control final : public rpc::FleetHandler {
 public:
  static constexpr std::size_t kMaxLinesOfRelay = 20'000;
  // The same refusal is an event once in so long; and no more than so many different ones.
  static constexpr base::Duration kRefusalsTold = std::chrono::minutes(10);
  static constexpr std::size_t kMaxRefusals = 100;

  struct Parts {
    store::Store& store;
    store::Scheduler& scheduler;
    const os::Clock& clock;
    const base::Log& log;
  };
  struct Settings {
    pki::Authority authority;
    base::Duration certificate_lifetime = Enrolment::kLifetime;
    // The process ends then; the next one reads what is stored.
    std::function<void(const base::Error& why)> on_fatal;
    Webhooks::Post post;  // how webhooks get what they are told
  };
  // Parts outlive it. `books` are as they were read; a fleet that is new is written down at once.
  Control(Parts parts, Settings settings, Books books);
  ~Control() override;

  // Of a leader (store/election.h), before begin().
  void guard_with(store::Compare guard) { ledger_.guard_with(std::move(guard)); }
  // Whom to send through; before anybody attaches.
  void send_through(rpc::FleetServer& sessions) { sessions_ = &sessions; }
  // Where agents find the servers of the fleet, this one and those that stand by: HOST:PORT. They,
  // and relays, are told.
  void set_servers(std::vector<std::string> addresses);
  [[nodiscard]] const std::vector<std::string>& servers() const { return servers_; }
  // Goes on with what is not over.
  void begin();

  // ---- rpc::FleetHandler
  void join(const rpc::JoinRequest& request, rpc::GiveCredentials give) override;
  void renew(const pki::Certificate& who, const rpc::RenewRequest& request,
             rpc::GiveCredentials give) override;
  void refused(const base::Error& why) override;
  base::Result<void> attached(rpc::SessionId session, const pki::Certificate& who) override;
  void received(rpc::SessionId session, rpc::Envelope envelope) override;
  void detached(rpc::SessionId session) override;
  void room(rpc::SessionId session) override;

  // ---- What persons ask for
  base::Result<void> set_drained(const std::string& host, bool drained, const std::string& by);
  // failed_precondition: components run there, as far as anybody knows; `force`: they go on without
  // anybody who leads them.
  base::Result<void> remove_host(const std::string& host, bool force, const std::string& by);
  void stop(bool on, const std::string& by);

  [[nodiscard]] const Books& books() const { return books_; }
  [[nodiscard]] const Attachments& attachments() const { return attachments_; }
  [[nodiscard]] const Ledger& ledger() const { return ledger_; }
  [[nodiscard]] Ledger& ledger() { return ledger_; }
  [[nodiscard]] Rollouts& rollouts() { return rollouts_; }
  [[nodiscard]] Enrolment& enrolment() { return enrolment_; }
  [[nodiscard]] People& people() { return people_; }
  [[nodiscard]] EventLog& events() { return events_; }
  [[nodiscard]] Webhooks& webhooks() { return webhooks_; }
  [[nodiscard]] Requests& requests() { return requests_; }
  [[nodiscard]] LogDesk& logs() { return logs_; }
  [[nodiscard]] store::Store& store() { return parts_.store; }
  // Calls when everything that was decided so far is stored; not inside this call.
  void when_stored(std::function<void()> call);
  [[nodiscard]] base::MonotonicTime scheduler_now() const { return parts_.scheduler.now(); }
  [[nodiscard]] fleet::DesiredHost desired(const std::string& host) const;
  // The relay's name; empty: the host is attached by itself.
  [[nodiscard]] std::string relay_of(const Attachments::Way& way) const;

 private:
  struct Session {
    pki::Identity who;
    bool said_hello = false;  // for itself
    // Of a relay:
    std::unordered_map<std::uint64_t, std::string> lines;  // to which hosts
    std::deque<std::string> due;                           // hosts that are to get what is wanted
    std::set<std::string> is_due;                          // … the same
  };
  using Way = Attachments::Way;

  void write_host(const HostRecord& host, Deed deed);
  void send_desired(const std::string& host);
  void send_desired_now(const std::string& host, const Way& way);
  // Signed, where it goes through a relay.
  base::Result<void> send_order(const Way& way, rpc::Envelope envelope);
  base::Result<void> want_logs(const std::string& host, std::uint64_t number, std::string document);
  void send_due(rpc::SessionId session);
  void send_servers(rpc::SessionId session);
  [[nodiscard]] bool may_speak(const Session& session, const rpc::Envelope& envelope) const;
  base::Result<void> introduce(Session& session, const rpc::Envelope& envelope);
  void close_way(const Way& way, const std::string& host, const base::Error& why);
  void refuse(const Way& way, const std::string& host, const base::Error& why);
  void take_heartbeats(rpc::SessionId session, const rpc::Envelope& envelope);
  void take_hello(rpc::SessionId session, const rpc::Envelope& envelope);
  void take_observed(const rpc::Envelope& envelope);
  [[nodiscard]] bool is_relay(const std::string& host) const;
  [[nodiscard]] std::set<std::string> components_on(const std::string& host) const;
  void say_of_host(const std::string& host, const std::string& text, const char* severity);
  void say_refused(const std::string& host, const base::Error& why);
  void changed(const std::string& host, store::Revision revision);
  void add_event(FleetEvent event);
  void tell_of_head(store::Transaction& transaction, const rollout::Rollout* before,
                    const rollout::Rollout& head);

  Parts parts_;
  const pki::Authority authority_;
  Books books_;
  Ledger ledger_;
  Attachments attachments_;
  Rollouts rollouts_;
  Enrolment enrolment_;
  People people_;
  EventLog events_;
  Webhooks webhooks_;
  Requests requests_;
  LogDesk logs_;
  rpc::FleetServer* sessions_ = nullptr;
  std::vector<std::string> servers_;
  rpc::Envelope servers_told_;  // … as they are told of them; no kind: there are none
  std::map<rpc::SessionId, Session> known_sessions_;
  std::map<std::string, base::MonotonicTime> refusals_;  // told of at
  std::map<std::string, store::Revision> generations_;   // by host
  store::Revision first_generation_ = 0;  // of hosts about which nothing was changed since
};

}  // namespace segue::server
