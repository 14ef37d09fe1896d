// SPDX-License-Identifier: Apache-2.0
// The fleet as the server leads it: hosts that attach, and what they are to be.
#pragma once

#include <functional>
#include <memory>
#include <string>

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
#include "server/people.h"
#include "server/rollouts.h"

namespace segue::server {

class Control final : public rpc::FleetHandler {
 public:
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
  };
  // Parts outlive it. `books` are as they were read; a fleet that is new is written down at once.
  Control(Parts parts, Settings settings, Books books);
  ~Control() override;

  // Of a leader (store/election.h), before begin().
  void guard_with(store::Compare guard) { ledger_.guard_with(std::move(guard)); }
  // Whom to send through; before anybody attaches.
  void send_through(rpc::FleetServer& sessions) { sessions_ = &sessions; }
  // Goes on with what is not over.
  void begin();

  // ---- rpc::FleetHandler
  void join(const rpc::JoinRequest& request, rpc::GiveCredentials give) override;
  void renew(const pki::Certificate& who, const std::string& request_pem,
             rpc::GiveCredentials give) override;
  base::Result<void> attached(rpc::SessionId session, const pki::Certificate& who) override;
  void received(rpc::SessionId session, rpc::Envelope envelope) override;
  void detached(rpc::SessionId session) override;

  // ---- What persons ask for
  base::Result<void> set_drained(const std::string& host, bool drained, const std::string& by);
  base::Result<void> remove_host(const std::string& host, const std::string& by);
  void stop(bool on, const std::string& by);

  [[nodiscard]] const Books& books() const { return books_; }
  [[nodiscard]] const Attachments& attachments() const { return attachments_; }
  [[nodiscard]] const Ledger& ledger() const { return ledger_; }
  [[nodiscard]] Rollouts& rollouts() { return rollouts_; }
  [[nodiscard]] Enrolment& enrolment() { return enrolment_; }
  [[nodiscard]] People& people() { return people_; }
  [[nodiscard]] EventLog& events() { return events_; }
  [[nodiscard]] base::MonotonicTime scheduler_now() const { return parts_.scheduler.now(); }
  [[nodiscard]] fleet::DesiredHost desired(const std::string& host) const;

 private:
  struct Session {
    pki::Identity who;
  };

  void write_host(const HostRecord& host, Deed deed);
  void send_desired(const std::string& host);
  void refuse(rpc::SessionId session, const std::string& host, const base::Error& why);
  void take_hello(rpc::SessionId session, const rpc::Envelope& envelope);
  void take_observed(const rpc::Envelope& envelope);
  void changed(const std::string& host, store::Revision revision);

  Parts parts_;
  Books books_;
  Ledger ledger_;
  Attachments attachments_;
  Rollouts rollouts_;
  Enrolment enrolment_;
  People people_;
  EventLog events_;
  rpc::FleetServer* sessions_ = nullptr;
  std::map<rpc::SessionId, Session> known_sessions_;
  std::map<std::string, store::Revision> generations_;  // by host
  store::Revision first_generation_ = 0;  // of hosts about which nothing was changed since
};

}  // namespace segue::server
