// SPDX-License-Identifier: Apache-2.0
// A library on disk, to read: what `segue releases` and `segue diff` look at. Needs no key and no
// lock; who publishes meanwhile replaces nothing that was read here.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "delta/delta.h"
#include "library/contents.h"
#include "library/disk.h"
#include "library/metadata_store.h"
#include "library/object_store.h"

namespace segue::library {

// What a long piece of work has come to. Called often, by one thread at a time.
struct WorkProgress {
  std::string doing;              // "storing", "delta from 1.2.0", …
  std::uint64_t done_bytes = 0;   // of what is to be read
  std::uint64_t total_bytes = 0;  // 0: not known
};
using WorkSink = std::function<void(const WorkProgress&)>;

// From one release's tree to another's: why a delta is as large as it is.
struct PairReport {
  ObjectRef delta;  // the length is known, the digest too if it is stored
  std::uint64_t manifest_bytes = 0;
  std::uint64_t bulk_bytes = 0;
  std::vector<delta::FileReport> files;  // by entries of the two manifests
};

class Library {
 public:
  // not_found: there is none. data_loss: its metadata is damaged, or not signed as it should be.
  static base::Result<Library> open(const std::string& directory);

  [[nodiscard]] const std::string& directory() const { return disk_->directory(); }
  [[nodiscard]] const tuf::Repository& repository() const { return repository_; }
  [[nodiscard]] std::map<std::string, ReleaseList> components() const {
    return components_of(repository_);
  }
  [[nodiscard]] const ObjectStore& objects() const { return objects_; }

  // not_found names what there is instead.
  [[nodiscard]] base::Result<Release> find(const std::string& component,
                                           const std::string& version) const;
  [[nodiscard]] base::Result<Contents> contents_of(const Release& release) const;

 private:
  Library(std::unique_ptr<Disk> disk, tuf::Repository repository)
      : disk_(std::move(disk)), repository_(std::move(repository)), objects_(*disk_) {}

  std::unique_ptr<Disk> disk_;  // at a place that does not move
  tuf::Repository repository_;
  ObjectStore objects_;
};

base::Result<Contents> read_contents(const ObjectStore& objects, const Release& release);

}  // namespace segue::library
