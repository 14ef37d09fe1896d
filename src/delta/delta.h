// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/error.h"
#include "delta/bytes.h"
#include "delta/digest.h"
#include "delta/manifest.h"

// From the tree that a host has to the tree it needs: docs/deltas.md, protocol/delta.md.
//
// Nothing here opens a file, reads a clock, or starts a thread; what comes out is a function of
// what goes in. Threads: one call at a time per tree.
namespace segue::delta {

// A file's bytes, in one piece: map it. They have to stay the same for the object's life.
class FileBytes {
 public:
  virtual ~FileBytes() = default;
  [[nodiscard]] virtual ByteView bytes() const = 0;
};

// Regular files of a tree, by their entry in its manifest.
class TreeReader {
 public:
  virtual ~TreeReader() = default;
  virtual base::Result<std::unique_ptr<FileBytes>> open(std::size_t entry) = 0;
};

// Takes a tree that comes out of a delta. An error ends apply_delta() with it.
class TreeWriter {
 public:
  virtual ~TreeWriter() = default;
  // First: what there will be, in order. Of contents that are still to come the digest is zero.
  // Nothing of it is verified yet, but its form: paths stay inside of the tree, sizes in the
  // limits.
  virtual base::Result<void> begin(const Manifest& target) = 0;
  // Then, in the order of entries, each regular file: as the base has it,
  virtual base::Result<void> reuse(std::size_t target_entry, std::size_t base_entry) = 0;
  // as an earlier entry of the target has it,
  virtual base::Result<void> repeat(std::size_t target_entry, std::size_t earlier_entry) = 0;
  // or by its bytes, with their digest at the end. Never more than the entry's size.
  virtual base::Result<void> begin_file(std::size_t target_entry) = 0;
  virtual base::Result<void> write(ByteView bytes) = 0;
  virtual base::Result<void> end_file(std::size_t target_entry, const Digest& content) = 0;
};

inline constexpr std::uint64_t kMaxDeltaBytes = std::uint64_t{1} << 40;

struct DeltaHeader {
  static constexpr std::size_t kMinBytes = 72;
  Digest base_root;
  Digest target_root;
};
// data_loss for what is not a delta of a version that is understood.
base::Result<DeltaHeader> read_header(ByteView delta);

// What a file of the target cost: for people who want to know why a delta is large.
struct FileReport {
  enum class Method : std::uint8_t { reference, patch, fresh };
  std::size_t target_entry = 0;
  std::optional<std::size_t> base_entry;
  Method method = Method::reference;
  std::uint64_t operations = 0;
  std::uint64_t literal_bytes = 0;
  std::uint64_t coded_bytes = 0;  // without what lies in the bulk section
  bool in_bulk = false;
  std::uint64_t repacked_members = 0;  // that were unpacked, and will be packed again
};
struct MakeReport {
  std::uint64_t manifest_bytes = 0;
  std::uint64_t bulk_bytes = 0;
  std::vector<FileReport> files;  // of those that are not references
};

// The delta from `base` to `target`; both have passed check() and describe what the readers give
// (failed_precondition if a file has another size). The same input gives the same bytes. Memory:
// see docs/deltas.md, at most about 9 bytes per byte of the largest pair, itself at most 96 MiB
// each.
base::Result<Bytes> make_delta(const Manifest& base, TreeReader& base_files, const Manifest& target,
                               TreeReader& target_files, MakeReport* report = nullptr);

// Bounds that come from where the delta was announced, not from the delta.
struct ApplyLimits {
  std::uint64_t max_target_bytes = 0;  // of all regular files together
};

// Rebuilds the target. failed_precondition when the delta is for another base or target, or packs
// members in a way that this host's compression libraries do not;
// resource_exhausted at a limit; data_loss when the delta or the base is damaged: what was written
// has to be thrown away then. On success the returned manifest's root is `target_root`, and every
// digest that was given to end_file() is in it. Anonymous memory: below 112 MiB, and the two
// manifests.
base::Result<Manifest> apply_delta(ByteView delta, const Manifest& base, TreeReader& base_files,
                                   const Digest& target_root, const ApplyLimits& limits,
                                   TreeWriter& writer);

}  // namespace segue::delta
