// SPDX-License-Identifier: Apache-2.0
#include "builder/git.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace segue::builder {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

// No hooks of the mirror, no background work that outlives the command, nobody is asked.
constexpr const char* kHead = R"sh(set -eu
export GIT_TERMINAL_PROMPT=0 GIT_OPTIONAL_LOCKS=0
: "${GIT_SSH_COMMAND:=ssh -oBatchMode=yes}"; export GIT_SSH_COMMAND
git() { command git -c gc.auto=0 -c maintenance.auto=false -c core.hooksPath=/dev/null "$@"; }
)sh";

constexpr const char* kFetch = R"sh(
mirror=$1 url=$2; shift 2
if [ ! -e "$mirror/ready" ]; then
  rm -rf "$mirror"
  git init -q --bare --template= "$mirror"
  : > "$mirror/ready"
fi
cd "$mirror"
git fetch -q --prune --no-tags --force -- "$url" '+refs/heads/*:refs/heads/*' '+refs/tags/*:refs/tags/*' >&2
for commit in "$@"; do
  if ! git cat-file -e "$commit^{commit}" 2>/dev/null; then
    git fetch -q --no-tags -- "$url" "$commit" >&2 || { echo "gone $commit"; continue; }
  fi
  git update-ref "refs/segue/$commit" "$commit"
done
git for-each-ref --format='%(refname)' refs/heads refs/tags | while IFS= read -r ref; do
  if commit=$(git rev-parse -q --verify "$ref^{commit}"); then echo "ref $ref $commit"; fi
done
)sh";

constexpr const char* kRange = R"sh(
cd "$1"
if [ -z "$2" ] || ! git cat-file -e "$2^{commit}" 2>/dev/null; then
  echo "$3"
else
  base=$(git merge-base "$2" "$3") || base=$2
  git rev-list --first-parent -n "$4" --reverse "$base..$3"
fi
)sh";

constexpr const char* kCheckout = R"sh(
mirror=$1 commit=$2 directory=$3
git -C "$mirror" update-ref "refs/segue/$commit" "$commit"
git clone -q --shared --no-checkout --template= "$mirror" "$directory" >&2
cd "$directory"
git -c advice.detachedHead=false checkout -q --detach "$commit" >&2
echo "commit $commit"
echo "commits $(git rev-list --count HEAD)"
echo "date $(TZ=UTC git show -s --date=format-local:%Y%m%d --format=%cd HEAD)"
echo "time $(TZ=UTC git show -s --date=format-local:%H%M%S --format=%cd HEAD)"
echo "tag $(git describe --tags --exact-match HEAD 2>/dev/null || :)"
echo
git show HEAD:segue.yaml || { echo "there is no segue.yaml in commit $commit" >&2; exit 1; }
)sh";

constexpr const char* kNote = R"sh(
cd "$1"
for try in 1 2 3; do
  git fetch -q --no-tags --force -- "$2" '+refs/notes/segue:refs/notes/segue' 2>/dev/null || :
  GIT_AUTHOR_NAME=segue GIT_AUTHOR_EMAIL=segue@localhost \
  GIT_COMMITTER_NAME=segue GIT_COMMITTER_EMAIL=segue@localhost \
    git notes --ref=segue add -f -m "$4" "$3" 2>&1
  if git push -q -- "$2" refs/notes/segue:refs/notes/segue; then exit 0; fi
done
exit 1
)sh";

Words script(const char* body, std::vector<std::string> arguments) {
  Words words = {"/bin/sh", "-c", std::string(kHead) + body, "segue-build"};
  words.insert(words.end(), std::make_move_iterator(arguments.begin()),
               std::make_move_iterator(arguments.end()));
  return words;
}

// Calls `take` with each line; a last one without its end is not one.
Result<void> each_line(std::string_view text, const auto& take) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    if (end == text.npos || !take(text.substr(0, end))) {
      return fail(ErrorCode::internal, "git printed what was not expected: '{}'",
                  text.substr(0, std::min<std::size_t>(end, 200)));
    }
    text.remove_prefix(end + 1);
  }
  return {};
}

}  // namespace

Words fetch_script(const std::string& mirror, const std::string& url,
                   const std::vector<std::string>& wanted) {
  std::vector<std::string> arguments = {mirror, url};
  arguments.insert(arguments.end(), wanted.begin(), wanted.end());
  return script(kFetch, std::move(arguments));
}

Result<Seen> parse_seen(std::string_view text) {
  Seen seen;
  SEGUE_TRY(each_line(text, [&](std::string_view line) {
    const std::size_t last = line.rfind(' ');
    if (last == line.npos || !is_commit(line.substr(last + 1))) return false;
    const std::string commit(line.substr(last + 1));
    if (line.starts_with("gone ") && last == 4) {
      seen.gone.push_back(commit);
      return true;
    }
    if (!line.starts_with("ref ") || last < 5) return false;
    const std::string ref(line.substr(4, last - 4));
    if (is_ref(ref)) seen.refs[ref] = commit;
    return true;
  }));
  return seen;
}

Words range_script(const std::string& mirror, const std::string& from, const std::string& to) {
  return script(kRange, {mirror, from, to, fmt::to_string(kMaxCommitsOfPush)});
}

Result<std::vector<std::string>> parse_commits(std::string_view text) {
  std::vector<std::string> commits;
  SEGUE_TRY(each_line(text, [&](std::string_view line) {
    commits.emplace_back(line);
    return is_commit(line);
  }));
  return commits;
}

Words checkout_script(const std::string& mirror, const std::string& commit,
                      const std::string& directory) {
  return script(kCheckout, {mirror, commit, directory});
}

Result<Checkout> parse_checkout(std::string_view text) {
  Checkout checkout;
  const std::size_t end = text.find("\n\n");
  if (end == text.npos) return fail(ErrorCode::internal, "git did not say what the commit is");
  checkout.build_file = text.substr(end + 2);
  SEGUE_TRY(each_line(text.substr(0, end + 1), [&](std::string_view line) {
    const std::size_t space = line.find(' ');
    if (space == line.npos) return false;
    const std::string_view key = line.substr(0, space);
    const std::string value(line.substr(space + 1));
    CommitFacts& facts = checkout.facts;
    if (key == "commit") facts.commit = value;
    if (key == "commits") facts.commits = value;
    if (key == "date") facts.date = value;
    if (key == "time") facts.time = value;
    if (key == "tag") facts.tag = value;
    return true;
  }));
  return checkout;
}

Words note_script(const std::string& mirror, const std::string& url, const std::string& commit,
                  const std::string& text) {
  return script(kNote, {mirror, url, commit, text});
}

}  // namespace segue::builder
