// SPDX-License-Identifier: Apache-2.0
#include "cli/helper_program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>

#include "os/files.h"
#include "os/process.h"

namespace segue::cli {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

constexpr int kAnswerLimitMs = 60'000;  // of one that asks a busy engine
constexpr std::size_t kMaxAnswerBytes = std::size_t{64} << 10;

}  // namespace

Result<HelperAnswer> ask_helper(const std::vector<std::string>& words) {
  std::array<int, 2> ends{-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail(base::errno_error("make a pipe", errno));
  const os::UniqueFd read_end(ends[0]);
  os::UniqueFd write_end(ends[1]);
  os::SpawnOptions options{.argv = words, .fds = {{write_end.get(), 1}}, .ends_with_parent = true};
  for (char** each = environ; *each != nullptr; ++each) options.env.emplace_back(*each);
  SEGUE_ASSIGN(const os::Child child, os::spawn(options));
  write_end.reset();
  HelperAnswer told;
  std::array<char, 4'096> buffer{};
  for (pollfd entry{read_end.get(), POLLIN, 0}; ::poll(&entry, 1, kAnswerLimitMs) == 1;) {
    const ssize_t size = ::read(read_end.get(), buffer.data(), buffer.size());
    if (size <= 0) break;
    told.text.append(buffer.data(), static_cast<std::size_t>(size));
    if (told.text.size() > kMaxAnswerBytes) break;
  }
  SEGUE_ASSIGN(const auto status,
               os::wait_for_exit(child.pidfd, std::chrono::milliseconds(kAnswerLimitMs)));
  if (!status) return fail(ErrorCode::deadline_exceeded, "{} does not answer", words.front());
  told.exit_code = status->signal != 0 ? 128 + status->signal : status->exit_code;
  while (!told.text.empty() && told.text.back() == '\n') told.text.pop_back();
  return told;
}

Result<void> make_start_link(const std::string& path, const std::string& helper) {
  SEGUE_TRY(os::ensure_private_directory(std::filesystem::path(path).parent_path().string()));
  const std::string fresh = fmt::format("{}.{}", path, ::getpid());
  ::unlink(fresh.c_str());
  if (::symlink(helper.c_str(), fresh.c_str()) == 0 && ::rename(fresh.c_str(), path.c_str()) == 0) {
    return {};
  }
  const int error = errno;
  ::unlink(fresh.c_str());
  return fail(base::errno_error("--start-link " + path, error));
}

}  // namespace segue::cli
