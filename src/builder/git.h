// SPDX-License-Identifier: Apache-2.0
// Shell scripts around git(1) that the builder runs, with their arguments apart, and what they
// print. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "builder/notice.h"
#include "builder/version_rule.h"

namespace segue::builder {

inline constexpr std::size_t kMaxGitAnswerBytes = std::size_t{4} << 20;
inline constexpr std::string_view kNotesRef = "refs/notes/segue";
// More commits of one push at once are taken from the newest on; the others have no record.
inline constexpr std::size_t kMaxCommitsOfPush = 1'000;

// For SpawnOptions::argv.
using Words = std::vector<std::string>;

// Brings `mirror`, a bare repository of its own that is made if it is missing, up to date with
// `url`, and has the commits of `wanted` there that a ref no longer names. Then prints, a line
// each:
//   ref REF COMMIT       what the ref names, as a commit
//   gone COMMIT          one of `wanted` that is no longer to be had
Words fetch_script(const std::string& mirror, const std::string& url,
                   const std::vector<std::string>& wanted);
struct Seen {
  std::map<std::string, std::string> refs;
  std::vector<std::string> gone;
};
base::Result<Seen> parse_seen(std::string_view text);

// Prints the commits of the first parents' line from `from` (not itself; empty: only `to`) to `to`,
// oldest first.
Words range_script(const std::string& mirror, const std::string& from, const std::string& to);
base::Result<std::vector<std::string>> parse_commits(std::string_view text);

// A clean working copy of the commit in `directory`, which must not exist. Prints the commit's
// facts, then its segue.yaml.
Words checkout_script(const std::string& mirror, const std::string& commit,
                      const std::string& directory);
struct Checkout {
  CommitFacts facts;
  std::string build_file;
};
base::Result<Checkout> parse_checkout(std::string_view text);

// Writes `text` as the commit's note and pushes the notes to `url`.
Words note_script(const std::string& mirror, const std::string& url, const std::string& commit,
                  const std::string& text);

}  // namespace segue::builder
