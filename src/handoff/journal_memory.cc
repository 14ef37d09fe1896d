// SPDX-License-Identifier: Apache-2.0
#include "handoff/journal_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstring>

#include "handoff/entropy.h"
#include "handoff/journal.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace segue::handoff {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

}  // namespace

JournalMemory::JournalMemory(JournalMemory&& other) noexcept
    : fd_(std::move(other.fd_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

JournalMemory& JournalMemory::operator=(JournalMemory&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

JournalMemory::~JournalMemory() {
  if (data_ != nullptr) munmap(data_, size_);
}

Status JournalMemory::create(size_t bytes, JournalMemory& memory) {
  UniqueFd fd(memfd_create("segue-journal", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return Status::system("creating the journal");
  if (ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) {
    return Status::system("sizing the journal");
  }
  if (fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) return Status::system("sealing the journal");
  if (Status status = map(std::move(fd), bytes, memory); !status.ok()) return status;
  const std::string random = make_nonce();
  uint64_t keys[2] = {};
  memcpy(keys, random.data(), sizeof keys);
  prepare_journal(memory.data_, keys[0], keys[1]);
  return Status::good();
}

Status JournalMemory::map(UniqueFd fd, size_t bytes, JournalMemory& memory) {
  const int seals = fcntl(fd.get(), F_GET_SEALS);
  struct stat info{};
  if (seals < 0 || (seals & kSeals) != kSeals || fstat(fd.get(), &info) != 0 ||
      bytes < kSmallestJournalBytes || bytes > kLargestJournalBytes ||
      static_cast<size_t>(info.st_size) != bytes) {
    return Status::bad(SEGUE_PEER, "the journal is not a sealed memfd of the size announced");
  }
  void* data =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd.get(), 0);
  if (data == MAP_FAILED) return Status::system("mapping the journal");
  JournalMemory fresh;
  fresh.fd_ = std::move(fd);
  fresh.data_ = static_cast<char*>(data);
  fresh.size_ = bytes;
  memory = std::move(fresh);
  return Status::good();
}

bool JournalMemory::populate() {
  return madvise(data_, size_, MADV_POPULATE_WRITE) == 0;
}

}  // namespace segue::handoff
