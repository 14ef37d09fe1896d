// SPDX-License-Identifier: Apache-2.0
// What the command line says to `segue publish`, `releases`, `diff`, `gc`, `pin`, `renew` and
// `image`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace segue::cli {

struct LibraryOptions {
  std::string library;
  std::string source;  // publish: the tree or the image; image: the tree
  std::string output;  // image
  bool load = false;   // … into the engine, instead
  bool pull = false;   // … `source` is an image's name, for the engine
  std::string engine;  // … unix:///PATH; empty: the usual one
  std::string component;
  std::string version;
  std::string to_version;  // diff
  std::string commit;
  std::string root;                  // a file
  std::vector<std::string> signers;  // ROLE=FILE
  std::string passphrase_file;
  std::uint32_t deltas = 3;
  bool background_deltas = false;
  bool delegate = false;
  std::uint32_t threads = 0;
  std::string plans;  // the directory of plans that may forbid publishing; empty: none
  std::uint32_t wait_s = 600;
  std::uint32_t expires_days = 365;
  std::uint32_t timestamp_days = 7;

  std::optional<std::uint32_t> keep;  // gc
  std::optional<std::uint32_t> keep_days;
  std::uint32_t grace_hours = 24;

  std::string pin;  // pin
  std::vector<std::string> releases;
  bool remove = false;
};

}  // namespace segue::cli
