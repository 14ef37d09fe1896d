// SPDX-License-Identifier: Apache-2.0
// The command lines that make an instance what its component's revision says. They are commands of
// `segue` itself, and there are no others; nothing is given to a shell. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "fleet/component.h"
#include "fleet/instance.h"
#include "reconcile/desired.h"

namespace segue::agent {

// Where an instance's things are, and what it is called.
struct InstanceHome {
  std::string segue;        // this program's file
  std::string name;         // of its keeper: COMPONENT, or COMPONENT.canary
  std::string place;        // a directory of its own, with DIR/live and DIR/revisions
  std::string runtime;      // where the folders of keepers are
  std::string engine = {};  // for containers, as unix:///PATH; empty: the usual one
};
InstanceHome home_of(const std::string& segue, const std::string& directory,
                     const std::string& runtime, const reconcile::InstanceKey& key);

// DIR/revisions/N leads to the live tree: which revision runs can be told from its program's path.
// Of a container it is a directory, with a link to what starts it, and its image.
std::string revision_link(const InstanceHome& home, fleet::Revision revision);
// DIR/confined/N, where the link to what starts a process is, and which program it starts.
std::string confined_folder(const InstanceHome& home, fleet::Revision revision);
// Of a program's path; nothing where it is not one of the home's.
std::optional<fleet::Revision> revision_of(const InstanceHome& home, const std::string& program);

using Words = std::vector<std::string>;
Words stage_words(const InstanceHome& home, const fleet::ComponentSpec& spec);
// Makes sure that the revision's tree is live.
// Of a process its answer says what read_program() reads.
Words go_live_words(const InstanceHome& home, const fleet::ComponentSpec& spec);
// Likewise of one that served before, whatever is in it by now. By its name: what was live before
// this one may be a tree that was tried in vain since.
Words hand_back_words(const InstanceHome& home, const fleet::ComponentSpec& spec);
// Makes sure that the tree of `version` is not live, but what was before it.
Words go_back_words(const InstanceHome& home, const std::string& version);
// Makes sure that the engine has the image; without an `image`, "sha256:…", whichever the
// specification names now.
Words image_words(const InstanceHome& home, const fleet::ComponentSpec& spec,
                  const std::string& image);
// `digest`, "sha256:…": of a container's image; of a process's program, which is started only while
// it has it. Empty: it is not known.
Words run_words(const InstanceHome& home, const fleet::ComponentSpec& spec,
                fleet::Revision revision, const std::string& digest);
Words upgrade_words(const InstanceHome& home, const fleet::ComponentSpec& spec,
                    fleet::Revision revision, const std::string& digest);
Words stop_words(const InstanceHome& home);
Words history_words(const InstanceHome& home);

// ---- What they answer: the last line that they print, with --json

struct Answer {
  fleet::OrderResult result = fleet::OrderResult::unknown;
  std::string text;
  std::optional<fleet::HandoffFigures> handoff;
};
// `exit_code` as of DESIGN's commands: 0, 1, 2, 3, 4, 5.
Answer read_answer(int exit_code, const std::string& last_line, const std::string& otherwise);

// Of image_words(): "sha256:…". data_loss: it says none.
base::Result<std::string> read_image(const std::string& last_line);
// Of go_live_words(): "sha256:…"; empty: the program is no file of the release.
std::string read_program(const std::string& last_line);

struct Status {
  bool runs = false;                        // its keeper does
  bool serves = false;                      // some program does, whoever started it
  std::optional<fleet::Revision> revision;  // that serves; nothing: none, or nobody's
  fleet::Activity activity = fleet::Activity::idle;
  std::uint64_t connections = 0;
  std::uint64_t crashes = 0;
  std::uint64_t generation = 0;  // of what serves, with its keeper
};
// Of `segue status`, or of a keeper itself (keeper_query.h).
base::Result<Status> read_status(const InstanceHome& home, int exit_code,
                                 const std::string& last_line);

// Of what segue-container says of its container (CONTAINERS/GENERATION.json); empty: nothing.
std::string read_container(const std::string& description);

// What the keeper's history knows of a change to `to` that was begun at `since` or later: none
// where it knows nothing of it.
base::Result<Answer> read_history(const InstanceHome& home, int exit_code,
                                  const std::string& last_line, fleet::Revision to);

}  // namespace segue::agent
