// SPDX-License-Identifier: Apache-2.0
// What the command line says to `segue key` and `segue tuf-client`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace segue::cli {

struct TrustOptions {
  std::string file;  // key: the file that the command is about
  std::string type = "ed25519";
  std::string passphrase_file;
  std::vector<std::string> add;         // ROLE=FILE
  std::vector<std::string> remove;      // ROLE=KEYID or ROLE=FILE
  std::vector<std::string> thresholds;  // ROLE=N
  std::vector<std::string> signers;     // files of private keys
  std::string previous;                 // the root before the one that is signed
  std::string out;
  std::uint32_t expires_days = 365;

  std::string metadata_dir;  // tuf-client
  std::string metadata_url;
  std::vector<std::string> target_names;
  std::string target_base_url;
  std::string target_dir;
};

}  // namespace segue::cli
