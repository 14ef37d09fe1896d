// SPDX-License-Identifier: Apache-2.0
#include "builder/repository_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace segue::builder {
namespace {

std::string note_of(const Record& record) {
  std::string text = fmt::format("Segue: {}\nBuild: {} of {}\n", to_string(status_of(record)),
                                 record.id, record.repository);
  if (!record.version.empty()) {
    text += fmt::format("Version: {} {}\n", record.component, record.version);
  }
  if (record.stage == Stage::ended) text += fmt::format("Outcome: {}\n", describe(record));
  return text;
}

}  // namespace

RepositoryWatch::RepositoryWatch(Workshop& workshop, std::string name,
                                 const RepositoryConfig& config)
    : workshop_(workshop), name_(std::move(name)), config_(config) {}

RepositoryWatch::~RepositoryWatch() {
  if (timer_) workshop_.loop.cancel(*timer_);
  if (note_timer_) workshop_.loop.cancel(*note_timer_);
}

base::Result<void> RepositoryWatch::start() {
  SEGUE_TRY(workshop_.store.add_repository(name_));
  SEGUE_ASSIGN(seen_, workshop_.store.refs_seen(name_));
  look_wanted_ = true;
  go_on();
  return {};
}

void RepositoryWatch::take(const std::string& file, const Notice& notice) {
  const bool is_known =
      waiting_.contains(file) || std::ranges::any_of(looked_for_, [&](const Noticed& noticed) {
        return noticed.file == file;
      });
  if (is_known) return;
  if (waiting_.size() >= kMaxNotices) {
    is_spool_left_ = true;
    return;
  }
  waiting_.emplace(file, notice);
  look_wanted_ = true;
  go_on();
}

void RepositoryWatch::write_note(std::uint64_t id) {
  if (!config_.notes) return;
  notes_.emplace(id, 0);
  go_on();
}

void RepositoryWatch::room_again() {
  if (seen_.waiting == 0) return;
  look_wanted_ = true;
  go_on();
}

bool RepositoryWatch::is_idle() const {
  const bool waits_for_retry = has_failed() || waiting_.empty();
  return !step_ && !look_wanted_ && !is_looking_ && waits_for_retry && notes_.empty();
}

void RepositoryWatch::go_on() {
  if (step_ || is_ending_) return;
  if (is_looking_) return find_commits();
  if (look_wanted_) return look();
  if (!note_timer_) write_next_note();
}

void RepositoryWatch::run(Words argv, std::function<void(const StepEnd&)> on_end) {
  workshop_.store.before_change();
  StepOptions options{.argv = std::move(argv),
                      .env = workshop_.environment,
                      .cwd = "/",
                      .capture_bytes = kMaxGitAnswerBytes};
  options.limits.time_s = config_.fetch_s;
  step_ = std::make_unique<Step>(workshop_.loop, workshop_.clock, workshop_.steps);
  const auto ended = [this, on_end = std::move(on_end)](const StepEnd& end) {
    const auto step = std::move(step_);  // until this returns
    is_ending_ = true;
    on_end(end);
    is_ending_ = false;
    go_on();
  };
  if (const auto started = step_->start(std::move(options), ended); !started) {
    step_.reset();
    workshop_.give_up(started.error().with("look at repository " + name_));
  }
}

void RepositoryWatch::look_at(base::MonotonicTime at) {
  if (timer_) workshop_.loop.cancel(*timer_);
  auto timer = workshop_.loop.call_at(at, [this] {
    timer_.reset();
    look_wanted_ = true;
    go_on();
  });
  if (timer) timer_ = *timer;
}

void RepositoryWatch::look() {
  look_wanted_ = false;
  is_looking_ = true;
  without_room_.clear();
  std::vector<std::string> wanted;
  for (auto& [file, notice] : waiting_) {
    if (!notice.commit.empty() && is_built(config_, notice.ref)) wanted.push_back(notice.commit);
    looked_for_.push_back({file, std::move(notice)});
  }
  waiting_.clear();
  run(fetch_script(workshop_.store.mirror(name_), config_.url, wanted),
      [this](const StepEnd& end) { fetched(end); });
}

void RepositoryWatch::fetched(const StepEnd& end) {
  if (!end.good) {
    return look_failed(end.last_line.empty() ? end.why : end.why + ": " + end.last_line);
  }
  const auto seen = parse_seen(end.captured);
  if (!seen) return look_failed(seen.error().message());
  seen_.error.clear();
  // First what was told of, as a ref may have moved on, or away, since.
  for (const auto& noticed : looked_for_) {
    const Notice& notice = noticed.notice;
    if (notice.commit.empty() || !is_built(config_, notice.ref)) continue;
    targets_.push_back({notice.ref, notice.commit});
  }
  for (const auto& [ref, commit] : seen->refs) {
    if (!is_built(config_, ref)) continue;
    const auto known = seen_.commits.find(ref);
    if (known != seen_.commits.end() && known->second == commit) continue;
    targets_.push_back({ref, commit, true});
  }
  // A ref that comes back is a new one.
  std::erase_if(seen_.commits, [&](const auto& one) { return !seen->refs.contains(one.first); });
}

void RepositoryWatch::find_commits() {
  if (targets_.empty()) return end_look();
  const Target& target = targets_.front();
  const auto known = seen_.commits.find(target.ref);
  run(range_script(workshop_.store.mirror(name_), known == seen_.commits.end() ? "" : known->second,
                   target.commit),
      [this](const StepEnd& end) { found_commits(end); });
}

void RepositoryWatch::found_commits(const StepEnd& end) {
  const Target target = std::move(targets_.front());
  targets_.pop_front();
  auto commits = parse_commits(end.captured);
  if (target.is_tip && (!end.good || !commits)) {
    // Nothing is marked as seen, or the commits before it would never be built.
    return look_failed("list the commits of " + target.ref + ": " +
                       (end.good ? commits.error().message() : end.why));
  }
  // What was told of has a record in any case; its build says what is wrong with it.
  if (!end.good || !commits || (commits->empty() && !target.is_tip)) {
    commits = std::vector<std::string>{target.commit};
  }
  auto accounted = workshop_.decider.account_for({name_, target.ref, *commits}, workshop_.now_s());
  workshop_.execute(std::move(accounted.commands));
  if (accounted.count < commits->size()) {
    without_room_.insert(commits->begin() + static_cast<std::ptrdiff_t>(accounted.count),
                         commits->end());
    if (target.is_tip && accounted.count > 0) {
      seen_.commits[target.ref] = commits->at(accounted.count - 1);
    }
  } else if (target.is_tip) {
    seen_.commits[target.ref] = target.commit;
  }
}

void RepositoryWatch::end_look() {
  is_looking_ = false;
  seen_.waiting = without_room_.size();
  save_seen();
  if (!without_room_.empty()) {
    workshop_.log().warning(
        "builder.queue_full",
        {{"repository", name_}, {"queue", workshop_.config.queue}, {"waiting", seen_.waiting}});
    for (auto& noticed : looked_for_) waiting_.emplace(noticed.file, std::move(noticed.notice));
  } else {
    for (const auto& noticed : looked_for_) {
      if (const auto gone = workshop_.store.unspool(noticed.file); !gone) {
        workshop_.give_up(gone.error());
      }
    }
  }
  looked_for_.clear();
  if (config_.poll_s > 0) {
    look_at(workshop_.clock.monotonic_now() + std::chrono::seconds(config_.poll_s));
  }
  workshop_.execute({});
  if (std::exchange(is_spool_left_, false)) workshop_.read_spool();
  go_on();
}

void RepositoryWatch::look_failed(const std::string& why) {
  is_looking_ = false;
  targets_.clear();
  workshop_.log().warning("builder.look_failed", {{"repository", name_}, {"why", why}});
  seen_.error = why;
  save_seen();
  for (auto& noticed : looked_for_) waiting_.emplace(noticed.file, std::move(noticed.notice));
  looked_for_.clear();
  look_at(workshop_.clock.monotonic_now() + kRetryWait);
}

void RepositoryWatch::save_seen() {
  if (const auto saved = workshop_.store.save(name_, seen_); !saved) {
    workshop_.give_up(saved.error());
  }
}

void RepositoryWatch::write_next_note() {
  const Record* record = nullptr;
  while (!notes_.empty()) {
    record = workshop_.decider.find(notes_.begin()->first);
    if (record != nullptr && record->noted != to_string(status_of(*record))) break;
    notes_.erase(notes_.begin());
  }
  if (notes_.empty()) return;
  const std::uint64_t id = record->id;
  const Status status = status_of(*record);
  run(note_script(workshop_.store.mirror(name_), config_.url, record->commit, note_of(*record)),
      [this, id, status](const StepEnd& end) { note_written(id, status, end); });
}

void RepositoryWatch::note_written(std::uint64_t id, Status status, const StepEnd& end) {
  if (end.good) {
    notes_.erase(id);
    workshop_.execute(workshop_.decider.note_delivered(id, status));
    const Record* record = workshop_.decider.find(id);
    if (record != nullptr && status_of(*record) != status) notes_.emplace(id, 0);
    return;
  }
  const std::uint32_t tries = ++notes_[id];
  if (tries < kMaxNoteTries) {
    auto timer = workshop_.loop.call_at(
        workshop_.clock.monotonic_now() + kFirstNoteWait * (1U << (tries - 1)), [this] {
          note_timer_.reset();
          go_on();
        });
    if (timer) note_timer_ = *timer;
    return;
  }
  notes_.erase(id);
  workshop_.log().warning("builder.note_failed",
                          {{"repository", name_}, {"build", id}, {"why", end.last_line}});
}

}  // namespace segue::builder
