// SPDX-License-Identifier: Apache-2.0
// The signed metadata of a library on disk.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "library/disk.h"
#include "library/release.h"
#include "tuf/repository.h"

namespace segue::library {

// N.ROLE.json, or timestamp.json, which has no number.
struct MetadataFileName {
  std::string role;
  std::uint64_t version = 0;
};
std::optional<MetadataFileName> parse_metadata_name(const std::string& name);

class MetadataStore {
 public:
  // Below `library`.
  explicit MetadataStore(const std::string& library);

  // Whether anything was published here.
  [[nodiscard]] bool exists() const;
  // The newest root, and what the timestamp leads to, with every signature checked; expired or not.
  // not_found: there is no library here. data_loss names a file that is damaged.
  [[nodiscard]] base::Result<tuf::Repository> read() const;
  // Tells it which versions have files here, also those that a killed publisher left and no
  // timestamp leads to: a cache may hold them, and they are signed. read() has done so.
  base::Result<void> use_up_versions(tuf::Repository& repository) const;
  // In their order: all of them durable before the last one, the timestamp, has its name.
  base::Result<void> write(const Disk& disk, const std::vector<tuf::RepositoryFile>& files) const;

  // Every file, by name.
  [[nodiscard]] base::Result<std::vector<std::string>> list() const;
  [[nodiscard]] std::string path_of(const std::string& name) const;
  [[nodiscard]] base::Result<std::string> read_file(const std::string& name) const;

 private:
  [[nodiscard]] base::Result<std::uint64_t> newest_root() const;
  [[nodiscard]] base::Result<tuf::Repository> read_under(std::uint64_t root) const;
  [[nodiscard]] base::Result<tuf::Repository> read_newest() const;

  std::string library_;
};

// The roles that are components, with what they have published. Others are not an error.
std::map<std::string, ReleaseList> components_of(const tuf::Repository& repository);

}  // namespace segue::library
