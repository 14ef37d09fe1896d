// SPDX-License-Identifier: Apache-2.0
// The objects of a library on disk: each written once, whole and durable before it has its name.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <unordered_map>

#include "base/error.h"
#include "library/disk.h"
#include "library/release.h"

namespace segue::library {

// One writer at a time: the library's lock. Reading needs none.
class ObjectStore {
 public:
  // `disk` is that of the library's directory, and outlives it.
  explicit ObjectStore(const Disk& disk);

  // By name and size.
  [[nodiscard]] bool has(const ObjectRef& object) const;
  // Reads all of it.
  [[nodiscard]] bool is_whole(const ObjectRef& object) const;
  // not_found, or data_loss for an object that is damaged, which it names.
  [[nodiscard]] base::Result<delta::Bytes> read(const ObjectRef& object) const;

  // Makes room for what add() writes; throws away what a publisher that was killed has left.
  base::Result<void> prepare();
  // Keeps the bytes under their digest, unless they are there and undamaged. They get their name,
  // durably, with flush(), or before that: at most kMaxWaitingBytes or kMaxWaitingObjects wait.
  base::Result<ObjectRef> add(delta::ByteView bytes);
  base::Result<void> flush();
  // Throws away all that is not in place, so that a disk that is full has its room again.
  void abandon();
  // What add() wrote in this object's life; nothing that was there.
  [[nodiscard]] std::uint64_t added_bytes() const { return added_bytes_; }
  [[nodiscard]] std::uint64_t added_objects() const { return added_objects_; }

  // Every object, in no order. An error of `visit` ends it.
  using Visit = std::function<base::Result<void>(const ObjectRef& object)>;
  base::Result<void> for_each(const Visit& visit) const;
  base::Result<void> remove(const delta::Digest& sha256) const;

 private:
  static constexpr std::uint64_t kMaxWaitingBytes = std::uint64_t{128} << 20;
  static constexpr std::size_t kMaxWaitingObjects = 4096;

  [[nodiscard]] std::string path_of(const delta::Digest& sha256) const;
  [[nodiscard]] std::string incoming(const std::string& name) const;
  base::Result<void> make_folder(const delta::Digest& sha256);

  struct DigestHash {
    std::size_t operator()(const delta::Digest& digest) const;
  };

  const Disk& disk_;
  std::unordered_map<delta::Digest, std::uint64_t, DigestHash> waiting_;  // sizes
  std::uint64_t waiting_bytes_ = 0;
  std::uint64_t added_bytes_ = 0;
  std::uint64_t added_objects_ = 0;
};

inline constexpr std::string_view kIncomingFolder = "incoming";

}  // namespace segue::library
