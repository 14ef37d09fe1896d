// SPDX-License-Identifier: Apache-2.0
#include "keeper/output_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <system_error>

#include "os/files.h"

namespace segue::keeper {
namespace {

constexpr std::string_view kHead = "output.";
constexpr std::string_view kTail = ".log";

Generation generation_of(std::string_view name) {
  if (!name.starts_with(kHead) || !name.ends_with(kTail)) return 0;
  name.remove_prefix(kHead.size());
  name.remove_suffix(kTail.size());
  Generation generation = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), generation);
  return error == std::errc() && end == name.data() + name.size() ? generation : 0;
}

}  // namespace

std::string OutputFiles::path_of(Generation generation) const {
  return fmt::format("{}{}{}", prefix(), generation, kTail);
}

std::vector<Generation> OutputFiles::generations() const {
  std::vector<Generation> found;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory_, error), end; !error && entry != end;
       entry.increment(error)) {
    const Generation generation = generation_of(entry->path().filename().string());
    if (generation != 0) found.push_back(generation);
  }
  std::sort(found.begin(), found.end());
  return found;
}

Generation OutputFiles::last_generation() const {
  const auto found = generations();
  return found.empty() ? 0 : found.back();
}

base::Result<os::UniqueFd> OutputFiles::open(Generation generation) {
  auto old = generations();
  while (old.size() >= kMaxFiles) {
    std::error_code ignored;
    std::filesystem::remove(path_of(old.front()), ignored);
    std::filesystem::remove(path_of(old.front()) + ".1", ignored);
    old.erase(old.begin());
  }
  const std::string path = path_of(generation);
  os::UniqueFd fd(
      ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return base::fail(base::errno_error("open " + path, errno));
  return fd;
}

void OutputFiles::trim(Generation generation) const {
  const std::string path = path_of(generation);
  const os::UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  struct stat status{};
  if (!fd || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) return;
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size <= kMaxBytes) return;
  std::string newest(kMaxBytes / 2, '\0');
  const ssize_t got =
      ::pread(fd.get(), newest.data(), newest.size(), static_cast<off_t>(size - newest.size()));
  // Instances append, so what they write next begins at the start again.
  if (::ftruncate(fd.get(), 0) != 0) return;
  if (got <= 0) return;
  newest.resize(static_cast<std::size_t>(got));
  std::error_code ignored;
  std::filesystem::remove(path + ".1", ignored);
  (void)os::append_to_file(path + ".1", newest, os::Durability::buffered);
}

}  // namespace segue::keeper
