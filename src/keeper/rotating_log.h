// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "os/files.h"

namespace segue::keeper {

// A file of lines that stays below a bound: at the bound it becomes NAME.1, which is replaced. What
// cannot be written is counted and otherwise forgotten: a full disk stops no upgrade.
class RotatingLog {
 public:
  RotatingLog(std::string path, std::uint64_t max_bytes)
      : path_(std::move(path)), max_bytes_(max_bytes) {}

  void append(std::string_view line, os::Durability durability);
  [[nodiscard]] std::uint64_t lines_lost() const { return lines_lost_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::uint64_t max_bytes_;
  std::uint64_t lines_lost_ = 0;
  bool torn_ = false;  // the last line may have been written in part
};

}  // namespace segue::keeper
