// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "os/temp_directory.h"

namespace segue::tree {

// A tree on disk, for tests.
class TestTree {
 public:
  TestTree() : directory_(temporary_.path("tree")) { make(); }
  explicit TestTree(std::string directory) : directory_(std::move(directory)) { make(); }

  [[nodiscard]] const std::string& path() const { return directory_; }
  [[nodiscard]] std::string path(const std::string& name) const { return directory_ + "/" + name; }

  // Directories above are made.
  void file(const std::string& name, std::string_view bytes, mode_t mode = 0644) const {
    std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
    write(path(name), bytes);
    SEGUE_ASSERT(::chmod(path(name).c_str(), mode) == 0);
  }
  void directory(const std::string& name, mode_t mode = 0755) const {
    std::filesystem::create_directories(path(name));
    SEGUE_ASSERT(::chmod(path(name).c_str(), mode) == 0);
  }
  void symlink(const std::string& name, const std::string& target) const {
    SEGUE_ASSERT(::symlink(target.c_str(), path(name).c_str()) == 0);
  }
  void link(const std::string& name, const std::string& file) const {
    std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
    SEGUE_ASSERT(::link(path(file).c_str(), path(name).c_str()) == 0);
  }
  void write_at(const std::string& name, off_t offset, std::string_view bytes) const {
    const int fd = ::open(path(name).c_str(), O_WRONLY | O_CLOEXEC);
    SEGUE_ASSERT(::pwrite(fd, bytes.data(), bytes.size(), offset) ==
                 static_cast<ssize_t>(bytes.size()));
    ::close(fd);
  }

  static void write(const std::string& path, std::string_view bytes) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    SEGUE_ASSERT(fd >= 0);
    SEGUE_ASSERT(::write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    ::close(fd);
  }

 private:
  void make() const { SEGUE_ASSERT(::mkdir(directory_.c_str(), 0755) == 0); }

  os::TempDirectory temporary_;
  std::string directory_;
};

// In a process of its own, without root's rights. Whether it ended and returned true.
inline bool as_nobody(const std::function<bool()>& work) {
  constexpr id_t kNobody = 65534;
  const pid_t child = ::fork();
  if (child == 0) {
    const bool gave_up = ::geteuid() != 0 || (::setgroups(0, nullptr) == 0 &&
                                              ::setresgid(kNobody, kNobody, kNobody) == 0 &&
                                              ::setresuid(kNobody, kNobody, kNobody) == 0);
    ::_exit(gave_up && work() ? 0 : 1);
  }
  int status = 0;
  return child > 0 && ::waitpid(child, &status, 0) == child && WIFEXITED(status) &&
         WEXITSTATUS(status) == 0;
}

}  // namespace segue::tree
