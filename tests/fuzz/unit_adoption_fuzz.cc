// SPDX-License-Identifier: Apache-2.0
// Whatever a unit file holds: it is refused, or the drop-in that is written says what is meant.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "cli/adoption.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using segue::cli::UnitSettings;
  using segue::cli::UnitSource;
  const UnitSource unit{"/lib/systemd/system/kv.service",
                        std::string(reinterpret_cast<const char*>(data), size)};
  const auto adoption = segue::cli::adopt_unit({"kv.service", {unit}, {}});
  if (!adoption) {
    require(!adoption.error().message().empty());
    return 0;
  }
  require(segue::cli::authorship_of(adoption->drop_in) == segue::cli::Authorship::adopted);
  const std::vector<UnitSource> sources = {unit, {"segue.conf", adoption->drop_in}};
  const auto before = UnitSettings::parse({sources.data(), 1});
  const auto after = UnitSettings::parse(sources);
  require(before && after);
  require(after->list("Service", "ExecStart").size() == 1);
  require(after->list("Service", "ExecReload").size() == 1);
  require(after->last("Service", "Type") == "notify");
  require(after->last("Service", "KillMode") == "process");
  // Nothing of the unit becomes an option that was not meant: its values are one word each.
  const std::string run = *after->last("Service", "ExecStart");
  require(run.find(" kv -- ") != std::string::npos);
  for (const char* key : {"User", "Group", "WorkingDirectory", "LimitNOFILE", "ProtectSystem",
                          "CapabilityBoundingSet", "NoNewPrivileges", "EnvironmentFile"}) {
    require(before->list("Service", key) == after->list("Service", key));
  }
  return 0;
}
