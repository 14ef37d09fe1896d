// SPDX-License-Identifier: Apache-2.0
// Where the files' contents stand in a tar archive (POSIX.1-2017 pax and ustar, GNU), so that they
// can be kept apart from the rest and put back at the same place. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "delta/bytes.h"

namespace segue::library {

// A run of the archive's bytes.
struct TarPiece {
  std::uint64_t offset_bytes = 0;
  std::uint64_t size_bytes = 0;
  bool is_content = false;  // of one regular file; else headers and padding
  std::string path;         // of the file, as the archive has it: anything
};

// Bytes of the archive; all of them, or an error.
using ReadAt =
    std::function<base::Result<delta::Bytes>(std::uint64_t offset_bytes, std::size_t count)>;

// All pieces, in order, without gaps. Bytes that are no tar archive, from where they are not, are
// the content of a file without a path. Errors are those of `read`.
base::Result<std::vector<TarPiece>> tar_layout(const ReadAt& read, std::uint64_t size_bytes);

// Whether the first block is the header of an archive.
bool is_tar_header(delta::ByteView block);
inline constexpr std::size_t kTarBlockBytes = 512;

// A header for a regular file of a new archive (ustar; sizes from 8 GiB on as GNU writes them).
// `path` has at most 100 bytes.
delta::Bytes tar_header(const std::string& path, std::uint64_t size_bytes);

}  // namespace segue::library
