// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "os/unique_fd.h"

namespace segue::tree {

// For messages: what is not printable ASCII as \xNN.
std::string shown(std::string_view path);

// What tells that a file was changed, without reading it. All that changes bytes, mode, attributes
// or the number of links moves the change time, which no program can set; a store through a mapping
// does so once for each page, and again after that was flushed (mmap(2)): flush before you stamp.
struct FileStamp {
  std::uint64_t inode = 0;
  std::uint64_t size_bytes = 0;
  std::int64_t modified_ns = 0;  // since the epoch
  std::int64_t changed_ns = 0;   // …
  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};
FileStamp stamp_of(const struct stat& status);

// A directory and what is below it, whatever somebody puts there: no symlink is followed on any
// part of a path, and no mount is crossed (openat2(2)). Paths are relative, "" is the directory
// itself.
class Beneath {
 public:
  // failed_precondition: it is not a directory. Symlinks in `directory` itself are followed.
  static base::Result<Beneath> open(const std::string& directory);
  // The directory may be one that nobody may read, and is itself no symlink.
  static base::Result<Beneath> open_to_remove(const std::string& directory);

  // Threads: any.
  [[nodiscard]] base::Result<os::UniqueFd> open(const std::string& path, int flags,
                                                mode_t mode = 0) const;
  [[nodiscard]] base::Result<struct stat> status(int fd, std::string_view path) const;
  // Makes an error of errno: "link DIRECTORY/PATH: …".
  [[nodiscard]] base::Error error(std::string_view call, std::string_view path,
                                  int error_number) const;

  // A name and the directory that it is in, for calls that take both. Valid until the next one.
  struct Slot {
    int directory = -1;
    const char* name = nullptr;
  };
  // One thread at a time. `path` is not empty.
  base::Result<Slot> slot(const std::string& path);

  [[nodiscard]] int root() const { return root_.get(); }
  [[nodiscard]] const std::string& directory() const { return directory_; }

 private:
  Beneath(os::UniqueFd root, std::string directory)
      : root_(std::move(root)), directory_(std::move(directory)) {}
  static base::Result<Beneath> open_with(const std::string& directory, int flags);

  os::UniqueFd root_;
  std::string directory_;
  os::UniqueFd parent_;  // that of the last slot
  std::string parent_path_;
};

// Removes the directory and all below it, also what its owner may not read or write to, and never
// what a symlink leads to: failed_precondition when `directory` is one. One that is not there is no
// error.
base::Result<void> remove_tree(const std::string& directory);

}  // namespace segue::tree
