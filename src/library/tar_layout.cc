// SPDX-License-Identifier: Apache-2.0
#include "library/tar_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "base/assert.h"

namespace segue::library {
namespace {

using base::Result;
using delta::Bytes;
using delta::ByteView;

// Fields of a header.
constexpr std::size_t kNameBytes = 100;
constexpr std::size_t kModeAt = 100;
constexpr std::size_t kUserAt = 108;
constexpr std::size_t kGroupAt = 116;
constexpr std::size_t kSizeAt = 124;
constexpr std::size_t kSizeBytes = 12;
constexpr std::size_t kTimeAt = 136;
constexpr std::size_t kChecksumAt = 148;
constexpr std::size_t kChecksumBytes = 8;
constexpr std::size_t kTypeAt = 156;
constexpr std::size_t kMagicAt = 257;
constexpr std::size_t kPrefixAt = 345;
constexpr std::size_t kPrefixBytes = 155;
// Longer names and pax records than these are not looked into.
constexpr std::uint64_t kMaxExtensionBytes = std::uint64_t{1} << 20;

std::string_view text_at(ByteView block, std::size_t at, std::size_t size) {
  const std::string_view field = delta::text_of(block.subspan(at, size));
  return field.substr(0, field.find('\0'));
}

std::optional<std::uint64_t> number_at(ByteView block, std::size_t at, std::size_t size) {
  const ByteView field = block.subspan(at, size);
  if ((field[0] & 0x80U) != 0) {  // GNU: big-endian
    std::uint64_t number = field[0] & 0x7fU;
    for (const std::uint8_t byte : field.subspan(1)) {
      if (number >> 55 != 0) return std::nullopt;
      number = number << 8 | byte;
    }
    return number;
  }
  std::string_view digits = text_at(block, at, size);
  while (digits.starts_with(' ')) digits.remove_prefix(1);
  while (digits.ends_with(' ')) digits.remove_suffix(1);
  if (digits.empty()) return 0;
  std::uint64_t number = 0;
  const auto [read, problem] =
      std::from_chars(digits.data(), digits.data() + digits.size(), number, 8);
  if (problem != std::errc() || read != digits.data() + digits.size()) return std::nullopt;
  return number;
}

std::uint64_t checksum_of(ByteView block) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < kTarBlockBytes; ++i) {
    const bool counts_as_space = i >= kChecksumAt && i < kChecksumAt + kChecksumBytes;
    sum += counts_as_space ? std::uint8_t{' '} : block[i];
  }
  return sum;
}

// What pax records and GNU's long names say of the next entry.
struct Extension {
  std::optional<std::string> path;
  std::optional<std::uint64_t> size_bytes;
};

// "LENGTH KEY=VALUE\n" each.
void read_pax(std::string_view records, Extension& extension) {
  while (!records.empty()) {
    std::size_t length = 0;
    const auto [digits_end, problem] =
        std::from_chars(records.data(), records.data() + records.size(), length);
    const auto digits = static_cast<std::size_t>(digits_end - records.data());
    if (problem != std::errc() || length < digits + 2 || length > records.size()) return;
    const std::string_view record = records.substr(digits + 1, length - digits - 2);
    records.remove_prefix(length);
    const std::size_t equals = record.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view value = record.substr(equals + 1);
    if (record.substr(0, equals) == "path") extension.path = value;
    if (record.substr(0, equals) == "size") {
      std::uint64_t size = 0;
      std::from_chars(value.data(), value.data() + value.size(), size);
      extension.size_bytes = size;
    }
  }
}

std::string path_of(ByteView block) {
  const std::string name(text_at(block, 0, kNameBytes));
  const std::string prefix(delta::text_of(block.subspan(kMagicAt, 6)) ==
                                   std::string_view("ustar\0", 6)
                               ? text_at(block, kPrefixAt, kPrefixBytes)
                               : std::string_view());
  return prefix.empty() ? name : prefix + "/" + name;
}

class Walker {
 public:
  Walker(const ReadAt& read, std::uint64_t size_bytes) : read_(read), size_bytes_(size_bytes) {}

  Result<std::vector<TarPiece>> run() {
    bool goes_on = true;
    while (goes_on && at_ + kTarBlockBytes <= size_bytes_) {
      SEGUE_ASSIGN(const Bytes block, read_(at_, kTarBlockBytes));
      if (std::ranges::all_of(block, [](std::uint8_t byte) { return byte == 0; })) {
        add(kTarBlockBytes, false, "");
        continue;
      }
      SEGUE_ASSIGN(goes_on, entry(block));
    }
    if (at_ < size_bytes_) {
      const std::uint64_t left = size_bytes_ - at_;
      add(left, goes_on && left < kTarBlockBytes ? false : true, "");
    }
    return std::move(pieces_);
  }

 private:
  // False: it is none.
  Result<bool> entry(const Bytes& block) {
    auto size = number_at(block, kSizeAt, kSizeBytes);
    if (!is_tar_header(block) || !size) return false;
    const char type = static_cast<char>(block[kTypeAt]);
    const bool extends = type == 'x' || type == 'g' || type == 'L' || type == 'K';
    if (!extends && extension_.size_bytes) size = extension_.size_bytes;
    const bool is_link_or_node = type >= '1' && type <= '6';
    if (is_link_or_node) size = 0;
    const std::uint64_t room = size_bytes_ - at_ - kTarBlockBytes;
    // GNU's sparse files may have more headers before their content.
    if (*size > room || type == 'S') return false;
    add(kTarBlockBytes, false, "");
    if (extends) {
      SEGUE_TRY(extend(type, *size));
    } else {
      const bool is_file = type == '0' || type == '\0' || type == '7';
      add(*size, is_file, is_file ? extension_.path.value_or(path_of(block)) : "");
      extension_ = {};
    }
    const std::uint64_t padding = (kTarBlockBytes - *size % kTarBlockBytes) % kTarBlockBytes;
    add(std::min(padding, size_bytes_ - at_), false, "");
    return true;
  }

  Result<void> extend(char type, std::uint64_t size) {
    if ((type == 'x' || type == 'L') && size <= kMaxExtensionBytes) {
      SEGUE_ASSIGN(const Bytes bytes, read_(at_, static_cast<std::size_t>(size)));
      const std::string_view text = delta::text_of(bytes);
      if (type == 'x') {
        read_pax(text, extension_);
      } else {
        extension_.path = text.substr(0, text.find('\0'));
      }
    }
    add(size, false, "");
    return {};
  }

  void add(std::uint64_t size, bool is_content, std::string path) {
    if (size == 0) return;
    if (!is_content && !pieces_.empty() && !pieces_.back().is_content) {
      pieces_.back().size_bytes += size;
    } else {
      pieces_.push_back({at_, size, is_content, std::move(path)});
    }
    at_ += size;
  }

  const ReadAt& read_;
  std::uint64_t size_bytes_;
  std::uint64_t at_ = 0;
  Extension extension_;
  std::vector<TarPiece> pieces_;
};

}  // namespace

bool is_tar_header(ByteView block) {
  return block.size() >= kTarBlockBytes &&
         number_at(block, kChecksumAt, kChecksumBytes) == checksum_of(block);
}

Result<std::vector<TarPiece>> tar_layout(const ReadAt& read, std::uint64_t size_bytes) {
  return Walker(read, size_bytes).run();
}

Bytes tar_header(const std::string& path, std::uint64_t size_bytes) {
  SEGUE_ASSERT(path.size() <= kNameBytes);
  Bytes block(kTarBlockBytes);
  const auto put = [&](std::size_t at, std::string_view text) {
    std::ranges::copy(text, block.begin() + static_cast<std::ptrdiff_t>(at));
  };
  put(0, path);
  put(kModeAt, "0000644");
  put(kUserAt, "0000000");
  put(kGroupAt, "0000000");
  if (size_bytes < std::uint64_t{1} << 33) {
    put(kSizeAt, fmt::format("{:011o}", size_bytes));
  } else {
    block[kSizeAt] = 0x80;
    for (std::size_t i = 0; i < 8; ++i) {
      block[kSizeAt + kSizeBytes - 1 - i] = static_cast<std::uint8_t>(size_bytes >> (8 * i));
    }
  }
  put(kTimeAt, "00000000000");
  put(kMagicAt, std::string_view("ustar\00000", 8));
  block[kTypeAt] = '0';
  put(kChecksumAt, fmt::format("{:06o}", checksum_of(block)));
  block[kChecksumAt + 7] = ' ';
  return block;
}

}  // namespace segue::library
