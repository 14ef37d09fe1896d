// SPDX-License-Identifier: Apache-2.0
// What instances of a component on this host have printed: the keeper has a file for each
// generation (output.GENERATION.log), into which they write themselves.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "fleet/logs.h"

namespace segue::agent {

// Pure: the whole lines at the beginning of `bytes`, at most `max`, and how many bytes they take.
// One without an end counts where nothing more will come (`is_final`), and what is longer than
// kMaxLogLineBytes is cut.
struct LogPiece {
  std::vector<std::string> lines;
  std::size_t used = 0;
};
LogPiece cut_lines(std::string_view bytes, bool is_final, std::size_t max);

// Of the keeper whose state is kept in `directory`. `from` and `lines` as in LogsWanted. What
// cannot be read is the answer's trouble.
fleet::LogsRead read_instance_logs(const std::string& directory, const std::string& from,
                                   std::uint32_t lines);

}  // namespace segue::agent
