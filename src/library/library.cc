// SPDX-License-Identifier: Apache-2.0
#include "library/library.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace segue::library {

using base::ErrorCode;
using base::fail;
using base::Result;

Result<Library> Library::open(const std::string& directory) {
  SEGUE_ASSIGN(tuf::Repository repository, MetadataStore(directory).read());
  SEGUE_ASSIGN(Disk disk, Disk::open(directory));
  return Library(std::make_unique<Disk>(std::move(disk)), std::move(repository));
}

Result<Release> Library::find(const std::string& component, const std::string& version) const {
  const auto all = components();
  const auto found = all.find(component);
  if (found == all.end()) {
    std::vector<std::string> names;
    for (const auto& [name, list] : all) names.push_back(name);
    return fail(ErrorCode::not_found, "{} holds no component '{}'; it holds: {}", directory(),
                component,
                names.empty() ? "nothing yet" : fmt::format("{}", fmt::join(names, ", ")));
  }
  if (const Release* release = found->second.find_version(version)) return *release;
  std::vector<std::string> versions;
  for (const auto& release : found->second.releases) versions.push_back(release.version);
  return fail(ErrorCode::not_found, "'{}' has no release {}; it has: {}", component, version,
              fmt::join(versions, ", "));
}

Result<Contents> Library::contents_of(const Release& release) const {
  return read_contents(objects_, release);
}

Result<Contents> read_contents(const ObjectStore& objects, const Release& release) {
  SEGUE_ASSIGN(const delta::Bytes stored, objects.read(release.contents));
  return unpack_contents(stored, release);
}

}  // namespace segue::library
