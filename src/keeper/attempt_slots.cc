// SPDX-License-Identifier: Apache-2.0
#include "keeper/attempt_slots.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <sstream>

#include "os/files.h"

namespace segue::keeper {
namespace {

using base::fail;
using base::Result;

constexpr std::size_t kMaxHolderBytes = 256;

}  // namespace

std::string AttemptSlots::path_of(std::uint32_t slot) const {
  return fmt::format("{}/slot.{}", directory_, slot);
}

Result<std::optional<os::UniqueFd>> AttemptSlots::take(std::uint32_t count,
                                                       const Holder& holder) const {
  SEGUE_TRY(os::ensure_private_directory(directory_));
  for (std::uint32_t slot = 0; slot < std::min(count, kMaxSlots); ++slot) {
    const std::string path = path_of(slot);
    os::UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd) return fail(base::errno_error("open " + path, errno));
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) continue;
    const std::string text =
        fmt::format("{} {} {}\n", holder.name, holder.pid, holder.promised_bytes);
    // Only for those that wait and those that add up: the lock is what counts.
    if (::ftruncate(fd.get(), 0) != 0 || ::pwrite(fd.get(), text.data(), text.size(), 0) < 0) {
      return fail(base::errno_error("write " + path, errno));
    }
    return std::optional<os::UniqueFd>(std::move(fd));
  }
  return std::optional<os::UniqueFd>();
}

std::vector<AttemptSlots::Holder> AttemptSlots::holders() const {
  std::vector<Holder> found;
  for (std::uint32_t slot = 0; slot < kMaxSlots; ++slot) {
    const std::string path = path_of(slot);
    const os::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd) continue;
    if (::flock(fd.get(), LOCK_SH | LOCK_NB) == 0) continue;  // free
    std::istringstream words(os::read_file(path, kMaxHolderBytes).value_or(""));
    Holder holder;
    if (words >> holder.name >> holder.pid >> holder.promised_bytes) found.push_back(holder);
  }
  return found;
}

}  // namespace segue::keeper
