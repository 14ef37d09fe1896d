// SPDX-License-Identifier: Apache-2.0
#include "cli/unit_folders.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <system_error>

#include "os/files.h"

namespace segue::cli {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
namespace fs = std::filesystem;

// The system manager's, those that win first.
constexpr std::array<const char*, 11> kFolders = {
    "/etc/systemd/system.control",  "/run/systemd/system.control",   "/run/systemd/transient",
    "/run/systemd/generator.early", "/etc/systemd/system",           "/run/systemd/system",
    "/run/systemd/generator",       "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
    "/lib/systemd/system",          "/run/systemd/generator.late"};
constexpr const char* kOwnFolder = "/etc/systemd/system";
constexpr std::size_t kMaxEntries = 20'000;  // of one folder
constexpr std::string_view kServiceSuffix = ".service";

// Of a link: what it points to, inside the root.
bool is_masked(const fs::path& path) {
  std::error_code error;
  if (fs::is_symlink(path, error)) return fs::read_symlink(path, error) == "/dev/null";
  return fs::is_regular_file(path, error) && fs::file_size(path, error) == 0;
}

std::vector<std::string> entries(const fs::path& folder, const std::string& suffix) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end;
       !error && entry != end && names.size() < kMaxEntries; entry.increment(error)) {
    std::string name = entry->path().filename().string();
    if (name.ends_with(suffix) && !name.starts_with('.')) names.push_back(std::move(name));
  }
  return names;
}

// worker@a.service has its template's; a-b.service also those of a-.service; all have service.d.
// Those that are meant for more units come first where names are equal.
std::vector<std::string> drop_in_folders(const std::string& unit) {
  std::vector<std::string> folders = {"service.d"};
  const std::string stem = unit.substr(0, unit.size() - kServiceSuffix.size());
  const std::size_t at = stem.find('@');
  for (std::size_t dash = stem.find('-'); dash < std::min(at, stem.size() - 1);
       dash = stem.find('-', dash + 1)) {
    folders.push_back(stem.substr(0, dash + 1) + ".service.d");
  }
  if (at != std::string::npos) folders.push_back(stem.substr(0, at + 1) + ".service.d");
  folders.push_back(unit + ".d");
  return folders;
}

std::string template_of(const std::string& unit) {
  const std::size_t at = unit.find('@');
  return at == std::string::npos ? "" : unit.substr(0, at + 1) + std::string(kServiceSuffix);
}

}  // namespace

Result<UnitSource> UnitFolders::read_main(const std::string& unit) const {
  for (const std::string& name : {unit, template_of(unit)}) {
    if (name.empty()) continue;
    for (const char* folder : kFolders) {
      const fs::path path = root_ + folder + "/" + name;
      std::error_code error;
      if (!fs::is_symlink(path, error) && !fs::exists(path, error)) continue;
      if (is_masked(path)) {
        return fail(ErrorCode::failed_precondition, "{} is masked by {}: unmask it first", unit,
                    path.string());
      }
      const fs::path target = fs::is_symlink(path, error) ? fs::read_symlink(path, error) : path;
      if (target.filename() != name) {
        return fail(ErrorCode::failed_precondition, "{} is another name of {}: adopt that one",
                    unit, target.filename().string());
      }
      const std::string real =
          target.is_absolute() && target != path ? root_ + target.string() : path.string();
      SEGUE_ASSIGN(auto text, os::read_file(real, kMaxUnitBytes));
      return UnitSource{path.string(), std::move(text)};
    }
  }
  return fail(ErrorCode::not_found, "there is no unit {} in {}{} or the other folders of systemd",
              unit, root_, kOwnFolder);
}

Result<std::vector<UnitSource>> UnitFolders::read_drop_ins(const std::string& unit) const {
  // By file name; of equal names the narrower folder wins, then the earlier one of kFolders.
  std::map<std::string, fs::path> chosen;
  for (const auto& drop_in_folder : drop_in_folders(unit)) {
    std::map<std::string, fs::path> here;
    for (const char* folder : kFolders) {
      const fs::path place = root_ + folder + "/" + drop_in_folder;
      for (const auto& name : entries(place, ".conf")) here.try_emplace(name, place / name);
    }
    for (auto& [name, path] : here) chosen[name] = path;
  }
  chosen.erase(std::string(kDropInName));
  std::vector<UnitSource> sources;
  for (const auto& [name, path] : chosen) {
    if (is_masked(path)) continue;
    SEGUE_ASSIGN(auto text, os::read_file(path.string(), kMaxUnitBytes));
    sources.push_back({path.string(), std::move(text)});
  }
  return sources;
}

Result<std::vector<std::string>> UnitFolders::sockets_of(const std::string& unit) const {
  std::map<std::string, fs::path> found;
  for (const char* folder : kFolders) {
    for (const auto& name : entries(root_ + folder, ".socket")) {
      found.try_emplace(name, root_ + folder + "/" + name);
    }
  }
  const std::string stem = unit.substr(0, unit.size() - kServiceSuffix.size());
  std::vector<std::string> sockets;
  for (const auto& [name, path] : found) {
    if (is_masked(path)) continue;
    std::error_code error;
    if (name == stem + ".socket") {
      sockets.push_back(name);
      continue;
    }
    const auto text = os::read_file(path.string(), kMaxUnitBytes);
    if (!text) continue;  // a link to nowhere is no unit
    const UnitSource source{path.string(), *text};
    SEGUE_ASSIGN(const auto settings, UnitSettings::parse({&source, 1}));
    if (settings.last("Socket", "Service") == unit) sockets.push_back(name);
  }
  return sockets;
}

Result<UnitFacts> UnitFolders::read(const std::string& unit) const {
  UnitFacts facts;
  facts.unit = unit;
  SEGUE_ASSIGN(auto main, read_main(unit));
  facts.sources.push_back(std::move(main));
  SEGUE_ASSIGN(auto drop_ins, read_drop_ins(unit));
  for (auto& source : drop_ins) facts.sources.push_back(std::move(source));
  SEGUE_ASSIGN(facts.sockets, sockets_of(unit));
  return facts;
}

std::string UnitFolders::drop_in_path(const std::string& unit) const {
  return root_ + kOwnFolder + "/" + unit + ".d/" + std::string(kDropInName);
}

Result<std::string> UnitFolders::read_drop_in(const std::string& unit) const {
  const std::string path = drop_in_path(unit);
  std::error_code error;
  if (!fs::exists(path, error)) {
    return fail(ErrorCode::not_found, "{} is not adopted: there is no {}", unit, path);
  }
  return os::read_file(path, kMaxUnitBytes);
}

Result<void> UnitFolders::write_drop_in(const std::string& unit, const std::string& text) const {
  const fs::path path = drop_in_path(unit);
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  if (error) {
    return fail(base::errno_error("make " + path.parent_path().string(), error.value()));
  }
  constexpr mode_t kReadableByAll = 0644;
  return os::write_file_atomically(path.string(), text, kReadableByAll);
}

Result<void> UnitFolders::remove_drop_in(const std::string& unit) const {
  const fs::path path = drop_in_path(unit);
  std::error_code error;
  fs::remove(path, error);
  if (error) return fail(base::errno_error("remove " + path.string(), error.value()));
  fs::remove(path.parent_path(), error);  // stays where something else is in it
  return {};
}

}  // namespace segue::cli
