// SPDX-License-Identifier: Apache-2.0
// What the command line says of the files of services.
#pragma once

#include <string>

namespace segue::cli {

struct ServiceOptions {
  std::string file = "segue.yaml";
  std::string compose;
  std::string output;   // empty: stdout
  std::string name;     // of the service; empty: the file's own
  std::string volumes;  // a directory for named volumes; empty: they are refused
};

}  // namespace segue::cli
