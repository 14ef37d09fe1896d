// SPDX-License-Identifier: Apache-2.0
#include "tree/contents.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>

#include "tree/attributes.h"

namespace segue::tree {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using delta::EntryType;

constexpr std::size_t kReadBytes = std::size_t{256} << 10;
constexpr std::uint64_t kProgressBytes = std::uint64_t{8} << 20;
constexpr unsigned kMaxThreads = 4;

class ContentReader {
 public:
  ContentReader(const Beneath& beneath, std::vector<Found>& files, const ReadOptions& options,
                const Progress& progress)
      : beneath_(beneath), files_(files), options_(options), progress_(progress) {
    for (std::size_t i = 0; i < files.size(); ++i) {
      const Found& file = files[i];
      if (file.entry.type != EntryType::regular || file.is_special) continue;
      if (options.wanted && !options.wanted(i)) continue;
      queue_.push_back(i);
      bytes_ += file.entry.size_bytes;
    }
  }

  void run() {
    std::vector<std::thread> helpers;
    for (unsigned i = 1; i < thread_count(); ++i) {
      helpers.emplace_back([this] { work(false); });
    }
    work(true);
    for (std::thread& helper : helpers) helper.join();
    report();
  }

 private:
  [[nodiscard]] unsigned thread_count() const {
    const unsigned asked = options_.threads != 0
                               ? options_.threads
                               : std::min(std::thread::hardware_concurrency(), kMaxThreads);
    return std::max(1U, std::min(asked, static_cast<unsigned>(queue_.size() / 2)));
  }

  void work(bool is_caller) {
    delta::Bytes buffer(kReadBytes);
    delta::Hasher hasher;
    while (!stopped_) {
      const std::size_t next = next_.fetch_add(1);
      if (next >= queue_.size()) return;
      Found& file = files_[queue_[next]];
      if (auto done = read(file, hasher, buffer, is_caller); !done) {
        hasher = delta::Hasher();
        file.error = std::move(done).error();
        if (options_.stop_at_error) stopped_ = true;
      }
      ++files_done_;
    }
  }

  Result<void> read(Found& file, delta::Hasher& hasher, delta::Bytes& buffer, bool is_caller) {
    delta::Entry& entry = file.entry;
    SEGUE_ASSIGN(const os::UniqueFd fd, beneath_.open(entry.path, O_RDONLY | O_NONBLOCK));
    SEGUE_ASSIGN(const struct stat before, beneath_.status(fd.get(), entry.path));
    if (!S_ISREG(before.st_mode) || stamp_of(before) != file.stamp) return changed(entry);
    SEGUE_ASSIGN(entry.holes, holes_of(fd.get(), entry.size_bytes, beneath_, entry.path));
    SEGUE_ASSIGN(entry.attributes, read_attributes(fd.get(), beneath_, entry.path));
    std::uint64_t left = entry.size_bytes;
    while (true) {
      const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return fail(beneath_.error("read", entry.path, errno));
      if (got == 0) break;
      const auto size = static_cast<std::uint64_t>(got);
      if (size > left) return changed(entry);
      left -= size;
      hasher.add({buffer.data(), static_cast<std::size_t>(got)});
      bytes_done_ += size;
      if (is_caller && bytes_done_ - reported_ >= kProgressBytes) report();
      if (stopped_) return {};
    }
    SEGUE_ASSIGN(const struct stat after, beneath_.status(fd.get(), entry.path));
    if (left != 0 || stamp_of(after) != file.stamp) return changed(entry);
    entry.content = hasher.finish();
    return {};
  }

  [[nodiscard]] tl::unexpected<base::Error> changed(const delta::Entry& entry) const {
    return fail(ErrorCode::aborted,
                "{}/{} changed while the tree was read: end what writes there, and try again",
                shown(beneath_.directory()), shown(entry.path));
  }

  void report() {
    reported_ = bytes_done_;
    if (!progress_) return;
    progress_({.files_done = files_done_,
               .files = queue_.size(),
               .bytes_done = bytes_done_,
               .bytes = bytes_});
  }

  const Beneath& beneath_;
  std::vector<Found>& files_;
  const ReadOptions& options_;
  const Progress& progress_;
  std::vector<std::size_t> queue_;
  std::uint64_t bytes_ = 0;
  std::uint64_t reported_ = 0;  // the caller's thread only
  std::atomic<std::size_t> next_ = 0;
  std::atomic<std::uint64_t> files_done_ = 0;
  std::atomic<std::uint64_t> bytes_done_ = 0;
  std::atomic<bool> stopped_ = false;
};

}  // namespace

void read_contents(const Beneath& beneath, std::vector<Found>& files, const ReadOptions& options,
                   const Progress& progress) {
  ContentReader(beneath, files, options, progress).run();
}

Result<std::vector<delta::Hole>> holes_of(int fd, std::uint64_t size_bytes, const Beneath& beneath,
                                          std::string_view path) {
  std::vector<delta::Hole> holes;
  const auto end = static_cast<off_t>(size_bytes);
  for (off_t at = 0; at < end && holes.size() < delta::kMaxHoles;) {
    const off_t hole = ::lseek(fd, at, SEEK_HOLE);
    // EINVAL: a filesystem that does not know holes; ENXIO: the file has shrunk, which is found
    // out by whoever reads on.
    if (hole < 0 && (errno == EINVAL || errno == ENXIO)) break;
    if (hole < 0) return fail(beneath.error("look for holes in", path, errno));
    if (hole >= end) break;
    off_t data = ::lseek(fd, hole, SEEK_DATA);
    if (data < 0 && errno != ENXIO) return fail(beneath.error("look for data in", path, errno));
    if (data < 0 || data > end) data = end;
    if (data <= hole) break;
    holes.push_back({.offset_bytes = static_cast<std::uint64_t>(hole),
                     .size_bytes = static_cast<std::uint64_t>(data - hole)});
    at = data;
  }
  if (::lseek(fd, 0, SEEK_SET) < 0) return fail(beneath.error("seek in", path, errno));
  return holes;
}

}  // namespace segue::tree
