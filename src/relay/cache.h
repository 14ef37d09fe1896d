// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>

#include "base/error.h"
#include "os/unique_fd.h"

namespace segue::relay {

// Objects in a directory: whole ones under their digests, beginnings of others as DIGEST.part. When
// they come to more than the bound, those that were not asked for the longest go first. A kill at
// any time leaves what was there; what an earlier run left is not believed before it was read.
// One thread.
class Cache {
 public:
  struct Held {
    std::shared_ptr<os::UniqueFd> file;  // read and write
    std::uint64_t bytes = 0;
    bool is_whole = false;     // it was, when it was last known
    bool is_verified = false;  // its digest was compared since this object was made
  };

  // Makes the directory. failed_precondition: another process uses it.
  static base::Result<std::unique_ptr<Cache>> open(const std::string& directory,
                                                   std::uint64_t max_bytes);
  ~Cache();
  Cache(const Cache&) = delete;
  Cache& operator=(const Cache&) = delete;

  // not_found: there is not a byte of it. Otherwise it cannot be looked at now, and stays.
  base::Result<Held> find(const std::string& digest);
  // An empty part, in place of whatever is there; that stays if it fails.
  base::Result<Held> begin(const std::string& digest);
  // So many bytes were added to it.
  void grew(const std::string& digest, std::uint64_t bytes);
  // Its digest is right: it has its name from now on.
  base::Result<void> keep(const std::string& digest);
  // The file may be wrong: it is to be read again before it counts.
  void doubt(const std::string& digest);
  void remove(const std::string& digest);
  // The disk is full: so much of what is not in use goes, the oldest first. Whether anything did.
  bool evict(std::uint64_t bytes);

  // What is in use does not go.
  void use(const std::string& digest);
  void end_use(const std::string& digest);

  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] std::uint64_t max_bytes() const { return max_bytes_; }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  [[nodiscard]] std::string metadata_path(const std::string& name) const {
    return directory_ + "/metadata/" + name;
  }

 private:
  struct Entry {
    std::uint64_t bytes = 0;
    std::uint64_t turn = 0;  // of its last use
    std::uint32_t users = 0;
    bool is_whole = false;
    bool is_verified = false;
  };

  Cache(std::string directory, std::uint64_t max_bytes, os::UniqueFd lock);
  base::Result<void> read_directory();
  [[nodiscard]] std::string path_of(const std::string& digest, bool is_whole) const;
  void touch(const std::string& digest, Entry& entry);
  void shrink_to(std::uint64_t bytes);

  std::string directory_;
  std::uint64_t max_bytes_;
  os::UniqueFd lock_;
  std::uint64_t bytes_ = 0;
  std::uint64_t next_turn_ = 1;
  std::unordered_map<std::string, Entry> entries_;
  std::map<std::uint64_t, std::string> turns_;
};

}  // namespace segue::relay
