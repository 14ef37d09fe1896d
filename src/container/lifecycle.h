// SPDX-License-Identifier: Apache-2.0
// What is done with the container of one instance, step by step. Pure.
#pragma once

#include <string_view>

namespace segue::container {

enum class Step {
  look_at_image,      // is it there, and which is it
  create,             // the container
  start,              // it
  look_at_container,  // which process is its first
  offer,              // the keeper's descriptors, to the first process of it that asks
  serve,              // until it ends
  kill,               // it, as nobody wants it any more
  collect,            // how it ended
  hear_out,           // what it wrote last: a removed container's output is gone
  remove,             // it
  end,                // this process
};
inline constexpr int kStepCount = 11;
std::string_view to_string(Step step);

enum class StepEvent {
  done,      // what the step asked for; of `offer`: the descriptors were taken
  failed,    // it cannot be done, or not within its limit
  ended,     // the container's first process
  unwanted,  // the keeper has let go of the instance: its channel has ended, or says so, or
             // segue-container's own process was killed. After `offer` that is nothing: what serves
             // does not depend on it.
};
inline constexpr int kStepEventCount = 4;

class Lifecycle {
 public:
  // Whether there is anything to offer: of a program that does not link libsegue there is not. Then
  // it serves as soon as it runs, and as long as it is wanted.
  explicit Lifecycle(bool offers) : offers_(offers) {}

  [[nodiscard]] Step step() const { return step_; }
  // True: there is another step to be done.
  bool on(StepEvent event);

 private:
  [[nodiscard]] Step after(StepEvent event);

  bool offers_;
  Step step_ = Step::look_at_image;
  bool unwanted_ = false;  // while the engine does what cannot be stopped
};

}  // namespace segue::container
