// SPDX-License-Identifier: Apache-2.0
#include "library/image_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "library/release.h"
#include "tuf/fields.h"

namespace segue::library {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using delta::ByteReader;
using delta::Bytes;
using delta::ByteView;
using tuf::Json;

constexpr std::array<std::uint8_t, 8> kMagic = {'S', 'E', 'G', 'T', 'A', 'R', 0, 1};
constexpr std::uint64_t kVersion = 1;
constexpr std::uint64_t kMaxPathBytes = 4095;

// Relative, and inside: what a layer's file is called in the tree.
bool is_inside(std::string_view path) {
  if (path.empty() || path.starts_with('/') || path.ends_with('/')) return false;
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    const std::string_view name = path.substr(0, slash);
    if (name.empty() || name == "." || name == ".." || name.find('\0') != std::string_view::npos) {
      return false;
    }
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return true;
}

Result<ImageLayer> parse_layer(const Json& json) {
  SEGUE_ASSIGN(auto fields, tuf::Fields::of(json, "a layer"));
  ImageLayer layer;
  SEGUE_ASSIGN(const std::string digits, fields.string("sha256"));
  const auto digest = digest_from_hex(digits);
  if (!digest) return fail(ErrorCode::data_loss, "'sha256' of a layer is no digest");
  layer.digest = *digest;
  SEGUE_ASSIGN(layer.size_bytes, fields.number("length", 0));
  return layer;
}

}  // namespace

std::string to_text(const ImageDescription& image) {
  Json layers = Json::array();
  for (const auto& layer : image.layers) {
    layers.push_back({{"sha256", layer.digest.hex()}, {"length", layer.size_bytes}});
  }
  Json json = {{"version", kVersion},
               {"form", image.is_root_file_system ? "rootfs" : "image"},
               {"layers", layers}};
  if (!image.is_root_file_system) {
    json["config"] = image.config_name;
    json["tags"] = image.tags;
  }
  return json.dump(1) + "\n";
}

Result<ImageDescription> parse_image(std::string_view text) {
  SEGUE_ASSIGN(Json json, tuf::parse_json(text));
  SEGUE_ASSIGN(auto fields, tuf::Fields::of(std::move(json), "image.json"));
  SEGUE_ASSIGN(const std::uint64_t version, fields.number("version", 1));
  if (version != kVersion) {
    return fail(ErrorCode::failed_precondition, "an image of version {}: install a newer segue",
                version);
  }
  ImageDescription image;
  SEGUE_ASSIGN(const std::string form, fields.string("form"));
  image.is_root_file_system = form == "rootfs";
  SEGUE_ASSIGN(const Json layers, fields.take("layers"));
  if (!layers.is_array() || layers.size() > kMaxLayers || (form != "rootfs" && form != "image") ||
      (image.is_root_file_system && layers.size() != 1)) {
    return fail(ErrorCode::data_loss, "image.json has another form, or too many layers");
  }
  for (const auto& each : layers) {
    SEGUE_ASSIGN(ImageLayer layer, parse_layer(each));
    image.layers.push_back(layer);
  }
  if (image.is_root_file_system) return image;
  SEGUE_ASSIGN(image.config_name, fields.string("config"));
  SEGUE_ASSIGN(image.tags, fields.strings("tags"));
  if (image.config_name.size() > 100 || !is_inside(image.config_name)) {
    return fail(ErrorCode::data_loss, "'config' of image.json is no name");
  }
  return image;
}

std::string layer_folder(std::size_t layer) {
  return fmt::format("layers/{:03}", layer);
}

Bytes encode_skeleton(const Skeleton& skeleton) {
  Bytes bytes(kMagic.begin(), kMagic.end());
  for (const auto& part : skeleton.parts) {
    // Bytes follow a length of one and more, a path a zero.
    if (part.path.empty()) {
      delta::append_varint(bytes, part.bytes.size());
      bytes.insert(bytes.end(), part.bytes.begin(), part.bytes.end());
    } else {
      delta::append_varint(bytes, 0);
      delta::append_varint(bytes, part.path.size());
      bytes.insert(bytes.end(), part.path.begin(), part.path.end());
      delta::append_varint(bytes, part.size_bytes);
    }
  }
  return bytes;
}

Result<Skeleton> decode_skeleton(ByteView bytes) {
  ByteReader reader(bytes);
  Skeleton skeleton;
  if (!std::ranges::equal(reader.take(kMagic.size()), kMagic)) {
    return fail(ErrorCode::data_loss, "not the skeleton of a layer, version 1");
  }
  while (reader.ok() && !reader.at_end()) {
    Skeleton::Part part;
    if (const std::uint64_t size = reader.varint(); size > 0) {
      const ByteView run = reader.take(size);
      part.bytes.assign(run.begin(), run.end());
    } else {
      const std::uint64_t length = reader.varint();
      if (length > kMaxPathBytes) reader.fail();
      part.path = delta::text_of(reader.take(length));
      part.size_bytes = reader.varint();
      if (!is_inside(part.path) || part.size_bytes == 0) reader.fail();
    }
    skeleton.parts.push_back(std::move(part));
  }
  if (reader.ok()) return skeleton;
  return fail(ErrorCode::data_loss, "the skeleton of a layer is malformed");
}

}  // namespace segue::library
