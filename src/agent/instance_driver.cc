// SPDX-License-Identifier: Apache-2.0
#include "agent/instance_driver.h"

#include <filesystem>
#include <utility>

#include "agent/share_words.h"
#include "control/exit_code.h"
#include "control/name.h"
#include "os/files.h"

namespace segue::agent {

using base::fail;
using base::Result;
using fleet::kNoRevision;
using fleet::OrderResult;

namespace {

constexpr std::size_t kMaxStagedLinks = 64;
constexpr std::string_view kImage = "/image";
constexpr std::string_view kProgram = "/program";
constexpr std::size_t kMaxImageBytes = 200;
constexpr std::size_t kMaxDescriptionBytes = std::size_t{64} << 10;

bool is_container(const fleet::ComponentSpec& spec) {
  return spec.driver == fleet::Driver::container;
}

bool has_tree(const fleet::ComponentSpec& spec) {
  return spec.release.registry.empty();
}

}  // namespace

InstanceDriver::InstanceDriver(os::EpollLoop& loop, const os::Clock& clock, const base::Log& log,
                               HealthMeans& means, reconcile::InstanceKey key, InstanceHome home,
                               std::vector<std::string> environment, FindSpec find_spec, Tell tell)
    : loop_(loop),
      clock_(clock),
      log_(log),
      key_(std::move(key)),
      means_(means),
      home_(std::move(home)),
      environment_(std::move(environment)),
      find_spec_(std::move(find_spec)),
      tell_(std::move(tell)),
      actions_(loop, clock, environment_, home_.place + "/action.log"),
      staging_(loop, clock, environment_, home_.place + "/staging.log"),
      looking_(loop, clock, environment_, home_.place + "/look.log"),
      sharing_(loop, clock, environment_, home_.place + "/share.log") {}

InstanceDriver::~InstanceDriver() {
  if (look_timer_) loop_.cancel(*look_timer_);
}

void InstanceDriver::later(std::function<void()> call) {
  (void)loop_.call_at(clock_.monotonic_now(),
                      [alive = std::weak_ptr<char>(alive_), call = std::move(call)] {
                        if (!alive.expired()) call();
                      });
}

void InstanceDriver::tell(reconcile::Event event) {
  later([this, event = std::move(event)] { tell_(event); });
}

// ---- What is seen

void InstanceDriver::look() {
  if (looks_) return;
  looks_ = true;
  if (const auto made = os::ensure_private_directory(home_.place); !made) {
    log_.warning("instance.no-place", {{"why", made.error().to_string()}});
  }
  ask_keeper([this, changes = changes_](const Result<Status>& status) { looked(status, changes); });
}

void InstanceDriver::ask_keeper(std::function<void(const Result<Status>&)> take) {
  const auto place = std::make_shared<std::list<KeeperQuery>::iterator>();
  *place =
      queries_.emplace(queries_.end(), loop_, clock_, home_.runtime, home_.name, kLookLimit,
                       [this, place, take = std::move(take)](const KeeperQuery::Answer& answer) {
                         std::list<KeeperQuery> ended;
                         ended.splice(ended.end(), queries_, *place);
                         take(read_status(home_, answer.exit_code, answer.line));
                       });
  (*place)->start();
}

void InstanceDriver::changes() {
  ++changes_;
  status_.reset();
}

void InstanceDriver::looked(const Result<Status>& status, std::uint64_t changes) {
  looks_ = false;
  if (changes != changes_) return look();
  if (status) {
    status_ = *status;
    say_seen();
  } else {
    log_.debug("instance.not-seen", {{"why", status.error().message()}});
  }
  if (look_timer_) loop_.cancel(*look_timer_);
  look_timer_.reset();
  const auto timer = loop_.call_at(clock_.monotonic_now() + kLookEvery, [this] {
    look_timer_.reset();
    look();
  });
  if (timer) look_timer_ = *timer;
}

void InstanceDriver::say_seen() {
  if (!status_) return;
  reconcile::Seen seen{.key = key_,
                       .revision = status_->revision.value_or(kNoRevision),
                       .staged = staged(),
                       .activity = status_->activity,
                       .connections = status_->connections,
                       .crashes = status_->crashes,
                       .generation = status_->generation};
  if (probe_ && probed_ == status_->revision) {
    const auto& verdict = probe_->verdict();
    seen.health = verdict.health;
    seen.health_text = verdict.text;
    seen.health_since_ms = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(verdict.since.time_since_epoch())
            .count());
  }
  tell(seen);
}

std::set<fleet::Revision> InstanceDriver::staged() const {
  std::set<fleet::Revision> revisions;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(home_.place + "/revisions", error)) {
    const auto revision = revision_of(home_, entry.path().string() + "/");
    const fleet::ComponentSpec* spec = revision ? find_spec_(*revision) : nullptr;
    if (spec == nullptr || (is_container(*spec) && image_of(*revision).empty())) continue;
    revisions.insert(*revision);
  }
  return revisions;
}

// The links of revisions that nobody speaks of any more go.
Result<void> InstanceDriver::link(fleet::Revision revision) const {
  const std::filesystem::path links = home_.place + "/revisions";
  SEGUE_TRY(os::ensure_private_directory(links.string()));
  std::error_code error;
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(links, error)) {
    const auto known = revision_of(home_, entry.path().string() + "/");
    if (++count > kMaxStagedLinks && known && find_spec_(*known) == nullptr) {
      std::filesystem::remove_all(entry.path(), error);
      std::filesystem::remove_all(confined_folder(home_, *known), error);
    }
  }
  const fleet::ComponentSpec* spec = find_spec_(revision);
  if (spec != nullptr && is_container(*spec)) {
    return os::ensure_private_directory(revision_link(home_, revision));
  }
  std::filesystem::create_directory_symlink("../live", revision_link(home_, revision), error);
  if (!error || error == std::errc::file_exists) return {};
  return fail(base::errno_error("link " + revision_link(home_, revision), error.value()));
}

// What cannot go live is not staged: the next order for it stages it anew.
void InstanceDriver::unlink(fleet::Revision revision) const {
  std::error_code ignored;  // it is tried again with the next order that is refused
  std::filesystem::remove_all(revision_link(home_, revision), ignored);
}

// Empty: none was staged.
std::string InstanceDriver::image_of(fleet::Revision revision) const {
  return os::read_file(revision_link(home_, revision) + std::string(kImage), kMaxImageBytes)
      .value_or("");
}

Result<void> InstanceDriver::keep_image(fleet::Revision revision,
                                        const ChildRun::Result& result) const {
  SEGUE_ASSIGN(const std::string image, read_image(result.last_line));
  SEGUE_TRY(link(revision));
  return os::write_file_atomically(revision_link(home_, revision) + std::string(kImage), image);
}

std::string InstanceDriver::program_of(fleet::Revision revision) const {
  return os::read_file(confined_folder(home_, revision) + std::string(kProgram), kMaxImageBytes)
      .value_or("");
}

Result<void> InstanceDriver::keep_program(fleet::Revision revision,
                                          const std::string& digest) const {
  const std::string folder = confined_folder(home_, revision);
  if (digest.empty()) {
    std::error_code error;
    std::filesystem::remove(folder + std::string(kProgram), error);
    return error ? fail(base::errno_error("remove " + folder, error.value())) : Result<void>();
  }
  SEGUE_TRY(os::ensure_private_directory(folder));
  return os::write_file_atomically(folder + std::string(kProgram), digest);
}

std::string InstanceDriver::digest_of(const fleet::ComponentSpec& spec,
                                      fleet::Revision revision) const {
  return is_container(spec) ? image_of(revision) : program_of(revision);
}

std::string InstanceDriver::serving_container() const {
  if (!status_ || !status_->revision) return "";
  const auto description = os::read_file(fmt::format("{}/{}/{}/{}.json", home_.runtime, home_.name,
                                                     control::kContainers, status_->generation),
                                         kMaxDescriptionBytes);
  return description ? read_container(*description) : "";
}

// ---- What is decided

void InstanceDriver::carry_out(const reconcile::Stage& command) {
  const fleet::ComponentSpec* spec = find_spec_(command.revision);
  if (spec == nullptr) {
    return tell(reconcile::StageEnded{key_, command.revision, false, "nobody said what it is"});
  }
  const fleet::Revision revision = command.revision;
  if (!has_tree(*spec)) return stage_image(revision, *spec);
  staging_.run(stage_words(home_, *spec), kStageLimit,
               [this, revision, spec = *spec](const ChildRun::Result& result) {
                 const bool good = result.ended && result.exit_code == 0;
                 if (good && is_container(spec)) return stage_image(revision, spec);
                 staged(revision, result, good ? link(revision) : Result<void>());
               });
}

void InstanceDriver::stage_image(fleet::Revision revision, const fleet::ComponentSpec& spec) {
  staging_.run_next(
      image_words(home_, spec, ""), kStageLimit, [this, revision](const ChildRun::Result& result) {
        const bool good = result.ended && result.exit_code == 0;
        staged(revision, result, good ? keep_image(revision, result) : Result<void>());
      });
}

void InstanceDriver::staged(fleet::Revision revision, const ChildRun::Result& result,
                            const Result<void>& linked) {
  reconcile::StageEnded ended{.key = key_, .revision = revision};
  ended.good = result.ended && result.exit_code == 0 && linked;
  ended.text = linked ? read_answer(result.exit_code, result.last_line, result.text).text
                      : linked.error().to_string();
  tell(ended);
}

void InstanceDriver::prepare(const fleet::ComponentSpec& spec, fleet::Revision revision,
                             Words switch_tree, CommandLane::Take then) {
  if (!is_container(spec)) {
    return actions_.run(std::move(switch_tree), kSwitchLimit,
                        [this, revision, then = std::move(then)](const ChildRun::Result& result) {
                          then(know_program(revision, result));
                        });
  }
  const Words have_image = image_words(home_, spec, image_of(revision));
  if (!has_tree(spec)) return actions_.run(have_image, kActionLimit, std::move(then));
  actions_.run(std::move(switch_tree), kSwitchLimit,
               [this, have_image, then = std::move(then)](const ChildRun::Result& result) {
                 if (result.exit_code != 0) return then(result);
                 actions_.run_next(have_image, kActionLimit, then);
               });
}

ChildRun::Result InstanceDriver::know_program(fleet::Revision revision,
                                              const ChildRun::Result& switched) const {
  if (switched.exit_code != 0) return switched;
  const auto kept = keep_program(revision, read_program(switched.last_line));
  if (kept) return switched;
  ChildRun::Result refused = switched;
  refused.exit_code = static_cast<int>(control::ExitCode::refused);
  refused.last_line.clear();
  refused.text = "which program is verified cannot be kept: " + kept.error().to_string();
  return refused;
}

void InstanceDriver::carry_out(const reconcile::Act& command) {
  changes();
  const reconcile::Intent& intent = command.intent;
  if (intent.kind == reconcile::ActionKind::stop) return stop(intent);
  const fleet::ComponentSpec* spec = find_spec_(intent.to);
  if (spec == nullptr) {
    return end(intent, {.result = OrderResult::refused, .text = "nobody said what it is"});
  }
  if (intent.kind == reconcile::ActionKind::start) {
    return start_once_rested(intent, *spec, clock_.monotonic_now() + kRestLimit);
  }
  hand_over(intent, *spec);
}

void InstanceDriver::carry_out(const reconcile::Restore& command) {
  const fleet::ComponentSpec* spec = find_spec_(command.revision);
  if (spec == nullptr) return;
  changes();
  actions_.run(run_words(home_, *spec, command.revision, digest_of(*spec, command.revision)),
               kActionLimit, [this](const ChildRun::Result& result) {
                 if (result.exit_code != 0) {
                   log_.warning("instance.not-restored",
                                {{"instance", home_.name}, {"why", result.text}});
                 }
                 look();
               });
}

void InstanceDriver::start_once_rested(const reconcile::Intent& intent,
                                       const fleet::ComponentSpec& spec,
                                       base::MonotonicTime rests_until) {
  ask_keeper([this, intent, spec, rests_until](const Result<Status>& status) {
    // A stranger's program is neither handed over nor stopped: what starts another says so.
    const bool is_strange = status && status->serves && !status->revision;
    if (!status || !status->runs || is_strange) return start_program(intent, spec);
    const bool rests = status->activity == fleet::Activity::idle;
    if (rests && status->serves) return start_over(intent, spec, *status->revision);
    const base::MonotonicTime now = clock_.monotonic_now();
    if (now < rests_until) {
      (void)loop_.call_at(now + kRestPause,
                          [this, alive = std::weak_ptr<char>(alive_), intent, spec, rests_until] {
                            if (!alive.expired()) start_once_rested(intent, spec, rests_until);
                          });
      return;
    }
    if (rests) return start_instead(intent, spec);
    end(intent, {.result = OrderResult::refused, .text = "it is being changed by somebody else"});
  });
}

// `serves`: by now.
void InstanceDriver::start_over(const reconcile::Intent& intent, const fleet::ComponentSpec& spec,
                                fleet::Revision serves) {
  if (serves == intent.to) {
    return end(intent, {.result = OrderResult::done, .text = "its keeper has started it again"});
  }
  reconcile::Intent instead = intent;
  instead.kind = reconcile::ActionKind::hand_off;
  instead.from = serves;
  hand_over(instead, spec);
}

// Of what does not come to serve.
void InstanceDriver::start_instead(const reconcile::Intent& intent,
                                   const fleet::ComponentSpec& spec) {
  actions_.run(stop_words(home_), kActionLimit,
               [this, intent, spec](const ChildRun::Result&) { start_program(intent, spec); });
}

void InstanceDriver::start_program(const reconcile::Intent& intent,
                                   const fleet::ComponentSpec& spec) {
  prepare(spec, intent.to, go_live_words(home_, spec),
          [this, intent, spec](const ChildRun::Result& result) {
            if (result.exit_code != 0) {
              Answer answer = read_answer(result.exit_code, result.last_line, result.text);
              answer.result = OrderResult::refused;  // nothing was started
              unlink(intent.to);
              return end(intent, std::move(answer));
            }
            actions_.run_next(run_words(home_, spec, intent.to, digest_of(spec, intent.to)),
                              kActionLimit, [this, intent](const ChildRun::Result& ran) {
                                end(intent, read_answer(ran.exit_code, ran.last_line, ran.text));
                              });
          });
}

void InstanceDriver::hand_over(const reconcile::Intent& intent, const fleet::ComponentSpec& spec) {
  const fleet::ComponentSpec* old = find_spec_(intent.from);
  const std::string old_version = old == nullptr ? "" : old->release.version;
  const bool back = intent.kind == reconcile::ActionKind::hand_back;
  prepare(spec, intent.to, back ? hand_back_words(home_, spec) : go_live_words(home_, spec),
          [this, intent, spec, old_version](const ChildRun::Result& result) {
            if (result.exit_code == 0) return upgrade(intent, spec, old_version);
            Answer answer = read_answer(result.exit_code, result.last_line, result.text);
            answer.result = OrderResult::refused;  // what serves was not touched
            unlink(intent.to);
            end(intent, std::move(answer));
          });
}

void InstanceDriver::upgrade(const reconcile::Intent& intent, const fleet::ComponentSpec& spec,
                             const std::string& old_version) {
  if (const auto linked = link(intent.to); !linked) {
    return end(intent, {.result = OrderResult::refused, .text = linked.error().to_string()});
  }
  actions_.run_next(upgrade_words(home_, spec, intent.to, digest_of(spec, intent.to)), kActionLimit,
                    [this, intent, spec, old_version](const ChildRun::Result& result) {
                      const Answer answer =
                          read_answer(result.exit_code, result.last_line, result.text);
                      const bool old_serves = answer.result == OrderResult::refused ||
                                              answer.result == OrderResult::undone;
                      if (old_serves && has_tree(spec) && old_version != spec.release.version) {
                        return put_tree_back(spec.release.version,
                                             [this, intent, answer](const std::string& problem) {
                                               Answer told = answer;
                                               told.text += problem;
                                               end(intent, std::move(told));
                                             });
                      }
                      end(intent, answer);
                    });
}

void InstanceDriver::put_tree_back(const std::string& version,
                                   std::function<void(const std::string& problem)> then) {
  actions_.run_next(go_back_words(home_, version), kSwitchLimit,
                    [then = std::move(then)](const ChildRun::Result& result) {
                      then(result.exit_code == 0 ? "" : "; its tree is still live: " + result.text);
                    });
}

void InstanceDriver::stop(const reconcile::Intent& intent) {
  if (!intent.only_idle) return stop_now(intent);
  ask_keeper([this, intent](const Result<Status>& status) {
    if (status && status->connections == 0) return stop_now(intent);
    end(intent, {.result = OrderResult::refused,
                 .text = status ? fmt::format("{} connections are open", status->connections)
                                : status.error().message()});
  });
}

void InstanceDriver::stop_now(const reconcile::Intent& intent) {
  actions_.run(stop_words(home_), kActionLimit, [this, intent](const ChildRun::Result& result) {
    Answer answer = read_answer(result.exit_code, result.last_line, result.text);
    if (answer.result == OrderResult::refused) answer.result = OrderResult::done;  // not there
    end(intent, std::move(answer));
  });
}

void InstanceDriver::end(const reconcile::Intent& intent, Answer answer) {
  log_.info("instance.changed", {{"instance", home_.name},
                                 {"order", intent.order},
                                 {"to", intent.to},
                                 {"result", to_string(answer.result)},
                                 {"text", answer.text}});
  changes();
  tell(reconcile::ActionEnded{key_, intent.order, answer.result, std::move(answer.text),
                              answer.handoff});
  look();
}

// ---- After a kill

void InstanceDriver::carry_out(const reconcile::LookUp& command) {
  ask_keeper([this, command](const Result<Status>& status) {
    if (status) return look_up(command, *status);
    tell(reconcile::LookedUp{
        .key = key_, .order = command.intent.order, .text = status.error().message()});
  });
}

void InstanceDriver::look_up(const reconcile::LookUp& command, const Status& status) {
  reconcile::LookedUp looked{.key = key_,
                             .order = command.intent.order,
                             .revision = status.revision.value_or(kNoRevision)};
  if (status.activity != fleet::Activity::idle) {
    looked.result = OrderResult::under_way;
    return tell(looked);
  }
  const bool hands_over = command.intent.kind == reconcile::ActionKind::hand_off ||
                          command.intent.kind == reconcile::ActionKind::hand_back;
  if (!status.runs || !hands_over) {
    looked.result = OrderResult::none;
    return tell(looked);
  }
  // What history tells of the revision last may be of another attempt.
  const bool renews = command.intent.from == command.intent.to;
  if (renews && status.generation == command.intent.generation) {
    looked.result = OrderResult::none;
    return tell(looked);
  }
  looking_.run(history_words(home_), kLookLimit,
               [this, looked, intent = command.intent](const ChildRun::Result& result) mutable {
                 const auto answer =
                     read_history(home_, result.exit_code, result.last_line, intent.to);
                 if (!answer) {
                   looked.text = answer.error().message();
                   return tell(looked);
                 }
                 looked.result = answer->result;
                 looked.text = answer->text;
                 looked.handoff = answer->handoff;
                 tell_looked(intent, looked);
               });
}

// Who was killed may have left a tree live that does not serve: the keeper starts what is live.
void InstanceDriver::tell_looked(const reconcile::Intent& intent,
                                 const reconcile::LookedUp& looked) {
  const fleet::ComponentSpec* from = find_spec_(intent.from);
  const fleet::ComponentSpec* to = find_spec_(intent.to);
  const bool is_done = looked.result == OrderResult::done;
  const bool may_be_live = !is_done && looked.revision == intent.from && from != nullptr &&
                           to != nullptr && has_tree(*to) &&
                           from->release.version != to->release.version;
  if (!may_be_live) return tell(looked);
  changes();
  put_tree_back(to->release.version, [this, looked](const std::string& problem) {
    reconcile::LookedUp told = looked;
    told.text += problem;
    tell(told);
    look();
  });
}

// ---- Shares and health

void InstanceDriver::carry_out(const reconcile::SetShare& command) {
  reconcile::ShareEnded ended{.key = key_, .share_ppm = command.share_ppm};
  const auto words = share_words(home_, key_, find_spec_(command.revision), command);
  if (!words) {
    ended.good = false;
    ended.text = words.error().message();
    return tell(ended);
  }
  if (words->empty()) return tell(ended);
  sharing_.run(*words, kShareLimit, [this, ended](const ChildRun::Result& result) mutable {
    ended.good = result.ended && result.exit_code == 0;
    if (!ended.good) {
      ended.text = read_answer(result.exit_code, result.last_line, result.text).text;
    }
    log_.info("instance.share", {{"instance", home_.name},
                                 {"share_ppm", ended.share_ppm},
                                 {"set", ended.good},
                                 {"text", ended.text}});
    tell(ended);
  });
}

void InstanceDriver::carry_out(const reconcile::CheckHealth& command) {
  probe_.reset();
  probed_.reset();
  const fleet::ComponentSpec* spec = find_spec_(command.revision);
  if (spec == nullptr) return;
  probed_ = command.revision;
  HealthProbe::FindContainer find_container;
  if (is_container(*spec)) find_container = [this] { return serving_container(); };
  std::vector<std::string> environment = environment_;
  environment.push_back("SEGUE_NAME=" + home_.name);
  probe_ = std::make_unique<HealthProbe>(loop_, clock_, means_, spec->health,
                                         std::move(environment), std::move(find_container),
                                         [this](const HealthProbe::Verdict&) { say_seen(); });
  probe_->start();
}

}  // namespace segue::agent
