// SPDX-License-Identifier: Apache-2.0
#include "keeper/rotating_log.h"

#include <filesystem>
#include <system_error>

namespace segue::keeper {

void RotatingLog::append(std::string_view line, os::Durability durability) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path_, error);
  if (!error && size + line.size() + 1 > max_bytes_) {
    std::filesystem::rename(path_, path_ + ".1", error);
  }
  std::string bytes;
  if (torn_) bytes += '\n';
  bytes.append(line).append("\n");
  torn_ = !os::append_to_file(path_, bytes, durability);
  if (torn_) ++lines_lost_;
}

}  // namespace segue::keeper
