// SPDX-License-Identifier: Apache-2.0
#include "handoff/lone_meeting.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "handoff/clock.h"
#include "handoff/entropy.h"
#include "handoff/fields.h"
#include "handoff/link.h"
#include "handoff/peer.h"

namespace segue::handoff {
namespace {

constexpr char kPredecessorSocket[] = "handoff.sock";
constexpr char kSuccessorSocket[] = "successor.sock";
constexpr int kBacklog = 4;

bool name_of(const std::string& path, sockaddr_un& name) {
  name = {};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof name.sun_path) return false;
  memcpy(name.sun_path, path.data(), path.size());
  return true;
}

}  // namespace

LoneMeeting::~LoneMeeting() {
  stop_listening();
}

Status LoneMeeting::check_directory() {
  const std::string& directory = options_.directory;
  for (const char* name : {kPredecessorSocket, kSuccessorSocket}) {
    sockaddr_un address{};
    if (!name_of(path(name), address)) {
      return Status::bad(SEGUE_INVALID,
                         path(name) +
                             " exceeds the 107 bytes of a socket's path: take a directory "
                             "with a shorter name");
    }
  }
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return Status::system("making the directory " + directory);
  }
  struct stat info{};
  if (lstat(directory.c_str(), &info) != 0) return Status::system("looking at " + directory);
  if (!S_ISDIR(info.st_mode) || info.st_uid != geteuid() || (info.st_mode & 077) != 0) {
    return Status::bad(SEGUE_REFUSED,
                       directory +
                           " must be a directory of this user with mode 0700: others "
                           "could take the service's connections");
  }
  return Status::good();
}

Status LoneMeeting::open(bool& first) {
  if (Status status = check_directory(); !status.ok()) return status;
  const std::string lock = path("owner.lock");
  lock_.reset(::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock_.valid()) return Status::system("opening " + lock);
  first = flock(lock_.get(), LOCK_EX | LOCK_NB) == 0;
  return Status::good();
}

Status LoneMeeting::write_nonce() {
  nonce_ = make_nonce();
  const std::string target = path("nonce");
  const std::string fresh = target + ".new";
  const UniqueFd file(
      ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return Status::system("writing " + fresh);
  if (write(file.get(), nonce_.data(), nonce_.size()) != static_cast<ssize_t>(nonce_.size()) ||
      rename(fresh.c_str(), target.c_str()) != 0) {
    return Status::system("writing " + target);
  }
  return Status::good();
}

bool LoneMeeting::read_nonce() {
  const UniqueFd file(::open(path("nonce").c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  nonce_.assign(kNonceBytes, '\0');
  return file.valid() &&
         read(file.get(), nonce_.data(), nonce_.size()) == static_cast<ssize_t>(nonce_.size());
}

Status LoneMeeting::listen_at(const char* name) {
  stop_listening();
  sockaddr_un address{};
  const std::string socket_path = path(name);
  if (!name_of(socket_path, address)) {
    return Status::bad(SEGUE_INVALID, socket_path + " exceeds the 107 bytes of a socket's path");
  }
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return Status::system("making the socket " + socket_path);
  unlink(socket_path.c_str());  // the lock says that it is this process's turn
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(fd.get(), kBacklog) != 0) {
    return Status::system("listening at " + socket_path);
  }
  listener_ = std::move(fd);
  ++listener_serial_;
  listening_name_ = name;
  return Status::good();
}

void LoneMeeting::stop_listening() {
  if (!listener_.valid()) return;
  // The path stays: by now it may be another instance's.
  listener_.reset();
  ++listener_serial_;
  listening_name_.clear();
}

UniqueFd LoneMeeting::connect_to(const char* name) {
  sockaddr_un address{};
  if (!name_of(path(name), address)) return {};
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid() ||
      connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return {};
  }
  return fd;
}

bool LoneMeeting::flagged() const {
  return options_.flag.empty() || access(options_.flag.c_str(), F_OK) == 0;
}

Status LoneMeeting::serve() {
  role_ = Role::serving;
  resting_ = false;
  successor_lock_.reset();
  if (listening_name_ != kPredecessorSocket) stop_listening();
  if (Status status = write_nonce(); !status.ok()) return status;
  const bool polls = options_.successor_listens || !options_.flag.empty();
  deadline_ = polls ? monotonic_ns() + options_.poll_ns : UINT64_MAX;
  if (polls || listener_.valid()) return Status::good();
  return listen_at(kPredecessorSocket);
}

Status LoneMeeting::seek() {
  role_ = Role::seeking;
  resting_ = false;
  deadline_ = monotonic_ns();
  if (!options_.successor_listens) return Status::good();
  const std::string lock = path("successor.lock");
  successor_lock_.reset(::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!successor_lock_.valid()) return Status::system("opening " + lock);
  if (flock(successor_lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    return Status::bad(SEGUE_REFUSED, "another successor waits in " + options_.directory);
  }
  return listen_at(kSuccessorSocket);
}

void LoneMeeting::rest() {
  resting_ = true;
  deadline_ = UINT64_MAX;
}

bool LoneMeeting::on_time(uint64_t now) {
  if (now < deadline_) return false;
  deadline_ = now + options_.poll_ns;
  if (role_ == Role::seeking) {
    if (flock(lock_.get(), LOCK_EX | LOCK_NB) == 0) {
      deadline_ = UINT64_MAX;
      stop_listening();
      return true;
    }
    if (options_.successor_listens) return false;
    UniqueFd link = connect_to(kPredecessorSocket);
    if (link.valid()) meet(std::move(link));
    return false;
  }
  if (!flagged()) {
    stop_listening();
  } else if (options_.successor_listens) {
    UniqueFd link = connect_to(kSuccessorSocket);
    if (link.valid()) meet(std::move(link));
  } else if (!listener_.valid()) {
    if (const Status status = listen_at(kPredecessorSocket); !status.ok()) error_ = status.text;
  }
  return false;
}

void LoneMeeting::on_connection() {
  UniqueFd link(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!link.valid()) return;
  if (!resting_) return meet(std::move(link));
  segue_writer out;
  put_number(out, 1, 1);
  put_field(out, 2, "another handoff of this service is under way");
  (void)Link(std::move(link)).send(FrameType::refuse, out.fields);
}

void LoneMeeting::meet(UniqueFd link) {
  UniqueFd pidfd;
  pid_t pid = 0;
  if (const Status status = identify_peer(link.get(), pidfd, pid); !status.ok()) {
    error_ = status.text;
    return;
  }
  if (role_ == Role::seeking && !read_nonce()) {
    error_ = "the nonce in " + options_.directory + " cannot be read";
    return;
  }
  if (role_ == Role::seeking) {  // it waits no more: the next successor may
    stop_listening();
    successor_lock_.reset();
  }
  rest();
  met_(std::move(link), std::move(pidfd), nonce_);
}

}  // namespace segue::handoff
