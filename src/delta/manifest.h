// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "delta/bytes.h"
#include "delta/digest.h"

// A tree of files as a value. Its canonical encoding, and so its root, is a function of the tree
// alone: protocol/delta.md.
namespace segue::delta {

enum class EntryType : std::uint8_t { regular = 0, directory = 1, symlink = 2, hard_link = 3 };

struct ExtendedAttribute {
  std::string name;
  std::string value;
  friend bool operator==(const ExtendedAttribute&, const ExtendedAttribute&) = default;
};

// A run of bytes that a sparse file does not store.
struct Hole {
  std::uint64_t offset_bytes = 0;
  std::uint64_t size_bytes = 0;
  friend bool operator==(const Hole&, const Hole&) = default;
};

struct Entry {
  // From the tree's root, without a leading slash; empty for the root itself. Any bytes but NUL.
  std::string path;
  EntryType type = EntryType::regular;
  std::uint16_t mode = 0;        // permission bits with setuid, setgid and sticky: 07777
  std::uint64_t size_bytes = 0;  // of a regular file
  Digest content{};              // of a regular file, holes read as zeros
  std::string link_target;       // of a symlink: never followed here, and kept as it is
  std::uint32_t linked_entry =
      0;  // of a hard link: the entry that has the content; it comes before
  std::vector<ExtendedAttribute> attributes;  // by name; of a hard link: those of linked_entry
  std::vector<Hole> holes;                    // of a regular file, by offset, apart from each other
  friend bool operator==(const Entry&, const Entry&) = default;
};

// Entries are in path order with '/' below every other byte, so that a directory comes right before
// what it contains; the first is the root directory. About 200 bytes of memory per entry, and its
// path. Threads: a value.
struct Manifest {
  std::vector<Entry> entries;
  friend bool operator==(const Manifest&, const Manifest&) = default;
};

inline constexpr std::uint64_t kMaxEntries = 4'000'000;
inline constexpr std::uint64_t kMaxPathBytes = 4095;
inline constexpr std::uint64_t kMaxNameBytes = 255;
inline constexpr std::uint64_t kMaxFileBytes = std::uint64_t{1} << 46;  // 64 TiB
inline constexpr std::uint64_t kMaxAttributes = 64;                     // of one entry
inline constexpr std::uint64_t kMaxAttributeBytes = 65536;              // name and value of each
inline constexpr std::uint64_t kMaxHoles = 65536;                       // of one entry
inline constexpr std::uint64_t kMaxManifestBytes = std::uint64_t{1} << 30;

// Below zero, zero, above zero: canonical order.
int compare_paths(std::string_view left, std::string_view right);

// Puts entries into canonical order; `linked_entry` is made to follow. What names a hard link's
// content by a path that comes later swaps roles with it. Fails as check() does.
base::Result<Manifest> make_manifest(std::vector<Entry> entries);

// invalid_argument, naming the entry, unless the manifest is one that can be encoded: order, types,
// bounds; no "." or "..", nothing below what is not a directory, no duplicates.
base::Result<void> check(const Manifest& manifest);

// The manifest has to pass check(); a fault aborts.
Bytes encode(const Manifest& manifest);
// data_loss, saying what is wrong, for bytes that encode() does not write.
base::Result<Manifest> decode_manifest(ByteView bytes);

// SHA-256 of the canonical encoding; hashes while it encodes, so that nothing of the tree's size is
// held.
Digest root_of(const Manifest& manifest);

// By its path in canonical order.
std::optional<std::size_t> find_entry(const Manifest& manifest, std::string_view path);

// The regular file that opening `path` in the tree leads to, by hard links and by at most 40
// symbolic links (path_resolution(7)); null: none, or it leads out of the tree.
const Entry* file_at(const Manifest& manifest, std::string_view path);

}  // namespace segue::delta
