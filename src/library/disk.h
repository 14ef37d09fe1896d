// SPDX-License-Identifier: Apache-2.0
// Every change that a publisher makes to its disk, so that a test can fail, or kill, before and
// after each of them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "delta/bytes.h"
#include "os/unique_fd.h"

namespace segue::library {

class Disk {
 public:
  enum class Moment { before, after };
  // Called around each change; an error is the outcome of the change, which was made if the moment
  // is `after`.
  using Watch =
      std::function<base::Result<void>(const char* change, const std::string& path, Moment moment)>;

  // `directory` exists. What goes wrong on its file system from here on is what sync_all() reports.
  static base::Result<Disk> open(const std::string& directory, Watch watch = {});

  [[nodiscard]] const std::string& directory() const { return directory_; }

  // 0755 whatever the umask is; that it exists is fine.
  base::Result<void> make_directory(const std::string& path) const;
  // Makes the file (likewise 0644), or empties it, and writes it. Not durable yet.
  base::Result<void> write(const std::string& path, delta::ByteView bytes) const;
  base::Result<void> append(const std::string& path, delta::ByteView bytes) const;
  // Makes durable whatever was changed on the directory's file system; an error if any of it could
  // not be written back (since Linux 5.8). One for hundreds of files: an fsync() of each costs
  // seconds.
  base::Result<void> sync_all() const;
  base::Result<void> rename(const std::string& from, const std::string& to) const;
  // That it is missing is fine.
  base::Result<void> remove(const std::string& path) const;

 private:
  Disk(std::string directory, os::UniqueFd file_system, Watch watch)
      : directory_(std::move(directory)),
        file_system_(std::move(file_system)),
        watch_(std::move(watch)) {}
  template <class Change>
  base::Result<void> watched(const char* name, const std::string& path, Change change) const;

  std::string directory_;
  os::UniqueFd file_system_;
  Watch watch_;
};

// Makes the directory (0755) and what is missing above it.
base::Result<void> make_library_folder(const std::string& path);

// The names in a directory, sorted; none when it does not exist.
base::Result<std::vector<std::string>> list_folder(const std::string& path);

}  // namespace segue::library
