// SPDX-License-Identifier: Apache-2.0
#include "library/pins.h"

#include <fmt/format.h>

#include "control/name.h"
#include "library/object_store.h"
#include "library/release.h"
#include "os/files.h"

namespace segue::library {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxPinBytes = std::size_t{1} << 20;

Result<std::set<std::string>> parse_pin(std::string_view text) {
  std::set<std::string> targets;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos)
      return fail(ErrorCode::data_loss, "its last line is cut off");
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    const std::size_t slash = line.find('/');
    if (slash == std::string_view::npos || !check_component(line.substr(0, slash)) ||
        !check_version(line.substr(slash + 1))) {
      return fail(ErrorCode::data_loss, "'{}' is not COMPONENT/VERSION", line.substr(0, 200));
    }
    targets.emplace(line);
  }
  return targets;
}

}  // namespace

Result<std::map<std::string, std::set<std::string>>> read_pins(const std::string& library) {
  const std::string folder = fmt::format("{}/{}", library, kPinsFolder);
  SEGUE_ASSIGN(const auto names, list_folder(folder));
  std::map<std::string, std::set<std::string>> pins;
  for (const auto& name : names) {
    const std::string path = fmt::format("{}/{}", folder, name);
    SEGUE_ASSIGN(const std::string text, os::read_file(path, kMaxPinBytes));
    auto targets = parse_pin(text);
    if (!targets) {
      return fail(std::move(targets).error().with(fmt::format("{}: mend or remove it", path)));
    }
    pins.emplace(name, *std::move(targets));
  }
  return pins;
}

Result<std::set<std::string>> pinned_targets(const std::string& library) {
  SEGUE_ASSIGN(const auto pins, read_pins(library));
  std::set<std::string> pinned;
  for (const auto& [name, targets] : pins) pinned.insert(targets.begin(), targets.end());
  return pinned;
}

Result<void> write_pin(const Disk& disk, const std::string& name,
                       const std::set<std::string>& targets) {
  SEGUE_TRY(control::check_name(name, "a pin"));
  const std::string path = fmt::format("{}/{}/{}", disk.directory(), kPinsFolder, name);
  if (targets.empty()) {
    SEGUE_TRY(disk.remove(path));
    return disk.sync_all();
  }
  std::string text;
  for (const auto& target : targets) text += target + "\n";
  const std::string fresh = fmt::format("{}/{}/pin.{}", disk.directory(), kIncomingFolder, name);
  SEGUE_TRY(disk.make_directory(fmt::format("{}/{}", disk.directory(), kPinsFolder)));
  SEGUE_TRY(disk.write(fresh, delta::view_of(text)));
  SEGUE_TRY(disk.sync_all());
  SEGUE_TRY(disk.rename(fresh, path));
  return disk.sync_all();
}

}  // namespace segue::library
