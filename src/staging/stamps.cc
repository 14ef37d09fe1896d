// SPDX-License-Identifier: Apache-2.0
#include "staging/stamps.h"

#include "delta/bytes.h"
#include "delta/digest.h"

namespace segue::staging {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using delta::load_u64;
using delta::store_u64;

constexpr std::string_view kMagic = "SEGSTMP\x01";
constexpr std::size_t kStampBytes = 32;

}  // namespace

std::string encode_stamps(const std::vector<tree::FileStamp>& stamps) {
  delta::Bytes bytes(kMagic.size() + kStampBytes * stamps.size());
  kMagic.copy(reinterpret_cast<char*>(bytes.data()), kMagic.size());
  std::uint8_t* at = bytes.data() + kMagic.size();
  for (const tree::FileStamp& stamp : stamps) {
    store_u64(at, stamp.inode);
    store_u64(at + 8, stamp.size_bytes);
    store_u64(at + 16, static_cast<std::uint64_t>(stamp.modified_ns));
    store_u64(at + 24, static_cast<std::uint64_t>(stamp.changed_ns));
    at += kStampBytes;
  }
  const delta::Digest digest = delta::digest_of(bytes);
  std::string text(delta::text_of(bytes));
  return text.append(delta::text_of(digest.bytes));
}

Result<std::vector<tree::FileStamp>> decode_stamps(std::string_view bytes) {
  const std::size_t frame_bytes = kMagic.size() + delta::Digest::kBytes;
  if (bytes.size() < frame_bytes || !bytes.starts_with(kMagic) ||
      (bytes.size() - frame_bytes) % kStampBytes != 0) {
    return fail(ErrorCode::data_loss, "this is no file of stamps");
  }
  const std::string_view content = bytes.substr(0, bytes.size() - delta::Digest::kBytes);
  const delta::Digest digest = delta::digest_of(delta::view_of(content));
  if (delta::text_of(digest.bytes) != bytes.substr(content.size())) {
    return fail(ErrorCode::data_loss, "the file of stamps is damaged");
  }
  std::vector<tree::FileStamp> stamps((content.size() - kMagic.size()) / kStampBytes);
  const std::uint8_t* at = delta::view_of(content).data() + kMagic.size();
  for (tree::FileStamp& stamp : stamps) {
    stamp.inode = load_u64(at);
    stamp.size_bytes = load_u64(at + 8);
    stamp.modified_ns = static_cast<std::int64_t>(load_u64(at + 16));
    stamp.changed_ns = static_cast<std::int64_t>(load_u64(at + 24));
    at += kStampBytes;
  }
  return stamps;
}

}  // namespace segue::staging
