// SPDX-License-Identifier: Apache-2.0
#include <archive.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <set>

#include "library/image_format.h"
#include "library/image_tree.h"
#include "library/release.h"
#include "library/scratch_file.h"

namespace segue::library {

using base::ErrorCode;
using base::fail;
using base::Result;
using delta::Bytes;
using delta::ByteView;
using delta::Digest;
using tuf::Json;

namespace {

constexpr std::size_t kPieceBytes = std::size_t{1} << 20;

// A run of bytes of a file.
struct Blob {
  std::shared_ptr<os::UniqueFd> file;
  std::uint64_t offset_bytes = 0;
  std::uint64_t size_bytes = 0;

  [[nodiscard]] Blob part(std::uint64_t offset, std::uint64_t size) const {
    return {file, offset_bytes + offset, size};
  }
};

Result<Bytes> read_at(const Blob& blob, std::uint64_t offset, std::size_t count) {
  Bytes bytes(count);
  std::size_t filled = 0;
  while (filled < count) {
    const ssize_t got = ::pread(blob.file->get(), bytes.data() + filled, count - filled,
                                static_cast<off_t>(blob.offset_bytes + offset + filled));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(base::errno_error("read the image", errno));
    if (got == 0) return fail(ErrorCode::aborted, "the image became shorter while it was read");
    filled += static_cast<std::size_t>(got);
  }
  return bytes;
}

Result<void> for_each_piece(const Blob& blob, const FileSource::Piece& piece) {
  for (std::uint64_t at = 0; at < blob.size_bytes;) {
    const auto count =
        static_cast<std::size_t>(std::min<std::uint64_t>(kPieceBytes, blob.size_bytes - at));
    SEGUE_ASSIGN(const Bytes bytes, read_at(blob, at, count));
    SEGUE_TRY(piece(bytes));
    at += count;
  }
  return {};
}

Result<Digest> digest_of(const Blob& blob) {
  delta::Hasher hasher;
  SEGUE_TRY(for_each_piece(blob, [&](ByteView bytes) -> Result<void> {
    hasher.add(bytes);
    return {};
  }));
  return hasher.finish();
}

// ---- Compression

bool begins_with(ByteView bytes, std::initializer_list<std::uint8_t> magic) {
  return bytes.size() >= magic.size() && std::equal(magic.begin(), magic.end(), bytes.begin());
}

Result<bool> is_compressed(const Blob& blob) {
  SEGUE_ASSIGN(
      const Bytes head,
      read_at(blob, 0, static_cast<std::size_t>(std::min<std::uint64_t>(8, blob.size_bytes))));
  return begins_with(head, {0x1f, 0x8b}) || begins_with(head, {0x28, 0xb5, 0x2f, 0xfd}) ||
         begins_with(head, {0xfd, '7', 'z', 'X', 'Z', 0}) || begins_with(head, {'B', 'Z', 'h'});
}

struct Unpacking {
  Blob from;
  std::uint64_t at = 0;
  Bytes piece;
};

la_ssize_t read_packed(struct archive* reader, void* context, const void** buffer) {
  auto& unpacking = *static_cast<Unpacking*>(context);
  const auto count = static_cast<std::size_t>(
      std::min<std::uint64_t>(kPieceBytes, unpacking.from.size_bytes - unpacking.at));
  auto bytes = read_at(unpacking.from, unpacking.at, count);
  if (!bytes) {
    archive_set_error(reader, EIO, "%s", bytes.error().message().c_str());
    return -1;
  }
  unpacking.piece = *std::move(bytes);
  unpacking.at += count;
  *buffer = unpacking.piece.data();
  return static_cast<la_ssize_t>(count);
}

// What a compressed file holds, in a file below `scratch`.
Result<Blob> unpacked(const Blob& blob, const std::string& scratch) {
  SEGUE_ASSIGN(os::UniqueFd fd, unnamed_file(scratch));
  Blob plain{std::make_shared<os::UniqueFd>(std::move(fd)), 0, 0};
  const std::unique_ptr<struct archive, decltype(&archive_read_free)> reader(archive_read_new(),
                                                                             archive_read_free);
  Unpacking unpacking{blob, 0, {}};
  const auto problem = [&] {
    const char* text = archive_error_string(reader.get());
    return fail(ErrorCode::data_loss, "the image cannot be unpacked: {}",
                text == nullptr ? "it is damaged" : text);
  };
  struct archive_entry* entry = nullptr;
  archive_read_support_filter_gzip(reader.get());
  archive_read_support_filter_zstd(reader.get());
  archive_read_support_filter_xz(reader.get());
  archive_read_support_filter_bzip2(reader.get());
  archive_read_support_format_raw(reader.get());
  if (archive_read_open(reader.get(), &unpacking, nullptr, read_packed, nullptr) != ARCHIVE_OK ||
      archive_read_next_header(reader.get(), &entry) != ARCHIVE_OK) {
    return problem();
  }
  Bytes piece(kPieceBytes);
  while (true) {
    const la_ssize_t got = archive_read_data(reader.get(), piece.data(), piece.size());
    if (got < 0) return problem();
    if (got == 0) return plain;
    plain.size_bytes += static_cast<std::uint64_t>(got);
    if (plain.size_bytes > kMaxReleaseBytes) {
      return fail(ErrorCode::resource_exhausted, "the image holds more than {} bytes",
                  kMaxReleaseBytes);
    }
    SEGUE_TRY(append_to(plain.file->get(), ByteView(piece).first(static_cast<std::size_t>(got)),
                        scratch));
  }
}

Result<Blob> plain_of(Blob blob, const std::string& scratch) {
  SEGUE_ASSIGN(const bool compressed, is_compressed(blob));
  return compressed ? unpacked(blob, scratch) : blob;
}

std::string normalised(std::string_view path) {
  while (path.starts_with("./") || path.starts_with('/')) {
    path.remove_prefix(path.starts_with('/') ? 1 : 2);
  }
  return std::string(path);
}

// ---- What an archive says of its image

using Archive = std::map<std::string, Blob>;  // contents by path

Result<Bytes> small_file(const Archive& archive, const std::string& path) {
  const auto found = archive.find(normalised(path));
  if (found == archive.end()) {
    return fail(ErrorCode::invalid_argument, "the image's archive has no file '{}'", path);
  }
  if (found->second.size_bytes > kMaxImageFileBytes) {
    return fail(ErrorCode::invalid_argument, "'{}' of the image has more than {} bytes", path,
                kMaxImageFileBytes);
  }
  return read_at(found->second, 0, static_cast<std::size_t>(found->second.size_bytes));
}

Result<Json> json_file(const Archive& archive, const std::string& path) {
  SEGUE_ASSIGN(const Bytes bytes, small_file(archive, path));
  Json json = Json::parse(bytes.begin(), bytes.end(), nullptr, false);
  if (!json.is_discarded()) return json;
  return fail(ErrorCode::invalid_argument, "'{}' of the image is not JSON", path);
}

// What an archive says may be of any type. Null: there is no such member.
Json member_of(const Json& json, const char* name) {
  const auto found = json.is_object() ? json.find(name) : json.end();
  return found == json.end() ? Json() : *found;
}
std::string string_in(const Json& json, const char* name) {
  const Json member = member_of(json, name);
  return member.is_string() ? member.get<std::string>() : "";
}
std::vector<std::string> strings_in(const Json& json, const char* name) {
  std::vector<std::string> strings;
  const Json member = member_of(json, name);
  if (!member.is_array()) return strings;
  for (const auto& each : member) {
    if (each.is_string()) strings.push_back(each.get<std::string>());
  }
  return strings;
}

struct Parts {
  std::string config;
  std::vector<std::string> layers;
  std::vector<std::string> tags;
};

Result<Parts> docker_parts(const Archive& archive) {
  SEGUE_ASSIGN(const Json manifest, json_file(archive, "manifest.json"));
  if (!manifest.is_array() || manifest.size() != 1) {
    return fail(ErrorCode::invalid_argument, "the archive holds {} images: save one alone",
                manifest.is_array() ? manifest.size() : 0);
  }
  return Parts{string_in(manifest[0], "Config"), strings_in(manifest[0], "Layers"),
               strings_in(manifest[0], "RepoTags")};
}

std::string blob_path(const std::string& digest) {
  std::string path = "blobs/" + digest;
  std::ranges::replace(path, ':', '/');
  return path;
}

Result<Parts> oci_parts(const Archive& archive) {
  SEGUE_ASSIGN(Json index, json_file(archive, "index.json"));
  Parts parts;
  // An index may lead to another one.
  for (int depth = 0; depth < 4; ++depth) {
    const Json manifests = member_of(index, "manifests");
    if (manifests.is_null()) break;
    if (!manifests.is_array() || manifests.size() != 1) {
      return fail(ErrorCode::invalid_argument, "the archive holds {} images: save one alone",
                  manifests.is_array() ? manifests.size() : 0);
    }
    const Json one = manifests[0];
    const Json notes = member_of(one, "annotations");
    if (const std::string tag = string_in(notes, "org.opencontainers.image.ref.name");
        !tag.empty()) {
      parts.tags = {tag};
    }
    SEGUE_ASSIGN(index, json_file(archive, blob_path(string_in(one, "digest"))));
  }
  parts.config = blob_path(string_in(member_of(index, "config"), "digest"));
  const Json layers = member_of(index, "layers");
  for (const auto& layer : layers) parts.layers.push_back(blob_path(string_in(layer, "digest")));
  return parts;
}

}  // namespace

// Makes an ImageSource.
class ImageReader {
 public:
  explicit ImageReader(std::string scratch) : scratch_(std::move(scratch)) {}

  Result<std::unique_ptr<ImageSource>> run(const Blob& given) {
    SEGUE_ASSIGN(const Blob whole, plain_of(given, scratch_));
    SEGUE_ASSIGN(const Bytes head,
                 read_at(whole, 0, std::min<std::uint64_t>(kTarBlockBytes, whole.size_bytes)));
    if (!is_tar_header(head)) {
      return fail(ErrorCode::invalid_argument,
                  "it is neither a directory nor an archive of an image");
    }
    SEGUE_ASSIGN(const auto archive, index_of(whole));
    const bool is_docker = archive.contains("manifest.json");
    const bool is_oci = archive.contains("index.json") && archive.contains("oci-layout");
    if (is_docker || is_oci) {
      SEGUE_ASSIGN(const Parts parts, is_docker ? docker_parts(archive) : oci_parts(archive));
      SEGUE_TRY(add_image(archive, parts));
    } else {
      image_.is_root_file_system = true;
      SEGUE_TRY(add_layer(whole));
    }
    return finish();
  }

 private:
  static Result<Archive> index_of(const Blob& blob) {
    SEGUE_ASSIGN(const auto pieces, layout_of(blob));
    Archive archive;
    for (const auto& piece : pieces) {
      if (!piece.is_content) continue;
      archive.insert_or_assign(normalised(piece.path),
                               blob.part(piece.offset_bytes, piece.size_bytes));
    }
    return archive;
  }

  static Result<std::vector<TarPiece>> layout_of(const Blob& blob) {
    return tar_layout(
        [&](std::uint64_t offset, std::size_t count) { return read_at(blob, offset, count); },
        blob.size_bytes);
  }

  Result<void> add_image(const Archive& archive, const Parts& parts) {
    SEGUE_ASSIGN(Bytes config, small_file(archive, parts.config));
    const Json json = Json::parse(config.begin(), config.end(), nullptr, false);
    const std::vector<std::string> ids = strings_in(member_of(json, "rootfs"), "diff_ids");
    if (ids.size() != parts.layers.size() || ids.size() > kMaxLayers) {
      return fail(ErrorCode::data_loss, "the image has {} layers, and its configuration names {}",
                  parts.layers.size(), ids.size());
    }
    image_.tags = parts.tags;
    image_.config_name = delta::digest_of(config).hex() + ".json";
    add_bytes(kConfigFile, std::move(config));
    for (std::size_t i = 0; i < parts.layers.size(); ++i) {
      const auto found = archive.find(normalised(parts.layers[i]));
      if (found == archive.end()) {
        return fail(ErrorCode::invalid_argument, "the archive has no layer '{}'", parts.layers[i]);
      }
      SEGUE_ASSIGN(const Blob layer, plain_of(found->second, scratch_));
      SEGUE_TRY(add_layer(layer));
      if (ids[i] != "sha256:" + image_.layers.back().digest.hex()) {
        return fail(ErrorCode::data_loss, "layer '{}' is {}, and the configuration says {}",
                    parts.layers[i], image_.layers.back().digest.hex(), ids[i]);
      }
    }
    return {};
  }

  Result<void> add_layer(const Blob& layer) {
    const std::string folder = layer_folder(image_.layers.size());
    SEGUE_ASSIGN(const Digest digest, digest_of(layer));
    SEGUE_ASSIGN(const auto pieces, layout_of(layer));
    Skeleton skeleton;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const TarPiece& piece = pieces[i];
      Skeleton::Part part;
      const Blob blob = layer.part(piece.offset_bytes, piece.size_bytes);
      if (piece.is_content) {
        part.path = free_path(folder, piece.path, i);
        part.size_bytes = piece.size_bytes;
        SEGUE_TRY(add_blob(folder + "/" + part.path, blob));
      } else {
        SEGUE_ASSIGN(part.bytes, read_at(blob, 0, static_cast<std::size_t>(blob.size_bytes)));
      }
      skeleton.parts.push_back(std::move(part));
    }
    add_bytes(folder + "/" + kSkeletonFile, encode_skeleton(skeleton));
    image_.layers.push_back({digest, layer.size_bytes});
    return {};
  }

  // Where a content is kept below the layer's folder: as the archive calls it, if a tree can.
  std::string free_path(const std::string& folder, const std::string& path, std::size_t number) {
    std::string wanted = "files/" + normalised(path);
    if (!is_usable(folder + "/" + wanted)) wanted = fmt::format("other/{}", number);
    return wanted;
  }

  bool is_usable(const std::string& path) const {
    if (path.size() > delta::kMaxPathBytes || path.ends_with('/') || entries_.contains(path) ||
        folders_.contains(path)) {
      return false;
    }
    for (std::size_t begin = 0; begin <= path.size();) {
      const std::size_t end = std::min(path.find('/', begin), path.size());
      const std::string_view name = std::string_view(path).substr(begin, end - begin);
      if (name.empty() || name == "." || name == ".." || name.size() > delta::kMaxNameBytes ||
          (end < path.size() && entries_.contains(path.substr(0, end)))) {
        return false;
      }
      begin = end + 1;
    }
    return true;
  }

  Result<void> add_blob(const std::string& path, const Blob& blob) {
    SEGUE_ASSIGN(const Digest content, digest_of(blob));
    add(path, content, {blob.file, blob.offset_bytes, blob.size_bytes, {}});
    return {};
  }
  void add_bytes(const std::string& path, Bytes bytes) {
    const Digest content = delta::digest_of(bytes);
    const std::uint64_t size = bytes.size();
    add(path, content, {nullptr, 0, size, std::move(bytes)});
  }
  void add(const std::string& path, const Digest& content, ImageSource::Place place) {
    for (std::size_t at = path.find('/'); at != std::string::npos; at = path.find('/', at + 1)) {
      folders_.insert(path.substr(0, at));
    }
    delta::Entry entry{.path = path, .mode = 0644, .size_bytes = place.size_bytes};
    entry.content = content;
    entries_[path] = std::move(entry);
    places_[path] = std::move(place);
  }

  Result<std::unique_ptr<ImageSource>> finish() {
    const std::string text = to_text(image_);
    add_bytes(kImageFile, Bytes(text.begin(), text.end()));
    std::vector<delta::Entry> entries;
    folders_.insert("");
    for (const auto& folder : folders_) {
      entries.push_back({.path = folder, .type = delta::EntryType::directory, .mode = 0755});
    }
    for (auto& [path, entry] : entries_) entries.push_back(std::move(entry));
    auto source = std::make_unique<ImageSource>();
    SEGUE_ASSIGN(source->manifest_, delta::make_manifest(std::move(entries)));
    for (const auto& entry : source->manifest_.entries) {
      const auto place = places_.find(entry.path);
      source->places_.push_back(place == places_.end() ? ImageSource::Place()
                                                       : std::move(place->second));
    }
    return source;
  }

  std::string scratch_;
  ImageDescription image_;
  std::set<std::string> folders_;
  std::map<std::string, delta::Entry> entries_;
  std::map<std::string, ImageSource::Place> places_;
};

Result<std::unique_ptr<ImageSource>> ImageSource::open(const std::string& archive,
                                                       const std::string& scratch) {
  os::UniqueFd fd(::open(archive.c_str(), O_RDONLY | O_CLOEXEC));
  const off_t size = fd ? ::lseek(fd.get(), 0, SEEK_END) : -1;
  if (size < 0) return fail(base::errno_error(fmt::format("open {}", archive), errno));
  const Blob whole{std::make_shared<os::UniqueFd>(std::move(fd)), 0,
                   static_cast<std::uint64_t>(size)};
  auto source = ImageReader(scratch).run(whole);
  if (!source) return fail(std::move(source).error().with(archive));
  return source;
}

Result<void> ImageSource::read(std::size_t entry, const Piece& piece) {
  const Place& place = places_[entry];
  if (!place.file) return piece(place.bytes);
  return for_each_piece({place.file, place.offset_bytes, place.size_bytes}, piece);
}

}  // namespace segue::library
