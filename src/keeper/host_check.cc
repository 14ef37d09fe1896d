// SPDX-License-Identifier: Apache-2.0
#include "keeper/host_check.h"

#include <fmt/format.h>

#include <algorithm>

#include "control/text.h"

namespace segue::keeper {

using control::bytes_text;

HostVerdict check_host(const HostFigures& figures, std::uint32_t max_load_percent) {
  HostVerdict verdict;
  verdict.needed_bytes = figures.predecessor_bytes + kProgramBytes;
  const std::uint64_t free =
      std::min(figures.available_bytes, figures.cgroup_room_bytes.value_or(UINT64_MAX));
  const std::uint64_t room = free > figures.promised_bytes ? free - figures.promised_bytes : 0;
  const double load_percent = 100.0 * figures.load / std::max(figures.cpus, 1U);
  verdict.text = fmt::format(
      "a successor needs about {} (the present instance has {}{}), and {} can be had ({} available "
      "on the host{}{}); load {:.2f} on {}",
      bytes_text(verdict.needed_bytes), bytes_text(figures.predecessor_bytes),
      figures.arena_bytes > 0
          ? fmt::format(", and {} in arenas, which are shared", bytes_text(figures.arena_bytes))
          : "",
      bytes_text(room), bytes_text(figures.available_bytes),
      figures.cgroup_room_bytes
          ? fmt::format(", {} until the cgroup's limit", bytes_text(*figures.cgroup_room_bytes))
          : "",
      figures.promised_bytes > 0
          ? fmt::format(", {} promised to other upgrades", bytes_text(figures.promised_bytes))
          : "",
      figures.load, control::counted(figures.cpus, "CPU"));
  if (verdict.needed_bytes > room) {
    verdict.fits = false;
    verdict.text = "old and new do not fit into memory together: " + verdict.text;
  } else if (load_percent > max_load_percent) {
    verdict.fits = false;
    verdict.text = fmt::format("the host is too busy, at most {:.2f} per CPU is allowed: {}",
                               max_load_percent / 100.0, verdict.text);
  }
  return verdict;
}

}  // namespace segue::keeper
