// SPDX-License-Identifier: Apache-2.0
#include "staging/downloads.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <vector>

#include "fetch/metadata_updater.h"
#include "os/unique_fd.h"

namespace segue::staging {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using os::UniqueFd;

constexpr std::size_t kReadBytes = std::size_t{256} << 10;
constexpr int kMaxConnections = 16;  // for one object
constexpr std::chrono::seconds kPatience{60};

// Feeds what is there to `hasher`, and leaves the offset behind it. Its size.
Result<std::uint64_t> hash_file(int fd, const std::string& path, delta::Hasher& hasher) {
  std::vector<std::uint8_t> buffer(kReadBytes);
  std::uint64_t size = 0;
  while (true) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(base::errno_error("read " + path, errno));
    if (got == 0) return size;
    hasher.add({buffer.data(), static_cast<std::size_t>(got)});
    size += static_cast<std::uint64_t>(got);
  }
}

Result<void> write_all(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail(base::errno_error("write " + path, errno));
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

bool is_object(const std::string& path, const library::ObjectRef& object) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat status{};
  if (!fd || ::fstat(fd.get(), &status) != 0 ||
      static_cast<std::uint64_t>(status.st_size) != object.length) {
    return false;
  }
  delta::Hasher hasher;
  return hash_file(fd.get(), path, hasher) && hasher.finish() == object.sha256;
}

}  // namespace

Result<std::string> Downloads::fetch(const library::ObjectRef& object) {
  const std::string path = settings_.directory + "/" + object.sha256.hex();
  if (is_object(path, object)) {
    expected_bytes_ -= std::min(expected_bytes_, object.length);
    return path;
  }
  ::unlink(path.c_str());
  const std::string part = path + ".part";
  Result<void> done = fetch_whole(object, part);
  if (!done && done.error().code() == ErrorCode::data_loss) {
    is_doubted_ = true;
    done = fetch_whole(object, part);
    is_doubted_ = false;
  }
  if (!done) return fail(std::move(done).error());
  if (std::rename(part.c_str(), path.c_str()) != 0) {
    return fail(base::errno_error("rename " + part, errno));
  }
  return path;
}

Result<void> Downloads::fetch_whole(const library::ObjectRef& object, const std::string& part) {
  bool restarted = false;
  for (int connection = 1;; ++connection) {
    const std::uint64_t before = fetched_bytes_;
    auto done = fetch_rest(object, part);
    if (done) return done;
    const ErrorCode code = done.error().code();
    if (code == ErrorCode::failed_precondition && !restarted && ::unlink(part.c_str()) == 0) {
      restarted = true;  // the server cannot go on in the middle, or has no more of it
      continue;
    }
    const bool broke = code == ErrorCode::unavailable || code == ErrorCode::deadline_exceeded;
    if (!broke || fetched_bytes_ == before || connection == kMaxConnections) return done;
  }
}

Result<void> Downloads::fetch_rest(const library::ObjectRef& object, const std::string& part) {
  const UniqueFd fd(::open(part.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return fail(base::errno_error("open " + part, errno));
  delta::Hasher hasher;
  SEGUE_ASSIGN(std::uint64_t size, hash_file(fd.get(), part, hasher));
  if (size < object.length) {
    fetch::HttpRequest request{
        .url = fetch::join_url(settings_.url, library::object_path(object.sha256)),
        .limits = {},
        .first_byte = size,
        .byte_count = {},
        .fields = settings_.fields};
    const std::uint64_t left = std::max(expected_bytes_, object.length - size);
    request.fields.push_back("Segue-Left: " + std::to_string(left));
    if (is_doubted_) request.fields.emplace_back("Cache-Control: no-cache");
    request.limits.max_bytes = object.length - size;
    request.limits.max_bytes_per_second = settings_.max_bytes_per_second;
    request.limits.total =
        kPatience + std::chrono::seconds((object.length - size) / settings_.min_bytes_per_second);
    const auto take = [&](std::string_view bytes) -> Result<void> {
      SEGUE_TRY(write_all(fd.get(), bytes, part));
      hasher.add(delta::view_of(bytes));
      size += bytes.size();
      fetched_bytes_ += bytes.size();
      expected_bytes_ -= std::min<std::uint64_t>(expected_bytes_, bytes.size());
      if (settings_.on_bytes) settings_.on_bytes(bytes.size());
      return {};
    };
    SEGUE_TRY(http_.get(request, take));
  }
  if (size < object.length) {
    return fail(ErrorCode::unavailable, "object {} ended after {} of {} bytes", object.sha256.hex(),
                size, object.length);
  }
  if (size == object.length && hasher.finish() == object.sha256) return {};
  ::unlink(part.c_str());
  return fail(ErrorCode::data_loss, "object {} came with {} bytes that are not it",
              object.sha256.hex(), size);
}

}  // namespace segue::staging
