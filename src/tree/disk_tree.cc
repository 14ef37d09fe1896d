// SPDX-License-Identifier: Apache-2.0
#include "tree/disk_tree.h"

#include <sys/mman.h>

#include <cerrno>

#include "base/assert.h"

namespace segue::tree {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

class MappedFile final : public delta::FileBytes {
 public:
  MappedFile(void* address, std::size_t size_bytes) : address_(address), size_bytes_(size_bytes) {}
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile() override {
    if (address_ != nullptr) ::munmap(address_, size_bytes_);
  }

  [[nodiscard]] delta::ByteView bytes() const override {
    return {static_cast<const std::uint8_t*>(address_), size_bytes_};
  }

 private:
  void* address_;
  std::size_t size_bytes_;
};

}  // namespace

Result<DiskTree> DiskTree::open(const std::string& directory, const delta::Manifest& manifest) {
  SEGUE_ASSIGN(Beneath files, Beneath::open(directory));
  return DiskTree(std::move(files), manifest);
}

Result<os::UniqueFd> DiskTree::open_file(std::size_t entry) const {
  const delta::Entry& wanted = manifest_->entries.at(entry);
  SEGUE_ASSERT(wanted.type == delta::EntryType::regular);
  SEGUE_ASSIGN(os::UniqueFd fd, files_.open(wanted.path, O_RDONLY | O_NONBLOCK));
  SEGUE_ASSIGN(const struct stat status, files_.status(fd.get(), wanted.path));
  if (!S_ISREG(status.st_mode) || static_cast<std::uint64_t>(status.st_size) != wanted.size_bytes) {
    return fail(ErrorCode::data_loss, "{}/{} is not the file of {} bytes that it should be",
                shown(files_.directory()), shown(wanted.path), wanted.size_bytes);
  }
  return fd;
}

Result<std::unique_ptr<delta::FileBytes>> DiskTree::open(std::size_t entry) {
  SEGUE_ASSIGN(const os::UniqueFd fd, open_file(entry));
  const delta::Entry& wanted = manifest_->entries[entry];
  if (wanted.size_bytes == 0) return std::make_unique<MappedFile>(nullptr, 0);
  const auto size = static_cast<std::size_t>(wanted.size_bytes);
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (address == MAP_FAILED) return fail(files_.error("map", wanted.path, errno));
  return std::make_unique<MappedFile>(address, size);
}

}  // namespace segue::tree
