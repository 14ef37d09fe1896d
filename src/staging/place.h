// SPDX-License-Identifier: Apache-2.0
// A place on a host: the tree that is live, and beside it what waits and what can be undone.
//
//   DIR/live               what users run
//   DIR/.segue/state.json  which trees there are
//   DIR/.segue/trees/      them; N.manifest and N.stamps say what tree N has to be
//   DIR/.segue/downloads/  what came over the line, and is not used up yet
//   DIR/.segue/metadata/   what is trusted of the release library
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "delta/manifest.h"
#include "os/file_lock.h"
#include "staging/place_state.h"
#include "tree/verify.h"

namespace segue::staging {

enum class Role : std::uint8_t { live, previous, staged };
std::string_view to_string(Role role);

struct PlacedTree {
  TreeRecord record;
  std::string path;
  Role role = Role::staged;
};

// Locked while it lives, and whole: what a crash left half done was finished or taken back by
// open(). One thread at a time.
class Place {
 public:
  struct Settings {
    std::string directory;
    std::string holder = "segue";  // who this is, for others who wait
    base::Duration max_wait = std::chrono::seconds(30);
  };
  // not_found: there is no such directory. deadline_exceeded: another process works on it for
  // longer than `max_wait`. failed_precondition: DIR/live is there and is no directory. data_loss:
  // the state is damaged.
  static base::Result<Place> open(const Settings& settings);

  [[nodiscard]] const std::string& directory() const { return directory_; }
  [[nodiscard]] std::string live_path() const { return directory_ + "/live"; }
  // Of the place itself; what is in it is nobody else's business.
  [[nodiscard]] std::string own_folder() const { return directory_ + "/.segue"; }
  [[nodiscard]] std::string trees_path() const { return own("trees"); }
  [[nodiscard]] std::string downloads_path() const { return own("downloads"); }
  [[nodiscard]] std::string metadata_path() const { return own("metadata"); }

  // The live tree first, then the previous one, then those that wait, the newest first.
  [[nodiscard]] const std::vector<PlacedTree>& trees() const { return trees_; }
  // Null: there is none, or nothing is known of it.
  [[nodiscard]] const PlacedTree* live() const;
  [[nodiscard]] const PlacedTree* find(std::uint64_t number) const;
  [[nodiscard]] bool has_live() const { return live_.has_value(); }
  [[nodiscard]] const std::optional<DirectoryId>& live_directory() const { return live_; }
  [[nodiscard]] const PlaceState& state() const { return state_; }
  // What was cleaned up, or could not be: for a log.
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }

  // What the tree has to be; data_loss: what was kept is not that any more. A tree that was never
  // read has no manifest: failed_precondition.
  [[nodiscard]] base::Result<delta::Manifest> manifest_of(const TreeRecord& tree) const;
  // Empty: not known, all has to be read.
  [[nodiscard]] std::vector<tree::FileStamp> stamps_of(const TreeRecord& tree) const;
  base::Result<void> keep_stamps(const TreeRecord& tree,
                                 const std::vector<tree::FileStamp>& stamps) const;

  // ---- Changes; each is whole on disk, whenever the process ends.

  // A number that no tree had, and the directory for it to be made in: DIR/.segue/trees/new-N. What
  // is there without a record is removed by the next open(), and so is new-N.anything.
  base::Result<std::uint64_t> next_number();
  [[nodiscard]] std::string new_path(std::uint64_t number) const;
  // Takes the tree in new_path(), which is durable. `manifest` has the record's root.
  base::Result<void> add(TreeRecord record, const delta::Manifest& manifest,
                         const std::vector<tree::FileStamp>& stamps);
  // The same for the live tree, which is not known yet, or is not what it was. Without a manifest
  // it is only told from others.
  base::Result<void> know_live(TreeRecord record, const delta::Manifest* manifest,
                               const std::vector<tree::FileStamp>& stamps);
  // Not the live one.
  base::Result<void> remove(std::uint64_t number);
  // Makes the tree live by one rename; the live one takes its path. An error before the rename
  // changed nothing, one after it is unknown_outcome and open() finds out.
  base::Result<void> exchange(std::uint64_t number);
  base::Result<void> clear_downloads();

 private:
  Place(std::string directory, os::FileLock lock)
      : directory_(std::move(directory)), lock_(std::move(lock)) {}

  [[nodiscard]] std::string own(const std::string& name) const { return own_folder() + "/" + name; }
  [[nodiscard]] std::string sidecar(std::uint64_t number, const char* kind) const;
  base::Result<void> recover();
  base::Result<void> look_at_trees();
  base::Result<void> look_at_live();
  base::Result<void> load();
  base::Result<void> save();
  base::Result<void> write_sidecars(const TreeRecord& record, const delta::Manifest& manifest,
                                    const std::vector<tree::FileStamp>& stamps) const;
  base::Result<void> end_exchange();
  void remove_leftovers();
  void sort_trees();

  std::string directory_;
  os::FileLock lock_;
  PlaceState state_;
  std::optional<DirectoryId> live_;
  std::vector<PlacedTree> trees_;
  std::vector<std::string> notes_;
};

}  // namespace segue::staging
