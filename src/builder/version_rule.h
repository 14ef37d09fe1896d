// SPDX-License-Identifier: Apache-2.0
// How the version of a release follows from its commit. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/error.h"

namespace segue::builder {

// What git knows about a commit.
struct CommitFacts {
  std::string commit;   // 40 or 64 hexadecimal digits
  std::string commits;  // how many there are up to it, itself included
  std::string date;     // of the commit in UTC, YYYYMMDD
  std::string time;     // … HHMMSS
  std::string tag;      // one that names just this commit; empty: none does
};

// A version with these in it: {commits}, {commit} (its first 12 digits), {date}, {time}, {tag}.
base::Result<void> check_version_rule(std::string_view rule);

// As control::check_version() wants it. failed_precondition: {tag} is asked for where there is
// none, or the tag does not make a version.
base::Result<std::string> version_of(std::string_view rule, const CommitFacts& facts);

}  // namespace segue::builder
