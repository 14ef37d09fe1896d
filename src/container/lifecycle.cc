// SPDX-License-Identifier: Apache-2.0
#include "container/lifecycle.h"

#include <array>

namespace segue::container {

std::string_view to_string(Step step) {
  constexpr std::array<std::string_view, kStepCount> kNames = {"look at the image",
                                                               "create the container",
                                                               "start the container",
                                                               "look at the container",
                                                               "offer",
                                                               "serve",
                                                               "kill the container",
                                                               "collect",
                                                               "hear the container out",
                                                               "remove the container",
                                                               "end"};
  return kNames.at(static_cast<std::size_t>(step));
}

bool Lifecycle::on(StepEvent event) {
  const Step before = step_;
  step_ = after(event);
  return step_ != before;
}

Step Lifecycle::after(StepEvent event) {
  if (event == StepEvent::unwanted) unwanted_ = true;
  const bool done = event == StepEvent::done;
  switch (step_) {
    case Step::look_at_image:
      if (unwanted_ || event == StepEvent::failed) return Step::end;
      return done ? Step::create : step_;
    case Step::create:  // until it is known whether there is one
      if (event == StepEvent::failed) return Step::end;
      if (!done) return step_;
      return unwanted_ ? Step::remove : Step::start;
    case Step::start:
      if (event == StepEvent::failed) return Step::kill;  // it may have been started all the same
      if (!done) return step_;
      return unwanted_ ? Step::kill : Step::look_at_container;
    case Step::look_at_container:
      if (event == StepEvent::ended) return Step::collect;
      if (event == StepEvent::failed || unwanted_) return Step::kill;
      if (!done) return step_;
      return offers_ ? Step::offer : Step::serve;
    case Step::offer:
      if (event == StepEvent::ended) return Step::collect;
      if (event == StepEvent::failed || unwanted_) return Step::kill;
      return done ? Step::serve : step_;
    case Step::serve:
      if (!offers_ && event == StepEvent::unwanted) return Step::kill;
      return event == StepEvent::ended ? Step::collect : step_;
    case Step::kill:
      return event == StepEvent::unwanted ? step_ : Step::collect;
    case Step::collect:
      return done || event == StepEvent::failed ? Step::hear_out : step_;
    case Step::hear_out:
      return done || event == StepEvent::failed ? Step::remove : step_;
    case Step::remove:
      return done || event == StepEvent::failed ? Step::end : step_;
    case Step::end:
      return step_;
  }
  return step_;
}

}  // namespace segue::container
