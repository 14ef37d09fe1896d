// SPDX-License-Identifier: Apache-2.0
// Before state goes to an older program: what that one cannot hold, asked of the owner.
#include <fmt/format.h>

#include <utility>

#include "control/reply.h"
#include "control/text.h"
#include "handoff/frame.h"
#include "keeper/keeper.h"

namespace segue::keeper {
namespace {

using control::ExitCode;
using handoff::FrameType;

constexpr std::size_t kMaxLossQuestions = 16;
// The owner looks at each of its records while it serves.
constexpr base::Duration kLossAnswerLimit = std::chrono::seconds(60);

LossReport unknown(std::string why) {
  LossReport report;
  report.why_not = std::move(why);
  return report;
}

}  // namespace

void Keeper::ask_losses(const std::string& forms, base::Duration limit, LossesThen then) {
  const Instance* owner = component_->find(component_->owner());
  const auto process = processes_.find(component_->owner());
  if (owner == nullptr || process == processes_.end() || !process->second.channel_open) {
    return then(unknown("nobody serves"));
  }
  if (forms.empty() || owner->forms.empty() || (owner->abilities & handoff::kAbilitySurvey) == 0) {
    return then(unknown("it, or the program that serves, is of a libsegue that does not say it"));
  }
  if (forms == owner->forms) {
    LossReport same;
    same.known = true;
    return then(same);
  }
  if (loss_questions_.size() >= kMaxLossQuestions) {
    return then(unknown("too many are asking"));
  }
  loss_questions_.push_back({0, forms, limit, std::move(then)});
  if (loss_questions_.size() == 1) send_loss_question();
}

// One after the other.
void Keeper::send_loss_question() {
  LossQuestion& question = loss_questions_.front();
  question.number = ++last_survey_;
  send(component_->owner(), FrameType::keeper_survey,
       survey_payload(question.number, question.forms));
  const std::uint64_t number = question.number;
  (void)loop_.call_at(clock_.monotonic_now() + question.limit, [this, number] {
    answer_losses(number, unknown("the program that serves did not say it in time"));
  });
}

void Keeper::answer_losses(std::uint64_t number, const LossReport& report) {
  if (loss_questions_.empty() || loss_questions_.front().number != number) return;
  tell_who_asked(std::move(loss_questions_.front().then), report);
  loss_questions_.pop_front();
  if (!loss_questions_.empty()) send_loss_question();
}

// Not from within the frames that are being read.
void Keeper::tell_who_asked(LossesThen then, const LossReport& report) {
  (void)loop_.call_at(clock_.monotonic_now(), [this, then = std::move(then), report] {
    then(report);
    settle();
  });
}

// Whoever was asked has ended, or cannot be heard any more.
void Keeper::give_up_losses() {
  for (LossQuestion& question : std::exchange(loss_questions_, {})) {
    tell_who_asked(std::move(question.then), unknown("the program that was asked has ended"));
  }
}

void Keeper::tell_losses(RequestId id, const LossReport& report, const std::string& to) {
  if (id == 0 || (report.known && report.losses.empty())) return;
  server_.send(id, wrapped_reply(control::reply::kLosses, losses_json(report, to)),
               ControlServer::Weight::needed);
}

std::optional<Keeper::UndoTarget> Keeper::undo_target() const {
  if (programs_) return std::nullopt;  // no state moves
  if (component_->phase() == Phase::serving && !component_->previous().empty()) {
    const Previous& previous = component_->previous().back();
    return UndoTarget{control::version_text(previous.version), previous.forms};
  }
  if (component_->phase() == Phase::probation && component_->attempt()->kind != Kind::undo) {
    const Attempt& attempt = *component_->attempt();
    return UndoTarget{control::version_text(attempt.from), attempt.from_forms};
  }
  return std::nullopt;
}

void Keeper::request_undo(RequestId id, const control::AttemptOptions& options) {
  const auto target = undo_target();
  if (!target) return admit(id, UndoRequested{id, options}, options);
  ask_losses(target->forms, kLossAnswerLimit,
             [this, id, options, to = target->label](const LossReport& report) {
               tell_losses(id, report, to);
               if (options.refuse_loss && (!report.known || loses(report))) {
                 execute(Step{"undo.refused_for_loss", {{"why", loss_text(report, to)}}, true});
                 return end_request(id, ExitCode::refused,
                                    fmt::format("{} was not handed back: {}; nothing was touched",
                                                line_.name, loss_text(report, to)));
               }
               admit(id, UndoRequested{id, options, report}, options);
             });
}

// For a dry run.
void Keeper::answer_undo_losses(RequestId id) {
  const auto target = undo_target();
  if (!target) {
    return server_.finish(id, last_reply_with(control::reply::kLosses,
                                              losses_json(unknown("nothing would go back"), "")));
  }
  ask_losses(
      target->forms, kLossAnswerLimit, [this, id, to = target->label](const LossReport& report) {
        server_.finish(id, last_reply_with(control::reply::kLosses, losses_json(report, to)));
      });
}

// A successor has said hello, and with it what it declares: before the decider lets the handoff
// begin, the owner says what it would lose. The way back asked before it began.
void Keeper::greet(HelloReceived hello) {
  const auto& attempt = component_->attempt();
  const bool asks = component_->phase() == Phase::preparing && attempt &&
                    attempt->successor == hello.generation && attempt->kind != Kind::undo;
  if (!asks) return post(std::move(hello));
  const RequestId id = attempt->request;
  const std::string forms = hello.forms;
  // Well before the program counts as one that is not ready.
  const base::Duration limit = std::chrono::milliseconds(attempt->options.start_ms / 2);
  ask_losses(forms, limit, [this, id, hello = std::move(hello)](const LossReport& report) {
    if (report.known) tell_losses(id, report, control::version_text(hello.version));
    HelloReceived completed = hello;
    completed.losses = report;
    post(std::move(completed));
  });
}

}  // namespace segue::keeper
