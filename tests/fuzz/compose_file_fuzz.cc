// SPDX-License-Identifier: Apache-2.0
// A compose.yaml from anywhere, with anything in the file that its env_file names. What is accepted
// is a segue.yaml that is read as the same service.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "service/compose_file.h"
#include "service/service_file.h"

namespace {

namespace service = segue::service;

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto reading = service::read_compose(
      "c.yaml", text,
      {.service = "",
       .directory = "/srv/app",
       .volumes = "/srv/volumes",
       .read_file = [&](const std::string&) -> segue::base::Result<std::string> { return text; }});
  require(reading.service.has_value() == reading.problems.empty());
  if (!reading.service) return 0;
  const std::string written = service::service_text(*reading.service, reading.text);
  // Files have a bound of their own, which what is written here may be beyond.
  if (written.size() > service::kMaxServiceFileBytes) return 0;
  require(service::read_service("s.yaml", written).service == reading.service);
  return 0;
}
