// SPDX-License-Identifier: Apache-2.0
// Container images as trees: each layer's files one by one, and what else its archive holds beside
// them, so that a delta between two images sees files. docs/adr/0023.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "delta/manifest.h"
#include "library/publisher.h"
#include "library/tar_layout.h"
#include "os/unique_fd.h"

namespace segue::library {

// An archive that `podman save` or `docker save` wrote, an OCI layout in a tar archive, or the tar
// archive of a root file system; each may be compressed with gzip, zstd, xz or bzip2.
class ImageSource final : public FileSource {
 public:
  // Reads the archive, and hashes its contents. Layers that are compressed lie unpacked in files
  // without a name below `scratch`. invalid_argument: it is none of these, or holds several images;
  // data_loss: a layer or the configuration has another digest than the image says.
  static base::Result<std::unique_ptr<ImageSource>> open(const std::string& archive,
                                                         const std::string& scratch);

  [[nodiscard]] const delta::Manifest& manifest() const { return manifest_; }
  base::Result<void> read(std::size_t entry, const Piece& piece) override;

 private:
  friend class ImageReader;
  // Where a file's bytes are: in a file, or in memory.
  struct Place {
    std::shared_ptr<os::UniqueFd> file;
    std::uint64_t offset_bytes = 0;
    std::uint64_t size_bytes = 0;
    delta::Bytes bytes;
  };

  delta::Manifest manifest_;
  std::vector<Place> places_;  // by entry
};

// Takes an archive piece by piece.
using ArchiveSink = std::function<base::Result<void>(delta::ByteView bytes)>;

// Writes what `podman load` and `docker load` read (of a root file system: `podman import`), from
// the tree of such a release on disk. Layers and configuration come out byte for byte, so the image
// has its id. invalid_argument: the tree in `directory` is not one; data_loss: a file of it is not
// what it should be.
base::Result<void> write_image(const std::string& directory, const ArchiveSink& sink);

// "sha256:…", by which engines know the image that a tree on disk holds: the digest of its
// configuration. Errors as of write_image(); failed_precondition: it is a root file system, which
// has no program.
base::Result<std::string> image_id(const std::string& directory);

}  // namespace segue::library
