// SPDX-License-Identifier: Apache-2.0
// The same through the C++ wrapper.
#include <iostream>
#include <segue/segue.hpp>

namespace {

class Consumer : public segue::Service {
 public:
  bool active = false;

  bool freeze() override { return true; }
  void resume(segue_resume_reason /*reason*/, bool /*released*/) override {}
  void activate(const segue_activation& /*activation*/) override { active = true; }
  void terminate(segue_end_reason /*reason*/) override {}
};

}  // namespace

int main() {
  Consumer consumer;
  segue_options options{};
  options.service = "consumer";
  options.version = "1";
  segue::Instance instance(options, consumer);
  if (!instance.valid() || instance.start() != SEGUE_OK) std::cerr << instance.error() << '\n';
  std::cout << "active " << consumer.active << '\n';
  return consumer.active ? 0 : 1;
}
