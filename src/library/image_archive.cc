// SPDX-License-Identifier: Apache-2.0
// From the tree of an image to the archive that a container engine loads.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <set>

#include "library/image_format.h"
#include "library/image_tree.h"
#include "tree/beneath.h"

namespace segue::library {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using delta::Bytes;
using delta::ByteView;
using tree::Beneath;
using tuf::Json;

constexpr std::size_t kPieceBytes = std::size_t{1} << 20;

// All of a file, piece by piece; how many bytes it has.
Result<std::uint64_t> read_file(const Beneath& files, const std::string& path,
                                const ArchiveSink& sink) {
  SEGUE_ASSIGN(const os::UniqueFd fd, files.open(path, O_RDONLY));
  Bytes piece(kPieceBytes);
  std::uint64_t size_bytes = 0;
  while (true) {
    const ssize_t got = ::read(fd.get(), piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(files.error("read", path, errno));
    if (got == 0) return size_bytes;
    size_bytes += static_cast<std::uint64_t>(got);
    SEGUE_TRY(sink(ByteView(piece).first(static_cast<std::size_t>(got))));
  }
}

Result<Bytes> small_file(const Beneath& files, const std::string& path, std::size_t max_bytes) {
  Bytes bytes;
  SEGUE_TRY(read_file(files, path, [&](ByteView piece) -> Result<void> {
    bytes.insert(bytes.end(), piece.begin(), piece.end());
    if (bytes.size() <= max_bytes) return {};
    return fail(ErrorCode::data_loss, "'{}' has more than {} bytes", path, max_bytes);
  }));
  return bytes;
}

class Writer {
 public:
  Writer(const Beneath& files, const ArchiveSink& sink) : files_(files), sink_(sink) {}

  Result<void> write(const ImageDescription& image) {
    if (image.is_root_file_system) return write_layer(0, image.layers[0]);
    SEGUE_ASSIGN(const Bytes config, small_file(files_, kConfigFile, kMaxImageFileBytes));
    SEGUE_TRY(write_member(image.config_name, config));
    Json names = Json::array();
    std::set<std::string> written;
    for (std::size_t i = 0; i < image.layers.size(); ++i) {
      const std::string name = image.layers[i].digest.hex() + ".tar";
      names.push_back(name);
      if (!written.insert(name).second) continue;  // two layers may be the same
      SEGUE_TRY(sink_(tar_header(name, image.layers[i].size_bytes)));
      SEGUE_TRY(write_layer(i, image.layers[i]));
      SEGUE_TRY(pad(image.layers[i].size_bytes));
    }
    const Json manifest =
        Json::array({{{"Config", image.config_name}, {"RepoTags", image.tags}, {"Layers", names}}});
    const std::string text = manifest.dump();
    SEGUE_TRY(write_member("manifest.json", delta::view_of(text)));
    return sink_(Bytes(2 * kTarBlockBytes));
  }

 private:
  Result<void> write_member(const std::string& name, ByteView bytes) {
    SEGUE_TRY(sink_(tar_header(name, bytes.size())));
    SEGUE_TRY(sink_(bytes));
    return pad(bytes.size());
  }

  Result<void> pad(std::uint64_t size_bytes) {
    const std::uint64_t over = size_bytes % kTarBlockBytes;
    return over == 0 ? Result<void>() : sink_(Bytes(kTarBlockBytes - over));
  }

  Result<void> write_layer(std::size_t index, const ImageLayer& layer) {
    const std::string folder = layer_folder(index) + "/";
    SEGUE_ASSIGN(const Bytes bytes, small_file(files_, folder + kSkeletonFile, kMaxSkeletonBytes));
    SEGUE_ASSIGN(const Skeleton skeleton, decode_skeleton(bytes));
    delta::Hasher hasher;
    std::uint64_t size_bytes = 0;
    const auto put = [&](ByteView piece) -> Result<void> {
      size_bytes += piece.size();
      if (size_bytes > layer.size_bytes) {
        return fail(ErrorCode::data_loss, "layer {} is longer than its {} bytes", index,
                    layer.size_bytes);
      }
      hasher.add(piece);
      return sink_(piece);
    };
    for (const auto& part : skeleton.parts) {
      if (part.path.empty()) {
        SEGUE_TRY(put(part.bytes));
        continue;
      }
      SEGUE_ASSIGN(const std::uint64_t size, read_file(files_, folder + part.path, put));
      if (size != part.size_bytes) {
        return fail(ErrorCode::data_loss, "'{}' has {} bytes instead of {}", folder + part.path,
                    size, part.size_bytes);
      }
    }
    if (size_bytes == layer.size_bytes && hasher.finish() == layer.digest) return {};
    return fail(ErrorCode::data_loss, "layer {} came out with other bytes than {}: verify the tree",
                index, layer.digest.hex());
  }

  const Beneath& files_;
  const ArchiveSink& sink_;
};

Result<ImageDescription> description_of(const Beneath& files, const std::string& directory) {
  auto text = small_file(files, kImageFile, kMaxImageFileBytes);
  if (!text) {
    return fail(ErrorCode::invalid_argument, "{} is not the tree of an image: {}", directory,
                text.error().message());
  }
  return parse_image(delta::text_of(*text));
}

}  // namespace

Result<void> write_image(const std::string& directory, const ArchiveSink& sink) {
  SEGUE_ASSIGN(const Beneath files, Beneath::open(directory));
  SEGUE_ASSIGN(const ImageDescription image, description_of(files, directory));
  return Writer(files, sink).write(image);
}

Result<std::string> image_id(const std::string& directory) {
  SEGUE_ASSIGN(const Beneath files, Beneath::open(directory));
  SEGUE_ASSIGN(const ImageDescription image, description_of(files, directory));
  if (image.is_root_file_system) {
    return fail(ErrorCode::failed_precondition,
                "{} holds a root file system, which says no program: publish an image of it",
                directory);
  }
  SEGUE_ASSIGN(const Bytes config, small_file(files, kConfigFile, kMaxImageFileBytes));
  delta::Hasher hasher;
  hasher.add(config);
  return "sha256:" + hasher.finish().hex();
}

}  // namespace segue::library
