// SPDX-License-Identifier: Apache-2.0
#include "server/fleet_command.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <nlohmann/json.hpp>

#include "base/json_writer.h"
#include "control/listen_address.h"
#include "fetch/async_http.h"
#include "os/files.h"
#include "os/paths.h"
#include "os/process.h"
#include "server/api.h"
#include "server/control.h"
#include "server/credentials.h"
#include "server/gate_keeper.h"
#include "server/http_listener.h"
#include "store/election.h"
#include "store/location.h"

namespace segue::server {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::string_view kElectionKey = "election/server";
constexpr std::uint64_t kMaxWebhookAnswerBytes = std::uint64_t{1} << 20;
constexpr auto kWebhookConnect = std::chrono::seconds(5);
constexpr auto kWebhookLimit = std::chrono::seconds(15);

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "server";
}

// What `segue server` is made of, from the moment that it may lead.
class FleetServerProcess {
 public:
  FleetServerProcess(const control::ServerOptions& options, const control::SayServer& say,
                     std::string directory, os::EpollLoop& loop, const os::Clock& clock,
                     const base::Log& log)
      : options_(options),
        say_(say),
        directory_(std::move(directory)),
        loop_(loop),
        clock_(clock),
        log_(log) {}

  Result<void> open() {
    SEGUE_ASSIGN(agents_, control::parse_listen_address("--agents", options_.agents));
    SEGUE_ASSIGN(people_, control::parse_listen_address("--listen", options_.listen.empty()
                                                                        ? control::kPeopleListen
                                                                        : options_.listen));
    SEGUE_ASSIGN(authority_, open_authority(directory_, clock_));
    name_ = options_.name.empty() ? host_name() : options_.name;
    SEGUE_ASSIGN(files_, renew_server(directory_, *authority_, name_, addresses(), clock_));
    SEGUE_ASSIGN(scheduler_, store::LoopScheduler::create(loop_, clock_));
    const std::string where =
        options_.store.empty() ? "sqlite:" + directory_ + "/store" : options_.store;
    SEGUE_ASSIGN(const auto location, store::parse_location(where));
    SEGUE_ASSIGN(store_, store::open_store(location, *scheduler_, loop_, clock_));
    return {};
  }

  void campaign() {
    election_.emplace(
        *store_, *scheduler_,
        store::Election::Settings{.key = std::string(kElectionKey), .candidate = name_},
        store::Election::Observer{
            .on_elected = [this](const store::Compare& guard) { lead(guard); },
            .on_deposed =
                [this](const std::string& why) {
                  end({ErrorCode::aborted, "another server leads now: " + why});
                },
            .on_leader =
                [this](const std::optional<store::Election::Leader>& leader) {
                  if (control_ || !leader) return;
                  log_.info("server.stands-by", {{"leader", leader->candidate}});
                }});
    election_->campaign();
  }

  [[nodiscard]] const std::optional<base::Error>& error() const { return error_; }

 private:
  [[nodiscard]] std::vector<std::string> addresses() const {
    std::vector<std::string> all{"localhost", "127.0.0.1", "::1", host_name()};
    for (const std::string& more : {agents_.address, people_.address, options_.advertise}) {
      const bool is_any = more.empty() || more == "0.0.0.0" || more == "::";
      if (!is_any && std::ranges::find(all, more) == all.end()) all.push_back(more);
    }
    return all;
  }

  void lead(const store::Compare& guard) {
    log_.info("server.leads", {{"store", store_->name()}});
    read_books(*store_, [this, guard](Result<Books> books) {
      if (!books) return end(books.error());
      const auto begun = serve(guard, *std::move(books));
      if (!begun) end(begun.error());
    });
  }

  Result<void> serve(const store::Compare& guard, Books books) {
    poster_ = std::make_unique<fetch::AsyncHttp>(loop_, clock_);
    control_ = std::make_unique<Control>(
        Control::Parts{*store_, *scheduler_, clock_, log_},
        Control::Settings{.authority = *authority_,
                          .certificate_lifetime = std::chrono::hours(options_.certificate_hours),
                          .on_fatal = [this](const base::Error& why) { end(why); },
                          .post =
                              [this](WebhookPost wanted, Webhooks::OnStatus on_status) {
                                post(std::move(wanted), std::move(on_status));
                              }},
        std::move(books));
    control_->guard_with(guard);
    SEGUE_ASSIGN(sessions_, rpc::FleetServer::open(loop_, clock_,
                                                   {options_.agents, files_.certificate, files_.key,
                                                    authority_->certificate()},
                                                   *control_));
    control_->send_through(*sessions_);
    control_->begin();
    SEGUE_TRY(judge_gates());
    const std::string join_host = options_.advertise.empty() ? host_name() : options_.advertise;
    api_ = std::make_unique<Api>(*control_, clock_,
                                 fmt::format("{}:{}", join_host, sessions_->port()));
    SEGUE_ASSIGN(http_, HttpListener::open(
                            loop_, {people_.address, people_.port, files_.certificate, files_.key},
                            [this](HttpRequest request, HttpListener::GiveAnswer give) {
                              api_->handle(std::move(request), std::move(give));
                            }));
    renew_later();
    return welcome();
  }

  void post(WebhookPost wanted, Webhooks::OnStatus on_status) {
    poster_->post({.url = std::move(wanted.url),
                   .body = std::move(wanted.body),
                   .fields = std::move(wanted.fields),
                   .max_bytes = kMaxWebhookAnswerBytes,
                   .connect = kWebhookConnect,
                   .total = kWebhookLimit},
                  [on_status = std::move(on_status)](const fetch::HttpPostEnd& ended) {
                    if (!ended.answer) return on_status(fail(ended.answer.error()));
                    on_status(ended.answer->status);
                  });
  }

  Result<void> judge_gates() {
    SEGUE_ASSIGN(asker_, MetricAsker::open(loop_));
    gates_ = std::make_unique<GateKeeper>(GateKeeper::Parts{
        .rollouts = control_->rollouts(),
        .books = control_->books(),
        .ledger = control_->ledger(),
        .asker = *asker_,
        .scheduler = *scheduler_,
        .clock = clock_,
        .log = log_,
        .observed = [this](const std::string& host) -> const fleet::ObservedHost* {
          const auto* attachment = control_->attachments().find(host);
          return attachment != nullptr && attachment->observed ? &*attachment->observed : nullptr;
        }});
    gates_->begin();
    return {};
  }

  // The first who administers is whoever may read this file.
  Result<void> welcome() {
    const std::string profile = directory_ + "/admin.json";
    if (control_->people().all().empty()) {
      control_->people().set("admin",
                             {{Right::view, Right::deploy, Right::approve, Right::administer}, {}},
                             "server", [this, profile](const Result<std::string>& token) {
                               if (!token) return end(token.error());
                               const auto written = os::write_file_atomically(
                                   profile, nlohmann::json{{"segue_profile", 1},
                                                           {"url", url()},
                                                           {"token", *token},
                                                           {"authority", authority_->certificate()}}
                                                .dump(2));
                               if (!written) return end(written.error());
                               announce();
                             });
    } else {
      announce();
    }
    return {};
  }

  [[nodiscard]] std::string url() const {
    const bool is_any = people_.address == "0.0.0.0" || people_.address == "::";
    const std::string host = is_any ? "127.0.0.1" : people_.address;
    return host.find(':') == std::string::npos
               ? fmt::format("https://{}:{}", host, http_->port())
               : fmt::format("https://[{}]:{}", host, http_->port());
  }

  void announce() {
    base::JsonWriter object;
    object.begin_object()
        .field("event", "listening")
        .field("fleet", control_->books().fleet.id)
        .field("store", store_->name())
        .field("agents_port", sessions_->port())
        .field("url", url())
        .end();
    say_(fmt::format("leads fleet {} from {}: agents on port {}, people at {}",
                     control_->books().fleet.id, store_->name(), sessions_->port(), url()),
         std::move(object).take());
  }

  void renew_later() {
    scheduler_->call_at(scheduler_->now() + kServerRenewal, [this] {
      const auto renewed = renew_server(directory_, *authority_, name_, addresses(), clock_);
      if (!renewed) log_.warning("server.not-renewed", {{"why", renewed.error().to_string()}});
      if (renewed && !http_->reload()) log_.warning("server.not-reloaded");
      renew_later();
    });
  }

  void end(base::Error why) {
    if (!error_) error_ = std::move(why);
    loop_.stop();
  }

  const control::ServerOptions& options_;
  const control::SayServer& say_;
  const std::string directory_;
  os::EpollLoop& loop_;
  const os::Clock& clock_;
  const base::Log& log_;
  control::ListenAddress agents_;
  control::ListenAddress people_;
  std::optional<pki::Authority> authority_;
  std::string name_;
  ServerFiles files_;
  std::unique_ptr<store::LoopScheduler> scheduler_;
  std::unique_ptr<store::Store> store_;
  std::optional<store::Election> election_;
  std::unique_ptr<Control> control_;
  std::unique_ptr<fetch::AsyncHttp> poster_;  // ends before what its answers go to
  std::unique_ptr<MetricAsker> asker_;
  std::unique_ptr<GateKeeper> gates_;
  std::unique_ptr<rpc::FleetServer> sessions_;
  std::unique_ptr<Api> api_;
  std::unique_ptr<HttpListener> http_;
  std::optional<base::Error> error_;
};

}  // namespace

Result<control::ServerEnd> run_fleet_server(const control::ServerOptions& options,
                                            const control::SayServer& say) {
  SEGUE_ASSIGN(const os::Directories directories, os::directories());
  const std::string directory =
      options.state.empty() ? directories.state + "/server" : options.state;
  SEGUE_ASSIGN(const os::UniqueFd signals, os::signal_fd({SIGTERM, SIGINT}));
  const os::SystemClock clock;
  const base::Log log({.now = [&clock] { return clock.realtime_now(); }});
  SEGUE_ASSIGN(os::EpollLoop loop, os::EpollLoop::create(clock));
  SEGUE_TRY(loop.watch(signals.get(), EPOLLIN, [&loop](std::uint32_t) { loop.stop(); }));
  FleetServerProcess process(options, say, directory, loop, clock, log);
  SEGUE_TRY(process.open());
  if (options.dry_run) {
    return control::ServerEnd{
        .text = fmt::format("the fleet in {} would be led, on {} for agents and {} for people",
                            directory, options.agents, options.listen)};
  }
  os::raise_descriptor_limit();
  process.campaign();
  SEGUE_TRY(loop.run());
  if (process.error()) return fail(*process.error());
  return control::ServerEnd{.text = "ends; what runs on the hosts goes on"};
}

}  // namespace segue::server
