// SPDX-License-Identifier: Apache-2.0
// A segue.yaml of a service as a stranger may write it. What is accepted is written and read as the
// same, and nothing is wrong with its components.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "fleet/component_check.h"
#include "service/service_file.h"
#include "service/service_text.h"

namespace {

namespace service = segue::service;

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  (void)service::is_component_file(text);
  const auto reading = service::read_service("s.yaml", text);
  require(reading.service.has_value() == reading.problems.empty());
  for (const auto& problem : reading.problems) {
    require(problem.starts_with("s.yaml:") && problem.find('\n') == std::string::npos);
  }
  if (!reading.service) return 0;
  for (const auto& component : reading.service->components) {
    require(segue::fleet::problems_of(component.spec).empty());
  }
  for (const bool with_defaults : {false, true}) {
    const std::string written = service::service_text(
        *reading.service, {.with_defaults = with_defaults, .heading = {}, .comments = {}});
    require(service::read_service("s.yaml", written).service == reading.service);
  }
  return 0;
}
