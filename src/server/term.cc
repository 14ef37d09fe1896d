// SPDX-License-Identifier: Apache-2.0
#include "server/term.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/json_writer.h"
#include "os/files.h"
#include "store/location.h"

namespace segue::server {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using nlohmann::json;

constexpr std::string_view kElectionKey = "election/server";
constexpr const char* kFirstAdministrator = "admin";
constexpr std::size_t kMaxProfileBytes = std::size_t{64} << 10;
constexpr std::uint64_t kMaxWebhookAnswerBytes = std::uint64_t{1} << 20;
constexpr auto kWebhookConnect = std::chrono::seconds(5);
constexpr auto kWebhookLimit = std::chrono::seconds(15);

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "server";
}

bool is_any(const std::string& address) {
  return address.empty() || address == "0.0.0.0" || address == "::";
}

std::string host_and_port(const std::string& host, std::uint16_t port) {
  const bool has_colon = host.find(':') != std::string::npos && !host.starts_with('[');
  return has_colon ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

// What is over when the store is there again, and has been read anew.
bool is_of_the_store(const base::Error& why) {
  switch (why.code()) {
    case ErrorCode::aborted:  // another leads
    case ErrorCode::unavailable:
    case ErrorCode::deadline_exceeded:
    case ErrorCode::resource_exhausted:
    case ErrorCode::unknown_outcome:
      return true;
    default:
      return false;
  }
}

}  // namespace

Term::Term(const control::ServerOptions& options, const control::SayServer& say,
           std::string directory, os::EpollLoop& loop, const os::Clock& clock, const base::Log& log)
    : options_(options),
      say_(say),
      directory_(std::move(directory)),
      loop_(loop),
      clock_(clock),
      log_(log) {}

Term::~Term() = default;

Result<void> Term::open() {
  SEGUE_ASSIGN(agents_, control::parse_listen_address("--agents", options_.agents));
  SEGUE_ASSIGN(people_,
               control::parse_listen_address(
                   "--listen", options_.listen.empty() ? control::kPeopleListen : options_.listen));
  name_ = options_.name.empty() ? host_name() : options_.name;
  SEGUE_TRY(os::ensure_private_directory(directory_));
  SEGUE_ASSIGN(scheduler_, store::LoopScheduler::create(loop_, clock_));
  const std::string where =
      options_.store.empty() ? "sqlite:" + directory_ + "/store" : options_.store;
  SEGUE_ASSIGN(const auto location, store::parse_location(where));
  SEGUE_ASSIGN(store_, store::open_store(location, *scheduler_, loop_, clock_));
  return {};
}

void Term::begin() {
  settle_authority(*store_, directory_, clock_, [this](const Result<pki::Authority>& settled) {
    if (is_ending_) return;
    if (!settled) return stand_down(settled.error());
    authority_ = *settled;
    auto files = renew_server(directory_, *authority_, name_, addresses(), clock_);
    if (!files) return end(files.error());
    files_ = *std::move(files);
    servers_.emplace(*store_, *scheduler_, log_, [this] { servers_changed(); });
    if (agents_.port != 0 && people_.port != 0) {
      servers_->announce(own_record(agents_.port, people_.port));
    }
    servers_->begin();
    campaign();
  });
}

void Term::campaign() {
  election_.emplace(*store_, *scheduler_,
                    store::Election::Settings{.key = std::string(kElectionKey), .candidate = name_},
                    store::Election::Observer{
                        .on_elected = [this](const store::Compare& guard) { lead(guard); },
                        .on_deposed =
                            [this](const std::string& why) {
                              stand_down({ErrorCode::aborted, "it leads no more: " + why});
                            },
                        .on_leader =
                            [this](const std::optional<store::Election::Leader>& leader) {
                              if (control_ || !leader) return;
                              log_.info("server.stands-by", {{"leader", leader->candidate}});
                            }});
  election_->campaign();
}

// ---- Its end

void Term::end(base::Error why) {
  if (error_) return;
  error_ = std::move(why);
  give_back();
}

void Term::stand_down(base::Error why) {
  if (is_ending_ || stood_down_) return;
  if (!is_of_the_store(why)) return end(std::move(why));
  stood_down_ = std::move(why);
  give_back();
}

void Term::resign() {
  if (std::exchange(is_ending_, true)) return loop_.stop();
  if (!control_) return give_back();
  scheduler_->call_at(scheduler_->now() + kResignLimit, [this] { loop_.stop(); });
  control_->when_stored([this] { give_back(); });
}

// So that nobody has to wait for the end of its lease.
void Term::give_back() {
  if (!election_) return loop_.stop();
  scheduler_->call_at(scheduler_->now() + kResignLimit, [this] { loop_.stop(); });
  election_->resign([this](const Result<void>& resigned) {
    if (!resigned) log_.warning("server.not-resigned", {{"why", resigned.error().to_string()}});
    loop_.stop();
  });
}

// ---- Leading

void Term::lead(const store::Compare& guard) {
  log_.info("server.leads", {{"store", store_->name()}});
  read_books(*store_, [this, guard](Result<Books> books) {
    if (is_ending_ || stood_down_) return;
    if (!books) return stand_down(books.error());
    const auto begun = serve(guard, *std::move(books));
    if (!begun) end(begun.error());
  });
}

Result<void> Term::serve(const store::Compare& guard, Books books) {
  poster_ = std::make_unique<fetch::AsyncHttp>(loop_, clock_);
  control_ = std::make_unique<Control>(
      Control::Parts{*store_, *scheduler_, clock_, log_},
      Control::Settings{.authority = *authority_,
                        .certificate_lifetime = std::chrono::hours(options_.certificate_hours),
                        .on_fatal = [this](const base::Error& why) { stand_down(why); },
                        .post =
                            [this](WebhookPost wanted, Webhooks::OnStatus on_status) {
                              post(std::move(wanted), std::move(on_status));
                            }},
      std::move(books));
  control_->guard_with(guard);
  SEGUE_TRY(listen());
  has_led_ = true;
  control_->begin();
  SEGUE_TRY(judge_gates());
  renew_later();
  servers_->announce(own_record(sessions_->port(), http_->port()));
  servers_changed();
  welcome();
  return {};
}

// Nothing comes from there before the loop turns again.
Result<void> Term::listen() {
  SEGUE_ASSIGN(sessions_, rpc::FleetServer::open(loop_, clock_,
                                                 {options_.agents, files_.certificate, files_.key,
                                                  authority_->certificate()},
                                                 *control_));
  control_->send_through(*sessions_);
  api_ = std::make_unique<Api>(*control_, clock_, host_and_port(advertised(), sessions_->port()));
  SEGUE_ASSIGN(http_, HttpListener::open(
                          loop_, {people_.address, people_.port, files_.certificate, files_.key},
                          [this](HttpRequest request, HttpListener::GiveAnswer give) {
                            answer(std::move(request), std::move(give));
                          }));
  return {};
}

// What it knows may be old once another can have been elected.
void Term::answer(HttpRequest request, HttpListener::GiveAnswer give) {
  if (election_->guard()) return api_->handle(std::move(request), std::move(give));
  give({.status = 503, .body = R"({"error":"this server leads no more: ask again"})"});
}

void Term::post(WebhookPost wanted, Webhooks::OnStatus on_status) {
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

Result<void> Term::judge_gates() {
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

void Term::announce() {
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

void Term::renew_later() {
  scheduler_->call_at(scheduler_->now() + kServerRenewal, [this] {
    const auto renewed = renew_server(directory_, *authority_, name_, addresses(), clock_);
    if (!renewed) log_.warning("server.not-renewed", {{"why", renewed.error().to_string()}});
    if (renewed && !http_->reload()) log_.warning("server.not-reloaded");
    renew_later();
  });
}

// ---- Where it and the others are

std::string Term::advertised() const {
  return options_.advertise.empty() ? host_name() : options_.advertise;
}

std::vector<std::string> Term::addresses() const {
  std::vector<std::string> all{"localhost", "127.0.0.1", "::1", host_name()};
  for (const std::string& more : {agents_.address, people_.address, options_.advertise}) {
    if (!is_any(more) && std::ranges::find(all, more) == all.end()) all.push_back(more);
  }
  return all;
}

ServerRecord Term::own_record(std::uint16_t agents_port, std::uint16_t people_port) const {
  const std::string people = is_any(people_.address) ? advertised() : people_.address;
  return {.name = name_,
          .agents = host_and_port(advertised(), agents_port),
          .people = "https://" + host_and_port(people, people_port)};
}

void Term::servers_changed() {
  const bool has_ports = http_ || (agents_.port != 0 && people_.port != 0);
  if (!servers_->is_listed() || !has_ports) return;
  const auto kept = keep_profile("");
  if (!kept) log_.warning("server.profile-not-kept", {{"why", kept.error().to_string()}});
  if (!control_) return;
  std::vector<std::string> agents;
  for (const auto& server : servers_->all()) agents.push_back(server.agents);
  std::ranges::sort(agents);
  control_->set_servers(std::move(agents));
}

std::string Term::url() const {
  const std::uint16_t port = http_ ? http_->port() : people_.port;
  return "https://" + host_and_port(is_any(people_.address) ? "127.0.0.1" : people_.address, port);
}

std::vector<std::string> Term::urls() const {
  std::vector<std::string> all{url()};
  for (const auto& server : servers_->all()) {
    if (std::ranges::find(all, server.people) == all.end()) all.push_back(server.people);
  }
  return all;
}

// The profile of whoever may read it on this host: with a new token, or an empty one for the token
// that is there.
Result<void> Term::keep_profile(const std::string& token) {
  const std::string path = directory_ + "/admin.json";
  json profile{{"segue_profile", 1}, {"token", token}};
  if (token.empty()) {
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) return {};
    SEGUE_ASSIGN(const std::string text, os::read_file(path, kMaxProfileBytes));
    profile = json::parse(text, nullptr, false);
    if (!profile.is_object()) return fail(ErrorCode::data_loss, "{} is no profile", path);
    if (profile.value("urls", json()) == json(urls())) return {};
  }
  profile["url"] = url();  // for who reads one alone
  profile["urls"] = urls();
  profile["authority"] = authority_->certificate();
  return os::write_file_atomically(path, profile.dump(2));
}

// The first who administers is whoever may read the profile of the server's host; of several
// servers of each one's. It is made once: who does not want it removes the file.
void Term::welcome() {
  const auto& people = control_->people().all();
  const std::string own = fmt::format("{}-{}", kFirstAdministrator, name_);
  std::error_code ignored;
  const bool has_profile = std::filesystem::exists(directory_ + "/admin.json", ignored);
  const bool is_alone = servers_->all().size() <= 1;
  const bool is_first = people.empty();
  if (!is_first && (has_profile || is_alone || people.contains(own))) return announce();
  control_->people().set(is_first ? kFirstAdministrator : own,
                         {{Right::view, Right::deploy, Right::approve, Right::administer}, {}},
                         "server", [this, is_first](const Result<std::string>& token) {
                           const Result<void> kept =
                               token ? keep_profile(*token) : fail(token.error());
                           if (!kept && is_first) return end(kept.error());
                           if (!kept)
                             log_.warning("server.no-profile", {{"why", kept.error().to_string()}});
                           announce();
                         });
}

}  // namespace segue::server
