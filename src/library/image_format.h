// SPDX-License-Identifier: Apache-2.0
// The files that an image's tree has besides the contents of its layers: protocol/library.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "delta/bytes.h"
#include "delta/digest.h"

namespace segue::library {

inline constexpr const char* kImageFile = "image.json";
inline constexpr const char* kConfigFile = "config.json";
inline constexpr std::size_t kMaxImageFileBytes = std::size_t{4} << 20;
inline constexpr std::size_t kMaxLayers = 1000;

struct ImageLayer {
  delta::Digest digest;  // of the layer's tar archive, not compressed
  std::uint64_t size_bytes = 0;
};

struct ImageDescription {
  bool is_root_file_system = false;  // one layer, and no configuration
  std::string config_name;           // in the archive: its digest, or what the archive called it
  std::vector<std::string> tags;
  std::vector<ImageLayer> layers;
};
std::string to_text(const ImageDescription& image);
base::Result<ImageDescription> parse_image(std::string_view text);

// "layers/003".
std::string layer_folder(std::size_t layer);

// What stands between the contents of a layer, and where which content goes.
struct Skeleton {
  struct Part {
    delta::Bytes bytes;            // as they are, or
    std::string path;              // the content of this file below the layer's folder,
    std::uint64_t size_bytes = 0;  // which has so many
  };
  std::vector<Part> parts;
};
inline constexpr const char* kSkeletonFile = "skeleton";
inline constexpr std::size_t kMaxSkeletonBytes = std::size_t{1} << 30;

delta::Bytes encode_skeleton(const Skeleton& skeleton);
// data_loss: it is none, or names a path that leaves the layer's folder.
base::Result<Skeleton> decode_skeleton(delta::ByteView bytes);

}  // namespace segue::library
