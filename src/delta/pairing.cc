// SPDX-License-Identifier: Apache-2.0
#include "delta/pairing.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <unordered_map>

#include "delta/gear.h"
#include "delta/members.h"
#include "delta/operations.h"

namespace segue::delta {

namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

// Of one sketch hash, so that a licence header in 10,000 files does not cost their square.
constexpr std::size_t kMaxFilesPerHash = 32;
constexpr std::size_t kMaxSketchedFiles = 65536;
// Of kSketchHashes; below, a file of the same path is as good a guess.
constexpr std::size_t kMinCommon = 3;

std::string_view file_name(std::string_view path) {
  return path.substr(path.rfind('/') == std::string_view::npos ? 0 : path.rfind('/') + 1);
}

std::size_t shared_letters(std::string_view left, std::string_view right) {
  const auto front = std::mismatch(left.begin(), left.end(), right.begin(), right.end()).first;
  const auto back = std::mismatch(left.rbegin(), left.rend(), right.rbegin(), right.rend()).first;
  return static_cast<std::size_t>(front - left.begin()) +
         static_cast<std::size_t>(back - left.rbegin());
}

class Pairing {
 public:
  Pairing(const Manifest& base, TreeReader& base_files, const Manifest& target,
          TreeReader& target_files)
      : base_(base), base_files_(base_files), target_(target), target_files_(target_files) {}

  Result<std::vector<ContentSource>> run() {
    sources_.resize(target_.entries.size());
    std::vector<std::uint32_t> wanting;
    find_identical(wanting);
    SEGUE_TRY(find_similar(wanting));
    return std::move(sources_);
  }

 private:
  void find_identical(std::vector<std::uint32_t>& wanting) {
    std::map<Digest, std::uint32_t> in_base;
    for (std::uint32_t i = 0; i < base_.entries.size(); ++i) {
      if (base_.entries[i].type == EntryType::regular) {
        in_base.emplace(base_.entries[i].content, i);
      }
    }
    std::map<Digest, std::uint32_t> in_target;
    for (std::uint32_t i = 0; i < target_.entries.size(); ++i) {
      const Entry& entry = target_.entries[i];
      if (entry.type != EntryType::regular) continue;
      const auto same_path = find_entry(base_, entry.path);
      if (same_path && base_.entries[*same_path].type == EntryType::regular &&
          base_.entries[*same_path].content == entry.content) {
        sources_[i] = {SourceKind::base_content, static_cast<std::uint32_t>(*same_path)};
      } else if (const auto found = in_base.find(entry.content); found != in_base.end()) {
        sources_[i] = {SourceKind::base_content, found->second};
      } else if (const auto [earlier, is_first] = in_target.emplace(entry.content, i); !is_first) {
        sources_[i] = {SourceKind::target_content, earlier->second};
      } else {
        sources_[i] = {SourceKind::fresh, 0};
        wanting.push_back(i);
      }
    }
  }

  Result<void> find_similar(const std::vector<std::uint32_t>& wanting) {
    std::vector<std::uint32_t> without_path;
    for (const std::uint32_t i : wanting) {
      const Entry& entry = target_.entries[i];
      const auto same_path = find_entry(base_, entry.path);
      if (same_path && base_.entries[*same_path].type == EntryType::regular &&
          base_.entries[*same_path].size_bytes > 0 && is_likely(*same_path, entry)) {
        sources_[i] = {SourceKind::patched, static_cast<std::uint32_t>(*same_path)};
      } else if (entry.size_bytes > 0) {
        without_path.push_back(i);
      }
    }
    if (without_path.empty()) return {};
    SEGUE_TRY(sketch_base());
    for (const std::uint32_t i : without_path) SEGUE_TRY(choose(i));
    return {};
  }

  // A file that shrank or grew tenfold is looked up by its content instead.
  [[nodiscard]] bool is_likely(std::size_t base_entry, const Entry& entry) const {
    const std::uint64_t old = base_.entries[base_entry].size_bytes;
    return old / 10 <= entry.size_bytes && entry.size_bytes / 10 <= old;
  }

  static Result<std::vector<std::uint32_t>> sketch(const Manifest& manifest, TreeReader& files,
                                                   std::uint32_t entry) {
    SEGUE_ASSIGN(const auto file, files.open(entry));
    if (file->bytes().size() != manifest.entries[entry].size_bytes) {
      return fail(ErrorCode::failed_precondition, "'{}' has {} bytes, its manifest says {}",
                  manifest.entries[entry].path, file->bytes().size(),
                  manifest.entries[entry].size_bytes);
    }
    return sketch_of_content(file->bytes());
  }

  // Of a file that is packed as a whole, what it holds: packed, two versions have nothing in
  // common.
  static std::vector<std::uint32_t> sketch_of_content(ByteView bytes) {
    constexpr std::uint8_t kGzip = 0x1f;
    constexpr std::uint8_t kZstd = 0x28;
    if (bytes.empty() || (bytes[0] != kGzip && bytes[0] != kZstd)) return sketch_of(bytes);
    const auto members = find_members(bytes.first(std::min(bytes.size(), kMaxMatchBytes)));
    if (members.empty() || members.front().packed_bytes < bytes.size() / 2) return sketch_of(bytes);
    const Member& whole = members.front();
    const auto unpacked = unpack_stream(
        whole.codec, bytes.subspan(static_cast<std::size_t>(whole.at)), whole.plain_bytes);
    return sketch_of(unpacked ? ByteView(unpacked->plain) : bytes);
  }

  Result<void> sketch_base() {
    std::size_t sketched = 0;
    for (std::uint32_t i = 0; i < base_.entries.size() && sketched < kMaxSketchedFiles; ++i) {
      const Entry& entry = base_.entries[i];
      if (entry.type != EntryType::regular || entry.size_bytes == 0) continue;
      SEGUE_ASSIGN(const auto hashes, sketch(base_, base_files_, i));
      for (const std::uint32_t hash : hashes) {
        auto& files = by_hash_[hash];
        if (files.size() < kMaxFilesPerHash) files.push_back(i);
      }
      ++sketched;
    }
    return {};
  }

  Result<void> choose(std::uint32_t index) {
    const Entry& entry = target_.entries[index];
    SEGUE_ASSIGN(const auto hashes, sketch(target_, target_files_, index));
    std::map<std::uint32_t, std::size_t> common;
    for (const std::uint32_t hash : hashes) {
      const auto found = by_hash_.find(hash);
      if (found == by_hash_.end()) continue;
      for (const std::uint32_t file : found->second) ++common[file];
    }
    const std::size_t needed = std::min(kMinCommon, hashes.size());
    std::size_t best_score = 0;
    for (const auto& [file, count] : common) {
      if (count < needed) continue;
      const std::size_t letters = std::min<std::size_t>(
          shared_letters(file_name(base_.entries[file].path), file_name(entry.path)), 999);
      const std::size_t score = count * 1000 + letters + 1;
      if (score > best_score) {
        best_score = score;
        sources_[index] = {SourceKind::patched, file};
      }
    }
    return {};
  }

  const Manifest& base_;
  TreeReader& base_files_;
  const Manifest& target_;
  TreeReader& target_files_;
  std::vector<ContentSource> sources_;
  std::unordered_map<std::uint32_t, std::vector<std::uint32_t>> by_hash_;
};

}  // namespace

std::vector<std::uint32_t> sketch_of(ByteView bytes) {
  // One place of 32 is looked at.
  constexpr int kSampleBits = 5;
  std::vector<std::uint32_t> heap;  // the largest of the smallest on top
  std::uint64_t hash = 0;
  std::size_t seen = 0;
  for (const std::uint8_t byte : bytes) {
    // Of the last 32 bytes: higher shifts leave the word's lower half.
    hash = (hash << 1) + kGear[byte];
    if (++seen < 32 && seen < bytes.size()) continue;
    const auto last = static_cast<std::uint32_t>(hash);
    if (last >> (32 - kSampleBits) != 0 && bytes.size() > 1024) continue;
    const auto value = static_cast<std::uint32_t>(last * 0x9e3779b97f4a7c15 >> 32);
    if (heap.size() == kSketchHashes && value >= heap.front()) continue;
    if (std::find(heap.begin(), heap.end(), value) != heap.end()) continue;
    if (heap.size() == kSketchHashes) {
      std::pop_heap(heap.begin(), heap.end());
      heap.pop_back();
    }
    heap.push_back(value);
    std::push_heap(heap.begin(), heap.end());
  }
  std::sort(heap.begin(), heap.end());
  return heap;
}

Result<std::vector<ContentSource>> pair_files(const Manifest& base, TreeReader& base_files,
                                              const Manifest& target, TreeReader& target_files) {
  return Pairing(base, base_files, target, target_files).run();
}

}  // namespace segue::delta
