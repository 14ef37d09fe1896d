// SPDX-License-Identifier: Apache-2.0
// A delta from a mirror, applied to a small tree; its base root is set right, so that what is
// behind it is reached. It never writes more than was announced, nor outside of what it announced
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

class Text final : public delta::FileBytes {
 public:
  explicit Text(delta::ByteView bytes) : bytes_(bytes) {}
  [[nodiscard]] delta::ByteView bytes() const override { return bytes_; }

 private:
  delta::ByteView bytes_;
};

class Base final : public delta::TreeReader {
 public:
  Base() {
    for (std::size_t i = 0; i < program_.size(); ++i) {
      program_[i] = static_cast<std::uint8_t>(i % 7 == 0 ? 0xe8 : i * i);
    }
    manifest.entries = {
        {.type = delta::EntryType::directory, .mode = 0755}, {.path = "program"}, {.path = "text"}};
    for (std::size_t i = 1; i < 3; ++i) {
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
    return delta::view_of("what the base has, in one line, and in another line\n"sv);
  }
  delta::Bytes program_ = delta::Bytes(4096);
};

class Judge final : public delta::TreeWriter {
 public:
  Result<void> begin(const delta::Manifest& target) override {
    manifest_ = target;
    return delta::check(target);
  }
  Result<void> reuse(std::size_t target_entry, std::size_t base_entry) override {
    if (base_entry >= 3 || base_entry == 0) abort();
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

  delta::Manifest manifest_;
  std::size_t last_ = 0;
  std::uint64_t file_bytes_ = 0;
  std::uint64_t total_bytes_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Base base;
  constexpr std::size_t kBaseRootAt = 5;
  delta::Bytes bytes(data, data + size);
  if (bytes.size() >= delta::DeltaHeader::kMinBytes) {
    std::ranges::copy(base.root.bytes, bytes.begin() + kBaseRootAt);
  }
  const auto header = delta::read_header(bytes);
  if (!header) return 0;
  Judge judge;
  const auto made = delta::apply_delta(bytes, base.manifest, base, header->target_root,
                                       {.max_target_bytes = kMaxTargetBytes}, judge);
  if (made && delta::root_of(*made) != header->target_root) abort();
  return 0;
}
