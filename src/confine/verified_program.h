// SPDX-License-Identifier: Apache-2.0
// A program whose bytes are known: what was read is what is started (execveat(2)).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "os/unique_fd.h"

namespace segue::confine {

struct VerifiedProgram {
  os::UniqueFd directory;  // that it was opened in
  os::UniqueFd file;       // that was read
  std::string path;
  bool is_script = false;
};

// `digest`: sha256:HEX, of the whole file. data_loss: it is another one, which is said; errors of
// the file system otherwise.
base::Result<VerifiedProgram> open_verified(const std::string& path, const std::string& digest);

enum class StartBy {
  descriptor,  // nothing is looked up any more
  name,        // in the directory that it was opened in
};
// Of the kernel that says so of itself (uname(2)): before Linux 6.14 a program that is started by
// its descriptor is called by that number in every list of processes.
StartBy start_by(std::string_view kernel_release);

// This process becomes it; returns only why not. `words`: its argv, argv[0] included. A script is
// opened once more, by its interpreter, which is told its path.
base::Error become(const VerifiedProgram& program, StartBy by, std::vector<std::string> words);
// The same without a digest: by its path.
base::Error become(const std::string& path, std::vector<std::string> words);

}  // namespace segue::confine
