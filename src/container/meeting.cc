// SPDX-License-Identifier: Apache-2.0
#include "container/meeting.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "handoff/fields.h"
#include "handoff/link.h"
#include "os/files.h"
#include "os/unix_socket.h"

namespace segue::container {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
namespace fs = std::filesystem;

// Those above it are the keeper's user's alone.
constexpr mode_t kFolderMode = 0755;
constexpr mode_t kSocketMode = 0666;

Result<void> set_mode(const std::string& path, mode_t mode) {
  if (::chmod(path.c_str(), mode) == 0) return {};
  return fail(base::errno_error("chmod " + path, errno));
}

// "pid:[4026531836]"; empty: there is no such process.
std::string pid_namespace_of(pid_t pid) {
  std::error_code error;
  return fs::read_symlink(fmt::format("/proc/{}/ns/pid", pid), error).string();
}

std::string names_of_inheritance() {
  std::string names;
  handoff::append_batch_entry(names, "keeper", {});
  handoff::append_batch_entry(names, "lock", {});
  segue_writer out;
  handoff::put_field(out, 1, names);
  return std::move(out.fields);
}

}  // namespace

Result<Meeting> Meeting::open(const Place& place) {
  SEGUE_TRY(os::ensure_private_directory(place.folder));
  SEGUE_TRY(os::ensure_private_directory(place.rendezvous_folder()));
  const std::string folder = place.meeting_folder();
  std::error_code ignored;
  fs::remove_all(folder, ignored);  // of an earlier keeper that counted from 1
  const std::string path = fmt::format("{}/{}", folder, kMeetingSocket);
  SEGUE_ASSIGN(auto listener, os::listen_unix(path, os::SocketType::seqpacket));
  SEGUE_TRY(set_mode(path, kSocketMode));
  SEGUE_TRY(set_mode(folder, kFolderMode));
  return Meeting(folder, std::move(listener));
}

Result<Meeting::Came> Meeting::receive(pid_t first_process, Inheritance& inheritance) {
  SEGUE_ASSIGN(auto accepted, os::accept_unix(listener_));
  if (!accepted) return Came::nobody;
  SEGUE_ASSIGN(const auto peer, os::peer_credentials(*accepted));
  const std::string wanted = pid_namespace_of(first_process);
  const bool is_of_container = peer.pid > 0 && !wanted.empty() &&
                               (peer.pid == first_process || pid_namespace_of(peer.pid) == wanted);
  if (!is_of_container) return Came::stranger;
  // First the mark: who finds it and nobody else does not kill what may serve.
  SEGUE_TRY(os::write_file_atomically(fmt::format("{}/{}", folder_, kGivenMark), "", 0600,
                                      os::Durability::buffered));
  handoff::Link link(handoff::UniqueFd(accepted->release()));
  const std::array fds = {inheritance.channel.get(), inheritance.lock.get()};
  const auto sent = link.send(handoff::FrameType::keeper_channel, names_of_inheritance(), fds);
  if (!sent.ok() || link.congested()) {
    return fail(ErrorCode::unavailable, "the instance went away as it was given the channel");
  }
  inheritance.channel.reset();
  inheritance.lock.reset();
  return Came::instance;
}

void Meeting::close() {
  listener_.reset();
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

}  // namespace segue::container
