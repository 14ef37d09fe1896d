// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <sstream>

#include "cli/commands.h"
#include "control/text.h"
#include "os/files.h"
#include "os/process.h"
#include "os/unix_socket.h"

namespace segue::cli {
namespace {

using control::ExitCode;

constexpr int kPeerPidfd = 77;        // SO_PEERPIDFD; Debian 12's headers are older
constexpr int kPopulateWrite = 23;    // MADV_POPULATE_WRITE, likewise on some hosts
constexpr unsigned kNoExecSeal = 8U;  // MFD_NOEXEC_SEAL
constexpr std::uint64_t kEnoughDescriptors = 65'536;
constexpr std::uint64_t kFewDescriptors = 1'024;
constexpr std::uint64_t kLittleMemory = std::uint64_t{256} << 20;
constexpr std::size_t kMaxProcBytes = 64 * 1024;

Finding fine(std::string what, std::string found) {
  return {std::move(what), Health::ok, std::move(found), ""};
}

std::string reason() {
  return std::strerror(errno);
}  // NOLINT(concurrency-mt-unsafe): one thread

Finding probe_memfd_seals() {
  const std::string what = "memfd seals";
  const os::UniqueFd fd(::memfd_create("segue-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  const bool sealed =
      fd && ::ftruncate(fd.get(), 4096) == 0 &&
      ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0;
  if (!sealed) {
    return {what, Health::fail, "sealing a memfd failed: " + reason(),
            "no handoff works without: use a kernel with CONFIG_MEMFD_CREATE, and let the sandbox "
            "allow memfd_create"};
  }
  const os::UniqueFd newer(::memfd_create("segue-doctor", MFD_CLOEXEC | kNoExecSeal));
  return fine(what, newer ? "work, also against execution" : "work");
}

Finding probe_pidfd() {
  auto self = os::open_process(::getpid());
  if (self && os::send_signal(*self, 0)) return fine("pidfd", "work");
  return {"pidfd", Health::fail, "pidfd_open failed: " + reason(),
          "no handoff works without: Linux 5.3 or newer, and a sandbox that allows pidfd_open and "
          "pidfd_send_signal"};
}

Finding probe_peer_pidfd() {
  const std::string what = "SO_PEERPIDFD";
  auto pair = os::socket_pair(os::SocketType::seqpacket, os::Blocking::no);
  if (!pair) return {what, Health::fail, pair.error().message(), "allow Unix sockets"};
  int raw = -1;
  socklen_t size = sizeof raw;
  if (::getsockopt(pair->first.get(), SOL_SOCKET, kPeerPidfd, &raw, &size) == 0) {
    const os::UniqueFd pidfd(raw);
    return fine(what, "works");
  }
  return {what, Health::warn, "is not there: " + reason(),
          "Linux 6.5 has it; until then a peer is checked by its pid and start time"};
}

Finding probe_descriptor_passing() {
  const std::string what = "SCM_RIGHTS";
  auto pair = os::socket_pair(os::SocketType::seqpacket, os::Blocking::no);
  const int stdin_copy = 0;
  if (pair && os::send_message(pair->first, "x", std::span(&stdin_copy, 1))) {
    const auto received = os::receive_message(pair->second, 16);
    if (received && received->fds.size() == 1) return fine(what, "passes descriptors");
  }
  return {what, Health::fail, "a descriptor did not arrive",
          "no handoff works without: let the sandbox allow sendmsg with descriptors"};
}

Finding probe_populate() {
  const std::string what = "MADV_POPULATE_WRITE";
  void* memory = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const bool works = memory != MAP_FAILED && ::madvise(memory, 4096, kPopulateWrite) == 0;
  const std::string why = works ? "" : reason();
  if (memory != MAP_FAILED) ::munmap(memory, 4096);
  if (works) return fine(what, "works");
  return {what, Health::warn, "failed: " + why,
          "Linux 5.14 has it; until then arenas are populated page by page, which takes longer"};
}

Finding probe_descriptor_limit() {
  const auto limit = os::resource_limit(0, RLIMIT_NOFILE);
  if (!limit) return {"RLIMIT_NOFILE", Health::fail, limit.error().message(), "look at ulimit -n"};
  return judge_descriptors(limit->soft, limit->hard);
}

Finding probe_tcp_migrate() {
  const std::string what = "tcp_migrate_req";
  const auto text = os::read_file("/proc/sys/net/ipv4/tcp_migrate_req", 64);
  if (text && text->starts_with('1')) return fine(what, "is on");
  return {what, Health::warn, text ? "is off" : "is not there (Linux 5.14 has it)",
          "only programs that close a SO_REUSEPORT listener lose what waits in it: sysctl -w "
          "net.ipv4.tcp_migrate_req=1. A listener that is handed over loses nothing either way"};
}

Finding probe_runtime_directory(const ComponentFolders& folders) {
  const std::string what = "runtime directory";
  const std::string path = folders.runtime("");
  const std::string folder = path.substr(0, path.size() - 1);
  struct stat status{};
  if (::lstat(folder.c_str(), &status) == 0) {
    if (auto good = os::ensure_private_directory(folder); !good) {
      return {what, Health::fail, good.error().message(), "chmod 700 it, or chown it to yourself"};
    }
    return fine(what, folder + " is yours alone");
  }
  const std::string parent = folder.substr(0, folder.rfind('/'));
  if (::access(parent.empty() ? "/" : parent.c_str(), W_OK | X_OK) == 0) {
    return fine(what, folder + " can be made");
  }
  return {what, Health::fail, folder + " cannot be made: " + reason(),
          "make it, or name another with SEGUE_RUNTIME_DIR"};
}

Finding probe_memory() {
  const auto text = os::read_file("/proc/meminfo", kMaxProcBytes);
  std::istringstream lines(text.value_or(""));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string key;
    std::uint64_t kib = 0;
    if (words >> key >> kib && key == "MemAvailable:") return judge_memory(kib * 1024);
  }
  return {"memory", Health::warn, "/proc/meminfo does not say what is free", "mount /proc"};
}

Finding probe_kernel() {
  utsname name{};
  ::uname(&name);
  return judge_kernel(name.release);
}

std::string_view word_of(Health health) {
  switch (health) {
    case Health::ok:
      return "ok";
    case Health::warn:
      return "warn";
    case Health::fail:
      return "fail";
  }
  return "?";
}

}  // namespace

Finding judge_descriptors(std::uint64_t soft, std::uint64_t hard) {
  const std::string found = fmt::format("{} now, {} at most", control::with_thousands(soft),
                                        control::with_thousands(hard));
  const std::string remedy =
      "each connection takes one, and a successor holds them all: ulimit -n, LimitNOFILE= in a "
      "systemd unit, or /etc/security/limits.conf";
  if (hard < kFewDescriptors) return {"RLIMIT_NOFILE", Health::fail, found, remedy};
  if (soft < kEnoughDescriptors) return {"RLIMIT_NOFILE", Health::warn, found, remedy};
  return fine("RLIMIT_NOFILE", found);
}

Finding judge_kernel(const std::string& release) {
  int major = 0;
  int minor = 0;
  const char* end = release.data() + release.size();
  const auto first = std::from_chars(release.data(), end, major);
  if (first.ec == std::errc() && first.ptr != end) std::from_chars(first.ptr + 1, end, minor);
  const auto older = [&](int other_major, int other_minor) {
    return major < other_major || (major == other_major && minor < other_minor);
  };
  if (older(5, 10)) {
    return {"kernel", Health::fail, release, "Linux 5.10 or newer is needed; Debian 12 has 6.1"};
  }
  if (older(6, 1)) return {"kernel", Health::warn, release, "it is tested from Linux 6.1 on"};
  return fine("kernel", release);
}

Finding judge_memory(std::uint64_t available_bytes) {
  const std::string found = control::bytes_text(available_bytes) + " available";
  if (available_bytes >= kLittleMemory) return fine("memory", found);
  return {"memory", Health::warn, found,
          "during an upgrade two versions run, each with its own indexes: free some memory"};
}

std::vector<Finding> examine_host(const ComponentFolders& folders) {
  return {probe_kernel(),
          probe_memfd_seals(),
          probe_pidfd(),
          probe_peer_pidfd(),
          probe_descriptor_passing(),
          probe_populate(),
          probe_descriptor_limit(),
          probe_tcp_migrate(),
          probe_runtime_directory(folders),
          probe_memory()};
}

ExitCode doctor(const Context& context) {
  const auto findings = examine_host(context.folders);
  Json objects = Json::array();
  int failures = 0;
  int warnings = 0;
  for (const auto& finding : findings) {
    failures += finding.health == Health::fail ? 1 : 0;
    warnings += finding.health == Health::warn ? 1 : 0;
    context.output.print(
        fmt::format("{:4}  {:20} {}", word_of(finding.health), finding.what, finding.found));
    if (!finding.remedy.empty())
      context.output.print(fmt::format("      {:20} → {}", "", finding.remedy));
    objects.push_back({{"what", finding.what},
                       {"health", word_of(finding.health)},
                       {"found", finding.found},
                       {"remedy", finding.remedy}});
  }
  const ExitCode exit = failures > 0 ? ExitCode::failed : ExitCode::done;
  const std::string text =
      failures > 0 ? fmt::format("this host cannot hand over: {} above",
                                 control::counted(static_cast<std::uint64_t>(failures), "failure"))
                   : fmt::format("this host can hand over, with {}",
                                 control::counted(static_cast<std::uint64_t>(warnings), "warning"));
  if (context.output.json()) {
    context.output.print_json(Json{
        {"done", true}, {"exit", static_cast<int>(exit)}, {"text", text}, {"findings", objects}});
    return exit;
  }
  return context.output.finish(exit, text);
}

}  // namespace segue::cli
