// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "handoff/inventory.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

segue_arena::~segue_arena() {
  if (data != nullptr) munmap(data, max_size);
}

namespace segue::handoff {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

Status map_memory(segue_arena& arena) {
  void* memory = mmap(nullptr, arena.max_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                      arena.fd.get(), 0);
  if (memory == MAP_FAILED) return Status::system("mapping arena " + arena.name);
  arena.data = memory;
  return Status::good();
}

}  // namespace

Status create_arena(segue_arena& arena) {
  if (arena.data != nullptr) munmap(arena.data, arena.max_size);
  arena.data = nullptr;
  arena.used = 0;
  arena.populated = 0;
  arena.fd.reset(memfd_create(("segue-" + arena.name).c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!arena.fd.valid()) return Status::system("creating arena " + arena.name);
  if (ftruncate(arena.fd.get(), static_cast<off_t>(arena.max_size)) != 0) {
    return Status::system("sizing arena " + arena.name);
  }
  if (fcntl(arena.fd.get(), F_ADD_SEALS, kSeals) != 0) {
    return Status::system("sealing arena " + arena.name);
  }
  return map_memory(arena);
}

Status map_arena(segue_arena& arena, UniqueFd fd) {
  const int seals = fcntl(fd.get(), F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) {
    return Status::bad(SEGUE_PEER, "arena " + arena.name + " is not a sealed memfd");
  }
  struct stat info{};
  if (fstat(fd.get(), &info) != 0) return Status::system("looking at arena " + arena.name);
  if (static_cast<size_t>(info.st_size) != arena.max_size) {
    return Status::bad(SEGUE_PEER, "arena " + arena.name + " has another size than announced");
  }
  if (arena.data != nullptr) munmap(arena.data, arena.max_size);
  arena.data = nullptr;
  arena.populated = 0;
  arena.fd = std::move(fd);
  return map_memory(arena);
}

Status check_arenas(const Inventory& inventory) {
  constexpr size_t kWhyBytes = 256;
  for (const auto& arena : inventory.arenas) {
    if (arena->check == nullptr || arena->data == nullptr) continue;
    char why[kWhyBytes] = "";
    if (arena->check(arena->check_user, arena->data, arena->used, why, sizeof why) == SEGUE_OK) {
      continue;
    }
    why[sizeof why - 1] = '\0';
    return Status::bad(SEGUE_REFUSED, "the check of arena " + arena->name + " failed: " + why);
  }
  return Status::good();
}

void populate_arena(segue_arena& arena) {
  constexpr size_t kPage = 4096;
  const size_t from = arena.populated / kPage * kPage;
  if (arena.used <= from) return;
  // Best effort: without it (Linux < 5.14, or memory short) pages fault in when they are touched.
  madvise(static_cast<char*>(arena.data) + from, arena.used - from, MADV_POPULATE_WRITE);
  arena.populated = arena.used;
}

}  // namespace segue::handoff
