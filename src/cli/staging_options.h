// SPDX-License-Identifier: Apache-2.0
// What the command line says to `segue stage`, `segue go-live` and `segue verify`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace segue::cli {

struct StagingOptions {
  std::string place;  // its directory
  std::string component;
  std::string version;
  std::string library;                // a URL or a directory
  std::string root;                   // a file
  std::vector<std::string> writable;  // patterns
  std::string go_live_at;             // a time expression
  std::string share = "hardlink";     // or reflink, copy
  std::string if_live;                // --undo: only if this version is
  std::string program;                // whose digest is asked for; empty: none
  std::string check = "changed";      // or all, none
  std::uint64_t max_bytes_per_s = 0;  // 0: as fast as it goes
  std::uint32_t wait_s = 30;
  std::uint32_t delta_wait_s = 900;
  bool undo = false;
  bool quick = false;
};

}  // namespace segue::cli
