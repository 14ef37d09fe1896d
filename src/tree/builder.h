// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "delta/delta.h"
#include "tree/beneath.h"
#include "tree/disk_tree.h"

namespace segue::tree {

// What becomes of a file that the base has already.
enum class Sharing {
  copy,      // bytes of its own
  clone,     // a reflink where the filesystem has them (FICLONE), else a copy
  hard_link  // a reflink, else a hard link, where it can be one, else a copy
};

struct BuildOptions {
  DiskTree* base = nullptr;  // what reuse() names; outlives the builder
  Sharing sharing = Sharing::clone;
  // Files that a program writes to in place: they never become a hard link. Nothing: none.
  std::function<bool(std::string_view path)> is_written_to;
  // reuse() and repeat() do nothing, and complete_tree() has to follow: for whoever may not touch
  // what is shared.
  bool only_new_bytes = false;
  // Of all that is made here, so that it is the same on every host; hard links keep theirs.
  std::optional<std::int64_t> modified_s;  // since the epoch
};

struct BuildReport {
  std::uint64_t files_linked = 0;
  std::uint64_t files_cloned = 0;
  std::uint64_t files_copied = 0;
  std::uint64_t files_written = 0;
  std::uint64_t bytes_copied = 0;
  std::uint64_t bytes_written = 0;
};

// Writes a tree into a new directory. Files are made 0600 and directories 0700; names of hard
// links, modes, attributes and times come in finish(), which makes all of it last. After an error,
// and without finish(), what is there has to be removed with remove_tree().
//
// A file of the base becomes a hard link only if mode, attributes and holes stay the same, no
// program writes to it, and no other file of the new tree is linked to it yet: two files that were
// apart stay apart.
class TreeBuilder final : public delta::TreeWriter {
 public:
  // already_exists: there is something at `directory`.
  static base::Result<std::unique_ptr<TreeBuilder>> create(const std::string& directory,
                                                           const BuildOptions& options);
  ~TreeBuilder() override;

  // The manifest has to stay until the last file is there. invalid_argument: it does not pass
  // delta::check().
  base::Result<void> begin(const delta::Manifest& target) override;
  base::Result<void> reuse(std::size_t target_entry, std::size_t base_entry) override;
  base::Result<void> repeat(std::size_t target_entry, std::size_t earlier_entry) override;
  base::Result<void> begin_file(std::size_t target_entry) override;
  base::Result<void> write(delta::ByteView bytes) override;
  base::Result<void> end_file(std::size_t target_entry, const delta::Digest& content) override;

  // `target` has the paths and modes that begin() was given. When it returns, the tree survives a
  // power failure; the name of its directory does once the parent is fsynced.
  base::Result<void> finish(const delta::Manifest& target);

  [[nodiscard]] const BuildReport& report() const { return report_; }

 private:
  friend base::Result<BuildReport> complete_tree(const std::string& directory,
                                                 const delta::Manifest& target,
                                                 const BuildOptions& options);

  enum class State : std::uint8_t { missing, made, linked };

  TreeBuilder(Beneath tree, BuildOptions options);
  [[nodiscard]] base::Result<void> make_directories_and_links();
  [[nodiscard]] base::Result<os::UniqueFd> create_file(const std::string& path);
  // Whether it could be done; then the file is there.
  base::Result<bool> try_clone(std::size_t target_entry, int source);
  base::Result<bool> try_link(std::size_t target_entry, std::size_t base_entry);
  base::Result<void> copy(std::size_t target_entry, int source);
  base::Result<void> copy_range(int source, int file, std::uint64_t begin, std::uint64_t end,
                                const std::string& path);
  base::Result<void> flush();
  base::Result<void> write_at(const std::uint8_t* bytes, std::size_t size, std::uint64_t offset);
  base::Result<void> take_what_is_there();
  base::Result<void> fill_in();
  [[nodiscard]] std::optional<std::size_t> same_entry(const delta::Entry& wanted) const;
  base::Result<void> make_hard_links(const delta::Manifest& target);
  base::Result<void> settle(const delta::Entry& entry, std::size_t index, bool sync_it);
  base::Result<void> settle_symlink(const delta::Entry& entry);

  Beneath tree_;
  BuildOptions options_;
  const delta::Manifest* target_ = nullptr;
  std::vector<State> states_;      // of the target's entries
  std::vector<bool> base_linked_;  // the base's entries that are linked to
  bool can_clone_ = true;
  bool can_link_ = true;
  BuildReport report_;

  os::UniqueFd file_;  // between begin_file() and end_file()
  std::size_t open_entry_ = 0;
  std::uint64_t written_bytes_ = 0;
  delta::Bytes buffer_;
};

// Goes on with a tree whose new bytes another process wrote (`only_new_bytes`) and ended well:
// takes the other contents from the base or from the tree itself, by their digests, and finishes
// it. The files that were written are taken for what they should be: verify_tree() tells.
// failed_precondition: a content is nowhere, or what was written is not of such a tree.
base::Result<BuildReport> complete_tree(const std::string& directory, const delta::Manifest& target,
                                        const BuildOptions& options);

}  // namespace segue::tree
