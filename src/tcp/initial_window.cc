// SPDX-License-Identifier: Apache-2.0
#include "tcp/initial_window.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <sstream>
#include <string_view>
#include <utility>

#include "os/files.h"
#include "tcp/kernel.h"

namespace segue::tcp {
namespace {

using base::errno_error;
using base::ErrorCode;
using base::fail;
using base::Result;

int bpf(bpf_cmd command, bpf_attr& attributes) {
  return static_cast<int>(::syscall(SYS_bpf, command, &attributes, sizeof attributes));
}

std::uint64_t address_of(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer);
}

Result<void> refused(std::string_view what, int error_number) {
  if (error_number != EPERM && error_number != EACCES) {
    return fail(errno_error(what, error_number));
  }
  return fail(ErrorCode::permission_denied,
              "{}: it needs CAP_BPF and CAP_NET_ADMIN, and no other program of the cgroup may be "
              "attached exclusively",
              what);
}

// ---- The program -------------------------------------------------------------------------------

enum Register : std::uint8_t { r0, r1, r2, r3, r4, r5, r6, r10 = 10 };

constexpr bpf_insn instruction(int code, Register destination, Register source, std::int16_t offset,
                               std::int32_t immediate) {
  return {.code = static_cast<std::uint8_t>(code),
          .dst_reg = static_cast<std::uint8_t>(destination & 15),
          .src_reg = static_cast<std::uint8_t>(source & 15),
          .off = offset,
          .imm = immediate};
}
constexpr bpf_insn copy(Register to, Register from) {
  return instruction(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0);
}
constexpr bpf_insn set(Register to, std::int32_t value) {
  return instruction(BPF_ALU64 | BPF_MOV | BPF_K, to, r0, 0, value);
}
constexpr bpf_insn add(Register to, std::int32_t value) {
  // NOLINTNEXTLINE(misc-redundant-expression): some of these are 0
  return instruction(BPF_ALU64 | BPF_ADD | BPF_K, to, r0, 0, value);
}
constexpr bpf_insn load(int size, Register to, Register base, std::int16_t offset) {
  return instruction(BPF_LDX | BPF_MEM | size, to, base, offset, 0);
}
constexpr bpf_insn store(int size, Register base, std::int16_t offset, Register from) {
  return instruction(BPF_STX | BPF_MEM | size, base, from, offset, 0);
}
constexpr bpf_insn call(int helper) {
  return instruction(BPF_JMP | BPF_CALL, r0, r0, 0, helper);
}
constexpr bpf_insn skip_if_not(Register value, std::int32_t other, std::int16_t count) {
  return instruction(BPF_JMP | BPF_JNE | BPF_K, value, r0, count, other);
}
constexpr bpf_insn skip_if_equal(Register value, std::int32_t other, std::int16_t count) {
  return instruction(BPF_JMP | BPF_JEQ | BPF_K, value, r0, count, other);
}

// if (event == active_established && (window = map[cookie])) setsockopt(TCP_BPF_IW, *window);
constexpr std::int16_t kKeySlot = -8;
constexpr std::int16_t kValueSlot = -16;

auto program_on(int map) {
  return std::array{
      copy(r6, r1),
      load(BPF_W, r2, r1, offsetof(bpf_sock_ops, op)),
      skip_if_not(r2, BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, 17),
      call(BPF_FUNC_get_socket_cookie),
      store(BPF_DW, r10, kKeySlot, r0),
      copy(r2, r10),
      add(r2, kKeySlot),
      // NOLINTNEXTLINE(misc-redundant-expression): some of these are 0
      instruction(BPF_LD | BPF_DW | BPF_IMM, r1, static_cast<Register>(BPF_PSEUDO_MAP_FD), 0, map),
      instruction(0, r0, r0, 0, 0),  // the other half of the one before
      call(BPF_FUNC_map_lookup_elem),
      skip_if_equal(r0, 0, 9),
      load(BPF_W, r3, r0, 0),
      store(BPF_W, r10, kValueSlot, r3),
      copy(r1, r6),
      set(r2, IPPROTO_TCP),
      set(r3, TCP_BPF_IW),
      copy(r4, r10),
      add(r4, kValueSlot),
      set(r5, sizeof(std::uint32_t)),
      call(BPF_FUNC_setsockopt),
      set(r0, 1),
      instruction(BPF_JMP | BPF_EXIT, r0, r0, 0, 0),
  };
}

Result<os::UniqueFd> make_map() {
  bpf_attr attributes{};
  attributes.map_type = BPF_MAP_TYPE_HASH;
  attributes.key_size = sizeof(std::uint64_t);
  attributes.value_size = sizeof(std::uint32_t);
  attributes.max_entries = InitialWindow::kMaxAnnounced;
  attributes.map_flags = BPF_F_NO_PREALLOC;
  os::UniqueFd map(bpf(BPF_MAP_CREATE, attributes));
  if (!map) return fail(refused("make a BPF map", errno).error());
  return map;
}

Result<os::UniqueFd> load_program(int map) {
  const auto instructions = program_on(map);
  constexpr std::string_view kLicense = "Apache-2.0";
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_SOCK_OPS;
  attributes.insns = address_of(instructions.data());
  attributes.insn_cnt = static_cast<std::uint32_t>(instructions.size());
  attributes.license = address_of(kLicense.data());
  os::UniqueFd program(bpf(BPF_PROG_LOAD, attributes));
  if (!program) return fail(refused("load the BPF program", errno).error());
  return program;
}

// ---- Its place ---------------------------------------------------------------------------------

// Where cgroup version 2 is mounted, from /proc/self/mountinfo: proc(5).
Result<std::string> mount_point(const std::string& mountinfo) {
  std::istringstream lines(mountinfo);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t separator = line.find(" - ");
    if (separator == std::string::npos) continue;
    if (line.compare(separator + 3, 8, "cgroup2 ") != 0) continue;
    std::istringstream words(line);
    std::string word;
    for (int i = 0; i < 5; ++i) words >> word;
    return word;
  }
  return fail(ErrorCode::not_found,
              "cgroup version 2 is not mounted: mount -t cgroup2 none /sys/fs/cgroup/unified");
}

Result<std::string> own_cgroup_directory() {
  constexpr std::size_t kMaxBytes = 1U << 20;
  SEGUE_ASSIGN(const std::string mounts, os::read_file("/proc/self/mountinfo", kMaxBytes));
  SEGUE_ASSIGN(const std::string mounted_at, mount_point(mounts));
  SEGUE_ASSIGN(const std::string cgroups, os::read_file("/proc/self/cgroup", kMaxBytes));
  std::istringstream lines(cgroups);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("0::")) return mounted_at + line.substr(3);
  }
  return fail(ErrorCode::not_found, "this process is in no cgroup of version 2");
}

Result<std::uint64_t> cookie_of(int fd) {
  constexpr int kSoCookie = SO_COOKIE;
  return get_option<std::uint64_t>(fd, SOL_SOCKET, kSoCookie, "SO_COOKIE");
}

}  // namespace

Result<InitialWindow> InitialWindow::attach(const std::string& cgroup_directory) {
  const auto failed = [](base::Error error) {
    return fail(std::move(error).with("cannot set initial congestion windows"));
  };
  std::string directory = cgroup_directory;
  if (directory.empty()) {
    auto own = own_cgroup_directory();
    if (!own) return failed(std::move(own).error());
    directory = *own;
  }
  const os::UniqueFd cgroup(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!cgroup) return failed(errno_error("open " + directory, errno));
  auto map = make_map();
  if (!map) return failed(std::move(map).error());
  auto program = load_program(map->get());
  if (!program) return failed(std::move(program).error());

  bpf_attr attributes{};
  attributes.link_create.prog_fd = static_cast<std::uint32_t>(program->get());
  attributes.link_create.target_fd = static_cast<std::uint32_t>(cgroup.get());
  attributes.link_create.attach_type = BPF_CGROUP_SOCK_OPS;
  os::UniqueFd link(bpf(BPF_LINK_CREATE, attributes));
  if (!link) return failed(refused("attach the BPF program to " + directory, errno).error());
  return InitialWindow(std::move(*map), std::move(link));
}

Result<void> InitialWindow::announce(int fd, std::uint32_t segments) {
  SEGUE_ASSIGN(const std::uint64_t cookie, cookie_of(fd));
  bpf_attr attributes{};
  attributes.map_fd = static_cast<std::uint32_t>(map_.get());
  attributes.key = address_of(&cookie);
  attributes.value = address_of(&segments);
  attributes.flags = BPF_ANY;
  if (bpf(BPF_MAP_UPDATE_ELEM, attributes) == 0) return {};
  if (errno != E2BIG) return fail(errno_error("announce a congestion window", errno));
  return fail(ErrorCode::resource_exhausted, "{} sockets were announced and not connected",
              kMaxAnnounced);
}

void InitialWindow::forget(int fd) {
  const auto cookie = cookie_of(fd);
  if (!cookie) return;
  bpf_attr attributes{};
  attributes.map_fd = static_cast<std::uint32_t>(map_.get());
  attributes.key = address_of(&*cookie);
  (void)bpf(BPF_MAP_DELETE_ELEM, attributes);
}

}  // namespace segue::tcp
