// SPDX-License-Identifier: Apache-2.0
// A delta from a mirror, applied to a small tree; its base root is set right, so that what is
// behind it is reached. The tree has archives when the delta's version says that it has. It never
// writes more than was announced, nor outside of what it announced
// itself.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "delta/delta.h"

namespace {

namespace delta = segue::delta;
using segue::base::Result;

constexpr std::uint64_t kMaxTargetBytes = 256 * 1024;

// A zip member and a gzip file, each of two lines of text.
constexpr std::uint8_t kPacked[] = {
    // clang-format off
    0x50, 0x4b, 0x03, 0x04, 0x14, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x21, 0x5a, 0x78, 0x2a,
    0xd1, 0xcf, 0x43, 0x00, 0x00, 0x00, 0x63, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x6d, 0x2b,
    0xcf, 0x48, 0x2c, 0x51, 0x28, 0xc9, 0x48, 0x55, 0x48, 0x4a, 0x2c, 0x4e, 0x55, 0xc8, 0x48, 0x2c,
    0x56, 0x28, 0x48, 0x4c, 0xce, 0x4e, 0x4d, 0xd1, 0x51, 0xc8, 0xcc, 0x53, 0xc8, 0xcf, 0x4b, 0x55,
    0xc8, 0xc9, 0xcc, 0x4b, 0xd5, 0x51, 0x48, 0xcc, 0x4b, 0x01, 0x09, 0x24, 0xe6, 0xe5, 0x03, 0xd5,
    0x16, 0x81, 0x05, 0xb9, 0x40, 0x62, 0xe5, 0x38, 0xb4, 0x83, 0x15, 0x03, 0x25, 0x32, 0x8b, 0x52,
    0xb8, 0x00, 0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0xe3, 0x4a, 0x29, 0xca,
    0xcc, 0x28, 0x51, 0x48, 0x54, 0xc8, 0xcb, 0x54, 0x48, 0x49, 0xcd, 0x4e, 0x4e, 0x2c, 0x50, 0x28,
    0x4e, 0xcc, 0x50, 0x48, 0x2d, 0x4e, 0x4c, 0x52, 0x48, 0x05, 0x4a, 0x94, 0x24, 0x66, 0x94, 0x2b,
    0xa4, 0xe4, 0x25, 0x72, 0xa5, 0xe6, 0x65, 0xe6, 0x28, 0x14, 0x01, 0x85, 0xf2, 0xf3, 0x20, 0x8a,
    0x81, 0x94, 0x0e, 0x58, 0x30, 0x35, 0x2f, 0x1f, 0x24, 0xa0, 0x83, 0x4b, 0x3b, 0x00, 0x0e, 0x86,
    0xe9, 0x65, 0x63, 0x00, 0x00, 0x00,
    // clang-format on
};

class Text final : public delta::FileBytes {
 public:
  explicit Text(delta::ByteView bytes) : bytes_(bytes) {}
  [[nodiscard]] delta::ByteView bytes() const override { return bytes_; }

 private:
  delta::ByteView bytes_;
};

class Base final : public delta::TreeReader {
 public:
  explicit Base(bool has_archive) {
    for (std::size_t i = 0; i < program_.size(); ++i) {
      program_[i] = static_cast<std::uint8_t>(i % 7 == 0 ? 0xe8 : i * i);
    }
    manifest.entries = {
        {.type = delta::EntryType::directory, .mode = 0755}, {.path = "program"}, {.path = "text"}};
    if (has_archive) manifest.entries.push_back({.path = "zip"});
    for (std::size_t i = 1; i < manifest.entries.size(); ++i) {
      manifest.entries[i].size_bytes = content(i).size();
      manifest.entries[i].content = delta::digest_of(content(i));
    }
    root = delta::root_of(manifest);
  }
  Result<std::unique_ptr<delta::FileBytes>> open(std::size_t entry) override {
    return std::make_unique<Text>(content(entry));
  }

  delta::Manifest manifest;
  delta::Digest root;

 private:
  [[nodiscard]] delta::ByteView content(std::size_t entry) const {
    using namespace std::string_view_literals;
    if (entry == 1) return program_;
    if (entry == 3) return kPacked;
    return delta::view_of("what the base has, in one line, and in another line\n"sv);
  }
  delta::Bytes program_ = delta::Bytes(4096);
};

class Judge final : public delta::TreeWriter {
 public:
  explicit Judge(std::size_t base_entries) : base_entries_(base_entries) {}
  Result<void> begin(const delta::Manifest& target) override {
    manifest_ = target;
    return delta::check(target);
  }
  Result<void> reuse(std::size_t target_entry, std::size_t base_entry) override {
    if (base_entry >= base_entries_ || base_entry == 0) abort();
    return next(target_entry);
  }
  Result<void> repeat(std::size_t target_entry, std::size_t earlier_entry) override {
    if (earlier_entry >= target_entry) abort();
    return next(target_entry);
  }
  Result<void> begin_file(std::size_t target_entry) override {
    file_bytes_ = 0;
    return next(target_entry);
  }
  Result<void> write(delta::ByteView bytes) override {
    file_bytes_ += bytes.size();
    total_bytes_ += bytes.size();
    if (file_bytes_ > manifest_.entries[last_].size_bytes || total_bytes_ > kMaxTargetBytes)
      abort();
    return {};
  }
  Result<void> end_file(std::size_t target_entry, const delta::Digest&) override {
    if (target_entry != last_ || file_bytes_ != manifest_.entries[last_].size_bytes) abort();
    return {};
  }

 private:
  Result<void> next(std::size_t target_entry) {
    if (target_entry <= last_ || target_entry >= manifest_.entries.size()) abort();
    if (manifest_.entries[target_entry].type != delta::EntryType::regular) abort();
    last_ = target_entry;
    return {};
  }

  std::size_t base_entries_;
  delta::Manifest manifest_;
  std::size_t last_ = 0;
  std::uint64_t file_bytes_ = 0;
  std::uint64_t total_bytes_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Base plain(false);
  static Base with_archive(true);
  constexpr std::size_t kVersionAt = 4;
  constexpr std::size_t kBaseRootAt = 5;
  Base& base = size > kVersionAt && data[kVersionAt] > 1 ? with_archive : plain;
  delta::Bytes bytes(data, data + size);
  if (bytes.size() >= delta::DeltaHeader::kMinBytes) {
    std::ranges::copy(base.root.bytes, bytes.begin() + kBaseRootAt);
  }
  const auto header = delta::read_header(bytes);
  if (!header) return 0;
  Judge judge(base.manifest.entries.size());
  const auto made = delta::apply_delta(bytes, base.manifest, base, header->target_root,
                                       {.max_target_bytes = kMaxTargetBytes}, judge);
  if (made && delta::root_of(*made) != header->target_root) abort();
  return 0;
}
