// SPDX-License-Identifier: Apache-2.0
#include "tree/builder.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <utility>

#include "base/assert.h"
#include "tree/attributes.h"

namespace segue::tree {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using delta::Entry;
using delta::EntryType;
using os::UniqueFd;

constexpr std::size_t kBufferBytes = std::size_t{256} << 10;
// From so many on one flush of the whole filesystem is quicker than one of each.
constexpr std::size_t kMaxSingleSyncs = 512;

// What FICLONE says where there are no reflinks, or not between these two.
bool means_no_clone(int error_number) {
  return error_number == EOPNOTSUPP || error_number == EXDEV || error_number == EINVAL ||
         error_number == ENOTTY || error_number == ENOSYS;
}

bool is_zero(const std::uint8_t* bytes, std::size_t size) {
  return std::all_of(bytes, bytes + size, [](std::uint8_t byte) { return byte == 0; });
}

// The part of [begin, end) up to where a hole begins or ends, and whether it is one.
struct Piece {
  std::uint64_t end = 0;
  bool is_hole = false;
};
Piece first_piece(const std::vector<delta::Hole>& holes, std::uint64_t begin, std::uint64_t end) {
  const auto next = std::partition_point(holes.begin(), holes.end(), [&](const delta::Hole& hole) {
    return hole.offset_bytes + hole.size_bytes <= begin;
  });
  if (next == holes.end() || next->offset_bytes >= end) return {.end = end, .is_hole = false};
  if (next->offset_bytes > begin) return {.end = next->offset_bytes, .is_hole = false};
  return {.end = std::min(end, next->offset_bytes + next->size_bytes), .is_hole = true};
}

// The first regular file with each content.
std::map<delta::Digest, std::size_t> by_content(const delta::Manifest& manifest) {
  std::map<delta::Digest, std::size_t> entries;
  for (std::size_t i = 0; i < manifest.entries.size(); ++i) {
    if (manifest.entries[i].type != EntryType::regular) continue;
    entries.try_emplace(manifest.entries[i].content, i);
  }
  return entries;
}

std::array<timespec, 2> times_of(std::int64_t modified_s) {
  timespec time{};
  time.tv_sec = static_cast<time_t>(modified_s);
  return {time, time};
}

}  // namespace

TreeBuilder::TreeBuilder(Beneath tree, BuildOptions options)
    : tree_(std::move(tree)), options_(std::move(options)) {
  if (options_.base != nullptr) base_linked_.resize(options_.base->manifest().entries.size());
  buffer_.reserve(kBufferBytes);
}

TreeBuilder::~TreeBuilder() = default;

Result<std::unique_ptr<TreeBuilder>> TreeBuilder::create(const std::string& directory,
                                                         const BuildOptions& options) {
  if (::mkdir(directory.c_str(), 0700) != 0) {
    return fail(base::errno_error("make directory " + shown(directory), errno));
  }
  SEGUE_ASSIGN(Beneath tree, Beneath::open(directory));
  // Access lists come from the manifest, not from where the tree happens to be put.
  ::fremovexattr(tree.root(), "system.posix_acl_default");
  ::fremovexattr(tree.root(), "system.posix_acl_access");
  return std::unique_ptr<TreeBuilder>(new TreeBuilder(std::move(tree), options));
}

Result<void> TreeBuilder::begin(const delta::Manifest& target) {
  SEGUE_TRY(delta::check(target));
  target_ = &target;
  states_.assign(target.entries.size(), State::missing);
  return make_directories_and_links();
}

Result<void> TreeBuilder::make_directories_and_links() {
  for (std::size_t i = 1; i < target_->entries.size(); ++i) {
    const Entry& entry = target_->entries[i];
    if (entry.type == EntryType::directory) {
      SEGUE_ASSIGN(const Beneath::Slot slot, tree_.slot(entry.path));
      if (::mkdirat(slot.directory, slot.name, 0700) != 0) {
        return fail(tree_.error("make directory", entry.path, errno));
      }
    } else if (entry.type == EntryType::symlink) {
      SEGUE_ASSIGN(const Beneath::Slot slot, tree_.slot(entry.path));
      if (::symlinkat(entry.link_target.c_str(), slot.directory, slot.name) != 0) {
        return fail(tree_.error("make symlink", entry.path, errno));
      }
    }
  }
  return {};
}

Result<UniqueFd> TreeBuilder::create_file(const std::string& path) {
  return tree_.open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
}

Result<void> TreeBuilder::reuse(std::size_t target_entry, std::size_t base_entry) {
  if (options_.only_new_bytes) return {};
  SEGUE_ASSERT(options_.base != nullptr);
  SEGUE_ASSIGN(const UniqueFd source, options_.base->open_file(base_entry));
  if (options_.sharing != Sharing::copy && can_clone_) {
    SEGUE_ASSIGN(const bool cloned, try_clone(target_entry, source.get()));
    if (cloned) return {};
  }
  if (options_.sharing == Sharing::hard_link && can_link_) {
    SEGUE_ASSIGN(const bool linked, try_link(target_entry, base_entry));
    if (linked) return {};
  }
  return copy(target_entry, source.get());
}

Result<void> TreeBuilder::repeat(std::size_t target_entry, std::size_t earlier_entry) {
  if (options_.only_new_bytes) return {};
  SEGUE_ASSIGN(const UniqueFd source,
               tree_.open(target_->entries.at(earlier_entry).path, O_RDONLY));
  if (options_.sharing != Sharing::copy && can_clone_) {
    SEGUE_ASSIGN(const bool cloned, try_clone(target_entry, source.get()));
    if (cloned) return {};
  }
  return copy(target_entry, source.get());
}

Result<bool> TreeBuilder::try_clone(std::size_t target_entry, int source) {
  const std::string& path = target_->entries[target_entry].path;
  SEGUE_ASSIGN(const UniqueFd file, create_file(path));
  if (::ioctl(file.get(), FICLONE, source) == 0) {
    states_[target_entry] = State::made;
    ++report_.files_cloned;
    return true;
  }
  if (!means_no_clone(errno)) return fail(tree_.error("clone", path, errno));
  can_clone_ = false;
  SEGUE_ASSIGN(const Beneath::Slot slot, tree_.slot(path));
  if (::unlinkat(slot.directory, slot.name, 0) != 0) {
    return fail(tree_.error("remove", path, errno));
  }
  return false;
}

Result<bool> TreeBuilder::try_link(std::size_t target_entry, std::size_t base_entry) {
  const Entry& target = target_->entries[target_entry];
  const Entry& base = options_.base->manifest().entries[base_entry];
  const bool same = target.mode == base.mode && target.attributes == base.attributes &&
                    target.holes == base.holes;
  if (!same || base_linked_[base_entry]) return false;
  if (options_.is_written_to && options_.is_written_to(target.path)) return false;
  SEGUE_ASSIGN(const Beneath::Slot from, options_.base->files().slot(base.path));
  SEGUE_ASSIGN(const Beneath::Slot to, tree_.slot(target.path));
  if (::linkat(from.directory, from.name, to.directory, to.name, 0) == 0) {
    base_linked_[base_entry] = true;
    states_[target_entry] = State::linked;
    ++report_.files_linked;
    return true;
  }
  switch (errno) {
    case EXDEV:  // another filesystem
      can_link_ = false;
      return false;
    case EPERM:   // somebody else's file (fs.protected_hardlinks), or an immutable one
    case EMLINK:  // as many names as the filesystem allows
      return false;
    default:
      return fail(tree_.error("link", target.path, errno));
  }
}

Result<void> TreeBuilder::copy(std::size_t target_entry, int source) {
  const Entry& entry = target_->entries[target_entry];
  SEGUE_ASSIGN(const UniqueFd file, create_file(entry.path));
  for (std::uint64_t at = 0; at < entry.size_bytes;) {
    const Piece piece = first_piece(entry.holes, at, entry.size_bytes);
    if (!piece.is_hole) SEGUE_TRY(copy_range(source, file.get(), at, piece.end, entry.path));
    at = piece.end;
  }
  if (::ftruncate(file.get(), static_cast<off_t>(entry.size_bytes)) != 0) {
    return fail(tree_.error("set the size of", entry.path, errno));
  }
  states_[target_entry] = State::made;
  ++report_.files_copied;
  report_.bytes_copied += entry.size_bytes;
  return {};
}

Result<void> TreeBuilder::copy_range(int source, int file, std::uint64_t begin, std::uint64_t end,
                                     const std::string& path) {
  auto from = static_cast<off_t>(begin);
  off_t to = from;
  while (std::cmp_less(to, end)) {
    const auto left = static_cast<std::size_t>(end - static_cast<std::uint64_t>(to));
    ssize_t copied = ::copy_file_range(source, &from, file, &to, left, 0);
    if (copied < 0 && means_no_clone(errno)) {
      buffer_.resize(std::min(left, kBufferBytes));
      copied = ::pread(source, buffer_.data(), buffer_.size(), from);
      if (copied > 0) copied = ::pwrite(file, buffer_.data(), static_cast<std::size_t>(copied), to);
      buffer_.clear();
      if (copied > 0) {
        from += copied;
        to += copied;
      }
    }
    if (copied < 0 && errno == EINTR) continue;
    if (copied < 0) return fail(tree_.error("copy to", path, errno));
    if (copied == 0) {
      return fail(ErrorCode::data_loss, "what is copied to {} became shorter", shown(path));
    }
  }
  return {};
}

Result<void> TreeBuilder::begin_file(std::size_t target_entry) {
  SEGUE_ASSERT(!file_);
  SEGUE_ASSIGN(file_, create_file(target_->entries.at(target_entry).path));
  open_entry_ = target_entry;
  written_bytes_ = 0;
  buffer_.clear();
  return {};
}

Result<void> TreeBuilder::write(delta::ByteView bytes) {
  const Entry& entry = target_->entries[open_entry_];
  if (bytes.size() > entry.size_bytes - written_bytes_ - buffer_.size()) {
    return fail(ErrorCode::data_loss, "more comes for {} than its {} bytes", shown(entry.path),
                entry.size_bytes);
  }
  while (!bytes.empty()) {
    const std::size_t taken = std::min(bytes.size(), kBufferBytes - buffer_.size());
    buffer_.insert(buffer_.end(), bytes.begin(),
                   bytes.begin() + static_cast<std::ptrdiff_t>(taken));
    bytes = bytes.subspan(taken);
    if (buffer_.size() == kBufferBytes) SEGUE_TRY(flush());
  }
  return {};
}

Result<void> TreeBuilder::flush() {
  const std::vector<delta::Hole>& holes = target_->entries[open_entry_].holes;
  const std::uint64_t end = written_bytes_ + buffer_.size();
  for (std::uint64_t at = written_bytes_; at < end;) {
    const Piece piece = first_piece(holes, at, end);
    const std::uint8_t* bytes = buffer_.data() + (at - written_bytes_);
    const auto size = static_cast<std::size_t>(piece.end - at);
    if (!piece.is_hole || !is_zero(bytes, size)) SEGUE_TRY(write_at(bytes, size, at));
    at = piece.end;
  }
  written_bytes_ = end;
  buffer_.clear();
  return {};
}

Result<void> TreeBuilder::write_at(const std::uint8_t* bytes, std::size_t size,
                                   std::uint64_t offset) {
  while (size > 0) {
    const ssize_t written = ::pwrite(file_.get(), bytes, size, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail(tree_.error("write", target_->entries[open_entry_].path, errno));
    bytes += written;
    size -= static_cast<std::size_t>(written);
    offset += static_cast<std::uint64_t>(written);
  }
  return {};
}

Result<void> TreeBuilder::end_file(std::size_t target_entry, const delta::Digest& /*content*/) {
  SEGUE_ASSERT(file_ && target_entry == open_entry_);
  SEGUE_TRY(flush());
  const Entry& entry = target_->entries[target_entry];
  if (written_bytes_ != entry.size_bytes) {
    return fail(ErrorCode::data_loss, "{} came with {} bytes instead of {}", shown(entry.path),
                written_bytes_, entry.size_bytes);
  }
  // A hole at the end was not written.
  if (::ftruncate(file_.get(), static_cast<off_t>(entry.size_bytes)) != 0) {
    return fail(tree_.error("set the size of", entry.path, errno));
  }
  file_.reset();
  states_[target_entry] = State::made;
  ++report_.files_written;
  report_.bytes_written += entry.size_bytes;
  return {};
}

Result<void> TreeBuilder::finish(const delta::Manifest& target) {
  SEGUE_ASSERT(target_ != nullptr && target.entries.size() == states_.size());
  for (std::size_t i = 0; i < states_.size(); ++i) {
    const Entry& entry = target.entries[i];
    if (entry.type != EntryType::regular || states_[i] != State::missing) continue;
    return fail(ErrorCode::failed_precondition, "the content of {} was never given",
                shown(entry.path));
  }
  SEGUE_TRY(make_hard_links(target));
  const bool sync_each = states_.size() <= kMaxSingleSyncs;
  // Backwards, so that a directory is settled once nothing is put into it any more.
  for (std::size_t i = states_.size(); i-- > 0;) SEGUE_TRY(settle(target.entries[i], i, sync_each));
  if (!sync_each && ::syncfs(tree_.root()) != 0) {
    return fail(tree_.error("flush the filesystem of", "", errno));
  }
  return {};
}

Result<void> TreeBuilder::make_hard_links(const delta::Manifest& target) {
  SEGUE_ASSIGN(Beneath sources, Beneath::open(tree_.directory()));
  for (const Entry& entry : target.entries) {
    if (entry.type != EntryType::hard_link) continue;
    SEGUE_ASSIGN(const Beneath::Slot from, sources.slot(target.entries[entry.linked_entry].path));
    SEGUE_ASSIGN(const Beneath::Slot to, tree_.slot(entry.path));
    if (::linkat(from.directory, from.name, to.directory, to.name, 0) != 0) {
      return fail(tree_.error("link", entry.path, errno));
    }
  }
  return {};
}

Result<void> TreeBuilder::settle(const Entry& entry, std::size_t index, bool sync_it) {
  if (entry.type == EntryType::hard_link) return {};
  if (entry.type == EntryType::symlink) return settle_symlink(entry);
  SEGUE_ASSIGN(const UniqueFd fd, tree_.open(entry.path, O_RDONLY | O_NONBLOCK));
  if (states_[index] != State::linked) {
    SEGUE_TRY(write_attributes(fd.get(), entry.attributes, tree_, entry.path));
    if (::fchmod(fd.get(), entry.mode) != 0) return fail(tree_.error("chmod", entry.path, errno));
    if (options_.modified_s && ::futimens(fd.get(), times_of(*options_.modified_s).data()) != 0) {
      return fail(tree_.error("set the time of", entry.path, errno));
    }
  }
  if (sync_it && ::fsync(fd.get()) != 0) return fail(tree_.error("fsync", entry.path, errno));
  return {};
}

Result<void> TreeBuilder::settle_symlink(const Entry& entry) {
  if (!options_.modified_s) return {};
  SEGUE_ASSIGN(const Beneath::Slot slot, tree_.slot(entry.path));
  if (::utimensat(slot.directory, slot.name, times_of(*options_.modified_s).data(),
                  AT_SYMLINK_NOFOLLOW) == 0) {
    return {};
  }
  return fail(tree_.error("set the time of", entry.path, errno));
}

Result<void> TreeBuilder::take_what_is_there() {
  for (std::size_t i = 0; i < states_.size(); ++i) {
    const Entry& entry = target_->entries[i];
    if (entry.type != EntryType::regular) continue;
    SEGUE_ASSIGN(const Beneath::Slot slot, tree_.slot(entry.path));
    struct stat status{};
    if (::fstatat(slot.directory, slot.name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) continue;
      return fail(tree_.error("stat", entry.path, errno));
    }
    if (!S_ISREG(status.st_mode) || status.st_nlink != 1 ||
        static_cast<std::uint64_t>(status.st_size) != entry.size_bytes) {
      return fail(ErrorCode::failed_precondition, "{} is not the file that was to be written",
                  shown(entry.path));
    }
    states_[i] = State::made;
    ++report_.files_written;
    report_.bytes_written += entry.size_bytes;
  }
  return {};
}

Result<void> TreeBuilder::fill_in() {
  std::map<delta::Digest, std::size_t> in_base;
  if (options_.base != nullptr) in_base = by_content(options_.base->manifest());
  std::map<delta::Digest, std::size_t> here;
  for (std::size_t i = 0; i < states_.size(); ++i) {
    const Entry& entry = target_->entries[i];
    if (entry.type == EntryType::regular && states_[i] == State::made) {
      here.try_emplace(entry.content, i);
    }
  }
  for (std::size_t i = 0; i < states_.size(); ++i) {
    const Entry& entry = target_->entries[i];
    if (entry.type != EntryType::regular || states_[i] != State::missing) continue;
    if (const auto same = same_entry(entry)) {
      SEGUE_TRY(reuse(i, *same));
    } else if (const auto from = in_base.find(entry.content); from != in_base.end()) {
      SEGUE_TRY(reuse(i, from->second));
    } else if (const auto earlier = here.find(entry.content); earlier != here.end()) {
      SEGUE_TRY(repeat(i, earlier->second));
    } else {
      return fail(ErrorCode::failed_precondition, "nothing has the content of {}",
                  shown(entry.path));
    }
  }
  return {};
}

// A file that stays where it is is the one to share.
std::optional<std::size_t> TreeBuilder::same_entry(const Entry& wanted) const {
  if (options_.base == nullptr) return std::nullopt;
  const delta::Manifest& base = options_.base->manifest();
  const auto found = delta::find_entry(base, wanted.path);
  if (!found) return std::nullopt;
  const Entry& entry = base.entries[*found];
  const bool same = entry.type == EntryType::regular && entry.content == wanted.content &&
                    entry.size_bytes == wanted.size_bytes;
  return same ? found : std::nullopt;
}

Result<BuildReport> complete_tree(const std::string& directory, const delta::Manifest& target,
                                  const BuildOptions& options) {
  SEGUE_TRY(delta::check(target));
  SEGUE_ASSIGN(Beneath tree, Beneath::open(directory));
  TreeBuilder builder(std::move(tree), options);
  builder.target_ = &target;
  builder.states_.assign(target.entries.size(), TreeBuilder::State::missing);
  SEGUE_TRY(builder.take_what_is_there());
  SEGUE_TRY(builder.fill_in());
  SEGUE_TRY(builder.finish(target));
  return builder.report();
}

}  // namespace segue::tree
