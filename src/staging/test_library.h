// SPDX-License-Identifier: Apache-2.0
// A small release library on disk, for tests: signed, with deltas between all of its releases.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "library/content_stream.h"
#include "library/contents.h"
#include "library/release.h"
#include "os/clock.h"
#include "os/files.h"
#include "os/temp_directory.h"
#include "tree/disk_tree.h"
#include "tree/scan.h"
#include "tuf/repository.h"

namespace segue::staging {

class PublishedLibrary {
 public:
  PublishedLibrary() {
    clock.advance(std::chrono::days(20'000));
    std::filesystem::create_directories(path("metadata"));
    const auto key = [](unsigned number) {
      return std::vector{tuf::Key::of(private_key(number).public_key())};
    };
    const auto root = tuf::make_root({{"root", key(0), {}, {}},
                                      {"targets", key(1), {}, {}},
                                      {"snapshot", key(2), {}, {}},
                                      {"timestamp", key(3), {}, {}}},
                                     expires());
    root_bytes = tuf::sign_metadata(*root, {private_key(0)}).value();
    write("metadata/1.root.json", root_bytes);
    role_.expires = expires();
  }

  [[nodiscard]] std::string path(const std::string& name = "") const {
    return directory_.path("library") + (name.empty() ? "" : "/" + name);
  }
  [[nodiscard]] std::string url() const { return "file://" + path(); }
  [[nodiscard]] std::string path_of(const library::ObjectRef& object) const {
    return path(library::object_path(object.sha256));
  }

  // The tree must stay as it is while more is published.
  library::Release publish(const std::string& version, const std::string& tree) {
    Published next{.tree = tree, .manifest = tree::scan_tree(tree).value(), .release = {}};
    library::Contents contents{.manifest = next.manifest, .chunks = store_chunks(next)};
    const auto sums = library::sums_of(next.manifest);
    clock.advance(std::chrono::seconds(10));
    next.release = {.component = "chat",
                    .version = version,
                    .contents = store(library::pack_contents(contents)),
                    .root = delta::root_of(next.manifest),
                    .bytes = sums.bytes,
                    .files = sums.files,
                    .published = std::chrono::floor<std::chrono::seconds>(clock.realtime_now()),
                    .commit = {}};
    for (const Published& before : published_) add_delta(before, next);
    published_.push_back(next);
    announce(next.release);
    return next.release;
  }
  // Signs it, whatever it says.
  void announce(const library::Release& release) {
    role_.targets[library::target_path("chat", release.version)] = library::to_target(release);
    write_metadata();
  }

  os::ManualClock clock;
  std::string root_bytes;

 private:
  struct Published {
    std::string tree;
    delta::Manifest manifest;
    library::Release release;
  };

  static crypto::PrivateKey private_key(unsigned number) {
    std::string seed(32, '\0');
    seed[0] = static_cast<char>(number);
    return crypto::PrivateKey::ed25519_from_seed(seed).value();
  }
  static tuf::Time expires() { return tuf::Time(std::chrono::days(30'000)); }

  void write(const std::string& name, std::string_view bytes) const {
    std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
    const auto written = os::write_file_atomically(path(name), bytes, 0644);
    if (!written) throw std::runtime_error(written.error().to_string());
  }

  library::ObjectRef store(const delta::Bytes& bytes) const {
    const library::ObjectRef object{bytes.size(), delta::digest_of(bytes)};
    write(library::object_path(object.sha256), delta::text_of(bytes));
    return object;
  }

  std::vector<library::Chunk> store_chunks(const Published& next) const {
    std::vector<library::Chunk> chunks;
    auto files = tree::DiskTree::open(next.tree, next.manifest).value();
    const auto cut =
        library::cut_chunks(library::stream_of(next.manifest).value(), next.manifest, files,
                            [&](std::uint64_t, delta::ByteView bytes) -> base::Result<void> {
                              const library::StoredChunk stored = library::pack_chunk(bytes);
                              store(stored.bytes);
                              chunks.push_back(stored.chunk);
                              return {};
                            });
    if (!cut) throw std::runtime_error(cut.error().to_string());
    return chunks;
  }

  void add_delta(const Published& before, Published& next) const {
    auto base = tree::DiskTree::open(before.tree, before.manifest).value();
    auto target = tree::DiskTree::open(next.tree, next.manifest).value();
    const auto delta = delta::make_delta(before.manifest, base, next.manifest, target).value();
    next.release.deltas.push_back({before.release.version, store(delta)});
  }

  void write_metadata() {
    ++version_;
    role_.version = version_;
    const std::string role = tuf::sign_metadata(role_, {private_key(4)}).value();
    write(fmt::format("metadata/{}.chat.json", version_), role);

    tuf::Targets targets;
    targets.version = version_;
    targets.expires = expires();
    const tuf::Key key = tuf::Key::of(private_key(4).public_key());
    targets.delegations.emplace();
    targets.delegations->keys.emplace(key.id, key);
    targets.delegations->roles.push_back({.name = "chat",
                                          .keys = {.key_ids = {key.id}},
                                          .terminating = true,
                                          .paths = std::vector<std::string>{"chat/*"},
                                          .path_hash_prefixes = {}});
    write(fmt::format("metadata/{}.targets.json", version_),
          tuf::sign_metadata(targets, {private_key(1)}).value());

    tuf::Snapshot snapshot;
    snapshot.version = version_;
    snapshot.expires = expires();
    for (const char* name : {"targets", "chat"}) snapshot.meta[name].version = version_;
    write(fmt::format("metadata/{}.snapshot.json", version_),
          tuf::sign_metadata(snapshot, {private_key(2)}).value());

    tuf::Timestamp timestamp;
    timestamp.version = version_;
    timestamp.expires = expires();
    timestamp.snapshot.version = version_;
    write("metadata/timestamp.json", tuf::sign_metadata(timestamp, {private_key(3)}).value());
  }

  os::TempDirectory directory_;
  tuf::Targets role_;
  std::vector<Published> published_;
  std::uint64_t version_ = 0;
};

}  // namespace segue::staging
