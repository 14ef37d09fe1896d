// SPDX-License-Identifier: Apache-2.0
#include "library/pair.h"

#include <set>

namespace segue::library {
namespace {

using base::Result;
using delta::Bytes;
using delta::Digest;

class CountingTree final : public delta::TreeReader {
 public:
  CountingTree(delta::TreeReader& files, const PairProgress& progress)
      : files_(files), progress_(progress) {}

  Result<std::unique_ptr<delta::FileBytes>> open(std::size_t entry) override {
    auto file = files_.open(entry);
    if (file && progress_) progress_((*file)->bytes().size());
    return file;
  }

 private:
  delta::TreeReader& files_;
  const PairProgress& progress_;
};

}  // namespace

Result<std::pair<Bytes, PairReport>> compute_pair(const delta::Manifest& base,
                                                  delta::TreeReader& base_files,
                                                  const delta::Manifest& target,
                                                  delta::TreeReader& target_files,
                                                  const PairProgress& progress) {
  CountingTree counted(target_files, progress);
  delta::MakeReport made;
  SEGUE_ASSIGN(Bytes bytes, delta::make_delta(base, base_files, target, counted, &made));
  PairReport report;
  report.delta = {bytes.size(), delta::digest_of(bytes)};
  report.manifest_bytes = made.manifest_bytes;
  report.bulk_bytes = made.bulk_bytes;
  report.files = std::move(made.files);
  return std::pair(std::move(bytes), std::move(report));
}

std::uint64_t pair_work_bytes(const delta::Manifest& base, const delta::Manifest& target) {
  std::set<Digest> known;
  for (const auto& entry : base.entries) known.insert(entry.content);
  std::uint64_t bytes = 0;
  for (const auto& entry : target.entries) {
    if (entry.size_bytes > 0 && known.insert(entry.content).second) bytes += 2 * entry.size_bytes;
  }
  return bytes;
}

}  // namespace segue::library
