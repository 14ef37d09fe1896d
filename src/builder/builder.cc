// SPDX-License-Identifier: Apache-2.0
#include "builder/builder.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "control/text.h"
#include "os/files.h"
#include "os/process_tree.h"

namespace segue::builder {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using Json = nlohmann::json;

constexpr std::size_t kMaxSecretBytes = 4'096;
constexpr int kAccepted = 202;
constexpr int kServiceUnavailable = 503;
constexpr base::Duration kProgressInterval = std::chrono::seconds(1);
constexpr base::Duration kLeftoverLimit = std::chrono::seconds(20);
constexpr base::Duration kLeftoverWait = std::chrono::milliseconds(5);

// The first line of a file.
Result<std::string> read_secret(const std::string& path) {
  auto text = os::read_file(path, kMaxSecretBytes);
  if (!text) return fail(std::move(text).error().with("cannot read the secret " + path));
  text->erase(std::min(text->find_first_of("\r\n"), text->size()));
  if (!text->empty()) return *std::move(text);
  return fail(ErrorCode::invalid_argument, "the secret {} is empty", path);
}

}  // namespace

Result<std::unique_ptr<Builder>> Builder::create(const os::Clock& clock, const Config& config,
                                                 Store& store, base::Log& log,
                                                 control::Screen& screen, Settings settings) {
  SEGUE_ASSIGN(auto loop, os::EpollLoop::create(clock));
  auto builder = std::unique_ptr<Builder>(
      new Builder(clock, config, store, log, screen, std::move(settings), std::move(loop)));
  SEGUE_TRY(builder->start());
  return builder;
}

Builder::Builder(const os::Clock& clock, const Config& config, Store& store, base::Log& log,
                 control::Screen& screen, Settings settings, os::EpollLoop loop)
    : loop_(std::move(loop)),
      clock_(clock),
      config_(config),
      store_(store),
      log_output_(log),
      screen_(screen),
      settings_(std::move(settings)),
      decider_({.max_waiting = config.queue}),
      workshop_{.loop = loop_,
                .clock = clock_,
                .config = config_,
                .store = store_,
                .decider = decider_,
                .log_output = log_output_,
                .screen = screen_,
                .environment = settings_.environment,
                .publisher = settings_.publisher,
                .steps = {},
                .execute = [this](Commands commands) { execute(std::move(commands)); },
                .read_spool = [this] { read_spool(); },
                .give_up = [this](base::Error error) { give_up(std::move(error)); }},
      build_run_(workshop_, [this](const StageResult& result) { stage_ended(result); }),
      sender_(std::make_unique<StatusSender>(loop_, clock_)) {
  workshop_.environment.push_back(Workshop::mark(store_.folder()));
}

Builder::~Builder() {
  if (spool_watch_) loop_.unwatch(spool_watch_.get());
  if (signals_) loop_.unwatch(signals_.get());
}

Result<void> Builder::start() {
  SEGUE_TRY(store_.open());
  SEGUE_TRY(read_secrets());
  SEGUE_ASSIGN(signals_, os::signal_fd({SIGTERM, SIGINT}));
  SEGUE_TRY(loop_.watch(signals_.get(), EPOLLIN, [this](std::uint32_t) {
    (void)os::read_signal(signals_);
    workshop_.log().info("builder.asked_to_end");
    ends_ = true;
  }));
  SEGUE_TRY(os::adopt_orphans());
  SEGUE_TRY(end_leftovers());
  SEGUE_TRY(store_.clear_work());
  SEGUE_TRY(restore());
  for (const auto& [name, repository] : config_.repositories) {
    auto watch = std::make_unique<RepositoryWatch>(workshop_, name, repository);
    SEGUE_TRY(watch->start());
    watches_.emplace(name, std::move(watch));
  }
  for (const std::uint64_t id : std::set(to_tell_)) tell(id);
  SEGUE_TRY(watch_spool());
  if (!config_.listen.empty()) {
    webhooks_ = std::make_unique<WebhookServer>(
        loop_, clock_, [this](const WebhookRequest& request) { return answer(request); });
    SEGUE_ASSIGN(const auto port, webhooks_->listen(config_.listen));
    workshop_.log().info("builder.listens", {{"address", config_.listen}, {"port", port}});
  }
  show_progress();
  execute({});
  workshop_.log().info("builder.started", {{"repositories", config_.repositories.size()},
                                           {"waiting", decider_.waiting()},
                                           {"state", store_.folder()}});
  return {};
}

// What a builder that was killed has started, and what the kernel did not end with it.
Result<void> Builder::end_leftovers() {
  const std::string mark = Workshop::mark(store_.folder());
  const auto until = clock_.monotonic_now() + kLeftoverLimit;
  for (std::size_t found = 0;; ++found) {
    SEGUE_ASSIGN(const auto left, os::processes_with_variable(mark));
    if (left.empty()) return {};
    if (found == 0) workshop_.log().warning("builder.ends_leftovers", {{"processes", left.size()}});
    for (const auto& process : left) os::kill_or_reap(process);
    if (clock_.monotonic_now() >= until) {
      return fail(ErrorCode::failed_precondition,
                  "process {} of an earlier builder cannot be ended: end it, then start again",
                  left.front().pid);
    }
    SEGUE_TRY(loop_.run_once(kLeftoverWait));
  }
}

Result<void> Builder::read_secrets() {
  for (const auto& [name, repository] : config_.repositories) {
    if (!repository.webhook_secret.empty()) {
      SEGUE_ASSIGN(webhook_secrets_[name], read_secret(repository.webhook_secret));
    }
    if (!repository.status_header.empty()) {
      SEGUE_ASSIGN(status_secrets_[name].header, read_secret(repository.status_header));
    }
    if (!repository.status_secret.empty()) {
      SEGUE_ASSIGN(status_secrets_[name].secret, read_secret(repository.status_secret));
    }
  }
  return {};
}

Result<void> Builder::restore() {
  std::vector<std::string> damaged;
  SEGUE_ASSIGN(auto records, store_.records(damaged));
  for (const auto& text : damaged)
    workshop_.log().error("builder.record_damaged", {{"record", text}});
  // What a build has left goes before another begins; the notes and posts once all is watched.
  for (const auto& command : decider_.restore(std::move(records))) {
    if (const auto* told = std::get_if<Tell>(&command)) {
      to_tell_.insert(told->id);
    } else {
      do_command(command);
    }
  }
  if (error_) return fail(*error_);
  return {};
}

Result<void> Builder::watch_spool() {
  spool_watch_.reset(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!spool_watch_ ||
      ::inotify_add_watch(spool_watch_.get(), store_.spool_folder().c_str(), IN_MOVED_TO) < 0) {
    return fail(base::errno_error("watch " + store_.spool_folder(), errno));
  }
  SEGUE_TRY(loop_.watch(spool_watch_.get(), EPOLLIN, [this](std::uint32_t) {
    std::array<char, 4'096> events{};
    while (::read(spool_watch_.get(), events.data(), events.size()) > 0) {
    }
    read_spool();
  }));
  read_spool();
  return {};
}

void Builder::read_spool() {
  const auto spooled = store_.spooled();
  if (!spooled) return give_up(spooled.error());
  for (const auto& one : *spooled) {
    const auto watch = one.notice ? watches_.find(one.notice->repository) : watches_.end();
    if (watch != watches_.end()) {
      watch->second->take(one.file, *one.notice);
      continue;
    }
    workshop_.log().warning("builder.notice_refused",
                            {{"file", one.file},
                             {"why", one.notice ? "no repository '" + one.notice->repository + "'"
                                                : one.notice.error().message()}});
    if (const auto gone = store_.unspool(one.file); !gone) return give_up(gone.error());
  }
}

void Builder::give_up(base::Error error) {
  if (!error_) error_ = std::move(error);
}

const RepositoryConfig* Builder::config_of(const std::string& repository) const {
  const auto found = config_.repositories.find(repository);
  return found == config_.repositories.end() ? nullptr : &found->second;
}

// Also begins the next build where one has ended.
void Builder::execute(Commands commands) {
  for (const auto& command : commands) {
    if (error_) return;
    do_command(command);
  }
  for (const auto& command : decider_.begin_next(workshop_.now_s())) {
    if (error_) return;
    do_command(command);
  }
}

void Builder::save_record(const Record& record) {
  auto saved = store_.save(record);
  const bool is_full = !saved && saved.error().code() == ErrorCode::resource_exhausted;
  if (is_full && record.stage == Stage::ended) {
    // It may be this build that has filled the disk.
    (void)store_.remove_work(record.id);
    saved = store_.save(record);
  }
  if (!saved) give_up(saved.error().with("cannot keep the record of a build"));
}

void Builder::do_command(const Command& command) {
  if (const auto* save = std::get_if<Save>(&command)) {
    save_record(save->record);
  } else if (const auto* run = std::get_if<RunStage>(&command)) {
    const Record& record = *decider_.find(run->id);
    workshop_.log().info("build.stage", {{"build", run->id},
                                         {"repository", record.repository},
                                         {"commit", record.commit},
                                         {"stage", to_string(run->stage)},
                                         {"attempt", record.attempts}});
    build_run_.begin(record, run->stage);
  } else if (const auto* discard = std::get_if<Discard>(&command)) {
    if (const auto removed = store_.remove_work(discard->id); !removed) {
      workshop_.log().warning("build.work_left", {{"why", removed.error().to_string()}});
    }
  } else {
    tell(std::get<Tell>(command).id);
  }
}

void Builder::stage_ended(const StageResult& result) {
  const std::uint64_t id = *decider_.under_way();
  const Record& record = *decider_.find(id);
  const RepositoryConfig* repository = config_of(record.repository);
  const bool may_publish = repository != nullptr && is_published(*repository, record.ref);
  const std::string why_before = record.why;
  Commands commands = decider_.end_stage(result, may_publish, workshop_.now_s());
  if (record.stage == Stage::held && record.why != why_before) {
    workshop_.log().info("build.held", {{"build", id},
                                        {"repository", record.repository},
                                        {"commit", record.commit},
                                        {"why", record.why}});
  }
  if (record.stage != Stage::ended) return execute(std::move(commands));
  ++summary_.ended;
  const bool failed = record.verdict == Verdict::failed;
  if (failed) ++summary_.failed;
  workshop_.log().info(failed ? "build.failed" : "build.done", {{"build", id},
                                                                {"repository", record.repository},
                                                                {"ref", record.ref},
                                                                {"commit", record.commit},
                                                                {"outcome", describe(record)}});
  execute(std::move(commands));
  for (const std::uint64_t forgotten : decider_.forget_beyond(config_.keep)) {
    if (const auto removed = store_.forget(forgotten); !removed) give_up(removed.error());
  }
  for (const auto& [name, watch] : watches_) {
    if (decider_.room() > 0) watch->room_again();
  }
}

void Builder::tell(std::uint64_t id) {
  const Record* record = decider_.find(id);
  if (record == nullptr) return;
  const auto watch = watches_.find(record->repository);
  if (watch == watches_.end()) return;
  watch->second->write_note(id);
  if (config_of(record->repository)->status_url.empty()) return;
  to_tell_.insert(id);
  send_statuses();
}

void Builder::send_statuses() {
  while (!to_tell_.empty() && sender_->pending() < StatusSender::kMaxPosts) {
    const std::uint64_t id = *to_tell_.begin();
    to_tell_.erase(to_tell_.begin());
    const Record* record = decider_.find(id);
    if (record == nullptr || being_told_.contains(id)) continue;
    const RepositoryConfig* repository = config_of(record->repository);
    const Status status = status_of(*record);
    if (repository == nullptr || repository->status_url.empty() ||
        record->told == to_string(status)) {
      continue;
    }
    store_.before_change();
    const auto sent = sender_->send(make_post(*record), [this, id, status](const auto& result) {
      status_sent(id, status, result);
    });
    if (sent) being_told_.insert(id);
  }
}

StatusSender::Post Builder::make_post(const Record& record) const {
  const RepositoryConfig& repository = *config_of(record.repository);
  constexpr std::string_view kPlace = "{commit}";
  std::string url = repository.status_url;
  if (const auto at = url.find(kPlace); at != url.npos) {
    url.replace(at, kPlace.size(), record.commit);
  }
  // GitHub, Gitea and Forgejo take the first three and leave the rest alone.
  const Json body = {{"state", to_string(status_of(record))},
                     {"context", "segue"},
                     {"description", describe(record).substr(0, 140)},
                     {"repository", record.repository},
                     {"ref", record.ref},
                     {"commit", record.commit},
                     {"build", record.id},
                     {"component", record.component},
                     {"version", record.version},
                     {"verdict", to_string(record.verdict)}};
  StatusSender::Post post{.url = std::move(url),
                          .body = body.dump(-1, ' ', false, Json::error_handler_t::replace)};
  if (const auto secrets = status_secrets_.find(record.repository);
      secrets != status_secrets_.end()) {
    post.header = secrets->second.header;
    post.secret = secrets->second.secret;
  }
  return post;
}

void Builder::status_sent(std::uint64_t id, Status status, const Result<void>& result) {
  being_told_.erase(id);
  if (result) {
    execute(decider_.told_delivered(id, status));
  } else {
    workshop_.log().warning(
        "build.status_not_delivered",
        {{"build", id}, {"status", to_string(status)}, {"why", result.error().message()}});
  }
  const Record* record = decider_.find(id);
  if (record != nullptr && status_of(*record) != status) to_tell_.insert(id);
  send_statuses();
}

WebhookAnswer Builder::answer(const WebhookRequest& request) {
  WebhookAnswer answer = answer_webhook(request, webhook_secrets_);
  if (!answer.notice) {
    workshop_.log().info("webhook.answered", {{"status", answer.status}, {"text", answer.text}});
    return answer;
  }
  if (const auto kept = store_.spool(*answer.notice); !kept) {
    workshop_.log().warning("webhook.full", {{"why", kept.error().message()}});
    return {kServiceUnavailable, kept.error().message(), {}};
  }
  workshop_.log().info("webhook.taken", {{"repository", answer.notice->repository},
                                         {"ref", answer.notice->ref},
                                         {"commit", answer.notice->commit}});
  return {kAccepted, answer.text, {}};
}

void Builder::show_progress() {
  if (const auto id = decider_.under_way()) {
    const Record& record = *decider_.find(*id);
    screen_.live(fmt::format("{} {} {} ({} s), {} wait", to_string(record.stage), record.repository,
                             record.commit.substr(0, 12), workshop_.now_s() - record.began_s,
                             decider_.waiting()));
  } else {
    screen_.live(fmt::format("watches {} repositories", watches_.size()));
  }
  if (decider_.held() > 0) execute({});  // the time of one of them may have come
  const auto timer =
      loop_.call_at(clock_.monotonic_now() + kProgressInterval, [this] { show_progress(); });
  if (!timer) give_up(timer.error());
}

bool Builder::is_idle() const {
  return !decider_.under_way() && decider_.waiting() == 0 && decider_.held() == 0 &&
         sender_->pending() == 0 &&
         std::ranges::all_of(watches_, [](const auto& entry) { return entry.second->is_idle(); });
}

Result<Builder::Summary> Builder::run() {
  while (!ends_ && !error_ && !(settings_.once && is_idle())) {
    SEGUE_TRY(loop_.run_once(kProgressInterval));
  }
  if (error_) return fail(*error_);
  for (const auto& command : decider_.interrupt()) do_command(command);
  if (error_) return fail(*error_);
  for (const auto& [name, watch] : watches_) {
    if (watch->has_failed()) ++summary_.unreachable;
  }
  return summary_;
}

}  // namespace segue::builder
