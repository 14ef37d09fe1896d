// SPDX-License-Identifier: Apache-2.0
#include "tree/listing.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <memory>
#include <utility>

#include "tree/attributes.h"

namespace segue::tree {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using delta::EntryType;
using os::UniqueFd;

constexpr mode_t kPermissions = 07777;

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

class Lister {
 public:
  explicit Lister(Beneath& beneath) : beneath_(beneath) {}

  Result<std::vector<Found>> run() {
    Found root;
    root.entry.type = EntryType::directory;
    found_.push_back(std::move(root));
    std::vector<std::size_t> directories{0};
    while (!directories.empty()) {
      const std::size_t at = directories.back();
      directories.pop_back();
      const std::size_t first = found_.size();
      if (auto entered = enter(at); !entered) {
        if (at == 0 || entered.error().code() == ErrorCode::resource_exhausted) {
          return fail(std::move(entered).error());
        }
        found_[at].error = std::move(entered).error();
      }
      for (std::size_t i = found_.size(); i-- > first;) {
        if (found_[i].entry.type == EntryType::directory && !found_[i].is_special) {
          directories.push_back(i);
        }
      }
    }
    return std::move(found_);
  }

 private:
  Result<void> enter(std::size_t at) {
    const std::string path = found_[at].entry.path;
    SEGUE_ASSIGN(UniqueFd fd, beneath_.open(path, O_RDONLY | O_DIRECTORY));
    SEGUE_ASSIGN(const struct stat status, beneath_.status(fd.get(), path));
    found_[at].entry.mode = static_cast<std::uint16_t>(status.st_mode & kPermissions);
    found_[at].stamp = stamp_of(status);
    SEGUE_ASSIGN(found_[at].entry.attributes, read_attributes(fd.get(), beneath_, path));
    SEGUE_ASSIGN(UniqueFd listed, os::duplicate(fd.get()));
    SEGUE_ASSIGN(const std::vector<std::string> names, names_in(std::move(listed), beneath_, path));
    for (const std::string& name : names) {
      SEGUE_TRY(add(fd.get(), name, path.empty() ? name : path + "/" + name));
    }
    return {};
  }

  Result<void> add(int directory, const std::string& name, std::string path) {
    if (found_.size() >= delta::kMaxEntries) {
      return fail(ErrorCode::resource_exhausted, "{} holds more than {} entries",
                  shown(beneath_.directory()), delta::kMaxEntries);
    }
    struct stat status{};
    if (::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      return fail(beneath_.error("stat", path, errno));
    }
    Found found;
    found.stamp = stamp_of(status);
    found.entry.path = std::move(path);
    found.entry.mode = static_cast<std::uint16_t>(status.st_mode & kPermissions);
    if (S_ISREG(status.st_mode)) {
      add_file(found, status);
    } else if (S_ISDIR(status.st_mode)) {
      found.entry.type = EntryType::directory;
    } else if (S_ISLNK(status.st_mode)) {
      found.entry.type = EntryType::symlink;
      SEGUE_ASSIGN(found.entry.link_target, read_link(directory, name, found.entry.path));
    } else {
      found.is_special = true;
      found.error.emplace(
          ErrorCode::invalid_argument,
          fmt::format("{}/{} is {}, and a tree holds only files, directories and links",
                      shown(beneath_.directory()), shown(found.entry.path),
                      type_name(status.st_mode)));
    }
    found_.push_back(std::move(found));
    return {};
  }

  void add_file(Found& found, const struct stat& status) {
    if (status.st_nlink > 1) {
      const auto [first, is_first] =
          files_.try_emplace({status.st_dev, status.st_ino}, found_.size());
      if (!is_first) {
        found.entry.type = EntryType::hard_link;
        found.entry.mode = 0;
        found.entry.linked_entry = static_cast<std::uint32_t>(first->second);
        return;
      }
    }
    found.entry.size_bytes = static_cast<std::uint64_t>(status.st_size);
  }

  Result<std::string> read_link(int directory, const std::string& name, const std::string& path) {
    std::string target(delta::kMaxPathBytes + 1, '\0');
    const ssize_t size = ::readlinkat(directory, name.c_str(), target.data(), target.size());
    if (size < 0) return fail(beneath_.error("read link", path, errno));
    target.resize(static_cast<std::size_t>(size));
    return target;
  }

  Beneath& beneath_;
  std::vector<Found> found_;
  std::map<std::pair<dev_t, ino_t>, std::size_t> files_;  // that have several names
};

}  // namespace

std::string_view type_name(mode_t mode) {
  if (S_ISFIFO(mode)) return "a fifo";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISCHR(mode)) return "a character device";
  if (S_ISBLK(mode)) return "a block device";
  return "of an unknown type";
}

Result<std::vector<std::string>> names_in(UniqueFd fd, const Beneath& beneath,
                                          std::string_view path) {
  const std::unique_ptr<DIR, CloseDirectory> directory(::fdopendir(fd.get()));
  if (directory == nullptr) return fail(beneath.error("list", path, errno));
  static_cast<void>(fd.release());
  std::vector<std::string> names;
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());
    if (entry == nullptr) break;
    const std::string_view name = static_cast<const char*>(entry->d_name);
    if (name != "." && name != "..") names.emplace_back(name);
    if (names.size() > delta::kMaxEntries) {
      return fail(ErrorCode::resource_exhausted, "{} holds more than {} names", shown(path),
                  delta::kMaxEntries);
    }
  }
  if (errno != 0) return fail(beneath.error("list", path, errno));
  std::ranges::sort(names);
  return names;
}

Result<std::vector<Found>> list(Beneath& beneath) {
  return Lister(beneath).run();
}

}  // namespace segue::tree
