// SPDX-License-Identifier: Apache-2.0
#include "library/disk_source.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

namespace segue::library {

using base::fail;
using base::Result;
using delta::Bytes;
using delta::ByteView;

Result<DiskSource> DiskSource::open(const std::string& directory, const delta::Manifest& manifest) {
  SEGUE_ASSIGN(tree::DiskTree files, tree::DiskTree::open(directory, manifest));
  return DiskSource(std::move(files));
}

Result<void> DiskSource::read(std::size_t entry, const Piece& piece) {
  constexpr std::size_t kPieceBytes = std::size_t{1} << 20;
  const delta::Entry& file = files_.manifest().entries[entry];
  SEGUE_ASSIGN(const os::UniqueFd fd, files_.open_file(entry));
  Bytes buffer(std::min<std::uint64_t>(file.size_bytes, kPieceBytes));
  while (true) {
    const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(base::errno_error(fmt::format("read '{}'", file.path), errno));
    if (got == 0) return {};
    SEGUE_TRY(piece(ByteView(buffer).first(static_cast<std::size_t>(got))));
  }
}

}  // namespace segue::library
