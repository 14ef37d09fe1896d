// SPDX-License-Identifier: Apache-2.0
#include "confine/verified_program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <utility>

#include "crypto/digest.h"

namespace segue::confine {
namespace {

using base::errno_error;
using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kChunkBytes = std::size_t{64} << 10;
constexpr std::string_view kScript = "#!";
constexpr std::pair kNamesByFile(6, 14);  // Linux

std::string directory_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}
std::string name_of(const std::string& path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0
}

// Its digest; `begin` gets what it begins with.
Result<std::string> read_through(int fd, const std::string& path, std::string& begin) {
  crypto::Digest digest(crypto::HashAlgorithm::sha256);
  std::array<char, kChunkBytes> chunk{};
  off_t offset = 0;
  for (;;) {
    const ssize_t count = ::pread(fd, chunk.data(), chunk.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail(errno_error("read " + path, errno));
    if (count == 0) return "sha256:" + crypto::to_hex(std::move(digest).finish());
    const std::string_view bytes(chunk.data(), static_cast<std::size_t>(count));
    if (offset == 0) begin = bytes.substr(0, kScript.size());
    digest.update(bytes);
    offset += count;
  }
}

std::vector<char*> argv_of(std::vector<std::string>& words) {
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  return argv;
}

}  // namespace

Result<VerifiedProgram> open_verified(const std::string& path, const std::string& digest) {
  VerifiedProgram program{.directory = {}, .file = {}, .path = path};
  program.directory.reset(::open(directory_of(path).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!program.directory) return fail(errno_error("open " + directory_of(path), errno));
  program.file.reset(::openat(program.directory.get(), name_of(path).c_str(),
                              O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!program.file) return fail(errno_error("open " + path, errno));
  struct stat status{};
  if (::fstat(program.file.get(), &status) != 0) return fail(errno_error("stat " + path, errno));
  if (!S_ISREG(status.st_mode)) {
    return fail(ErrorCode::failed_precondition, "{} is no regular file", path);
  }
  std::string begin;
  SEGUE_ASSIGN(const std::string found, read_through(program.file.get(), path, begin));
  if (found != digest) {
    return fail(ErrorCode::data_loss,
                "{} is not what was verified: it has the digest {}, and not {}; `segue verify` of "
                "its place says what else was changed, staging its release again mends it",
                path, found, digest);
  }
  program.is_script = begin == kScript;
  return program;
}

StartBy start_by(std::string_view kernel_release) {
  int major = 0;
  int minor = 0;
  const char* const begin = kernel_release.data();
  const char* const end = begin + kernel_release.size();
  const auto [dot, error] = std::from_chars(begin, end, major);
  if (error != std::errc() || dot == end || *dot != '.') return StartBy::name;
  if (std::from_chars(dot + 1, end, minor).ec != std::errc()) return StartBy::name;
  return std::pair(major, minor) >= kNamesByFile ? StartBy::descriptor : StartBy::name;
}

base::Error become(const VerifiedProgram& program, StartBy by, std::vector<std::string> words) {
  if (program.is_script) return become(program.path, std::move(words));
  const auto argv = argv_of(words);
  if (by == StartBy::descriptor) {
    ::execveat(program.file.get(), "", argv.data(), environ, AT_EMPTY_PATH);
  } else {
    ::execveat(program.directory.get(), name_of(program.path).c_str(), argv.data(), environ, 0);
  }
  return errno_error("start " + program.path, errno);
}

base::Error become(const std::string& path, std::vector<std::string> words) {
  ::execv(path.c_str(), argv_of(words).data());
  return errno_error("start " + path, errno);
}

}  // namespace segue::confine
