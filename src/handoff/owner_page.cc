// SPDX-License-Identifier: Apache-2.0
#include "handoff/owner_page.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <utility>

namespace segue::handoff {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
constexpr int kVacateTries = 8;

}  // namespace

OwnerPage::OwnerPage(OwnerPage&& other) noexcept
    : fd_(std::move(other.fd_)), words_(std::exchange(other.words_, nullptr)) {}

OwnerPage& OwnerPage::operator=(OwnerPage&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(words_, other.words_);
  return *this;
}

OwnerPage::~OwnerPage() {
  if (words_ != nullptr) munmap(words_, kBytes);
}

Status OwnerPage::create(OwnerPage& page) {
  UniqueFd fd(memfd_create("segue-owner", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return Status::system("creating the ownership page");
  if (ftruncate(fd.get(), kBytes) != 0) return Status::system("sizing the ownership page");
  if (fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0)
    return Status::system("sealing the ownership page");
  return map(std::move(fd), page);
}

Status OwnerPage::map(UniqueFd fd, OwnerPage& page) {
  const int seals = fcntl(fd.get(), F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) {
    return Status::bad(SEGUE_PEER, "the ownership page is not a sealed memfd");
  }
  struct stat info{};
  if (fstat(fd.get(), &info) != 0) return Status::system("looking at the ownership page");
  if (info.st_size != kBytes) return Status::bad(SEGUE_PEER, "the ownership page has a wrong size");
  void* memory =
      mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd.get(), 0);
  if (memory == MAP_FAILED) return Status::system("mapping the ownership page");
  OwnerPage fresh;
  fresh.fd_ = std::move(fd);
  fresh.words_ = static_cast<Words*>(memory);
  page = std::move(fresh);
  return Status::good();
}

Ownership OwnerPage::look() const {
  return Ownership::of(words_->ownership.load());
}

OwnerName OwnerPage::new_name() {
  OwnerName name = kNobody;
  while (name == kNobody)
    name = static_cast<OwnerName>((words_->names.fetch_add(1) + 1) & 0xFFFFFF);
  return name;
}

bool OwnerPage::change(const Ownership& from, const Ownership& to) {
  uint64_t expected = from.word();
  return words_->ownership.compare_exchange_strong(expected, to.word());
}

bool OwnerPage::take(OwnerName me, uint32_t& epoch) {
  const Ownership now = look();
  if (now.state != OwnerState::vacant) return false;
  if (!change(now, {now.epoch + 1, OwnerState::serving, me})) return false;
  epoch = now.epoch + 1;
  return true;
}

bool OwnerPage::offer(uint32_t epoch, OwnerName me) {
  return change({epoch, OwnerState::serving, me}, {epoch, OwnerState::offered, me});
}

bool OwnerPage::activate(uint32_t epoch, OwnerName predecessor, OwnerName me) {
  return change({epoch, OwnerState::offered, predecessor}, {epoch + 1, OwnerState::serving, me});
}

bool OwnerPage::withdraw(uint32_t epoch, OwnerName me) {
  const Ownership to{epoch + 1, OwnerState::serving, me};
  return change({epoch, OwnerState::offered, me}, to) ||
         change({epoch, OwnerState::serving, me}, to);
}

bool OwnerPage::inherit(uint32_t epoch, OwnerName predecessor, OwnerName me) {
  const Ownership to{epoch + 1, OwnerState::serving, me};
  return change({epoch, OwnerState::offered, predecessor}, to) ||
         change({epoch, OwnerState::serving, predecessor}, to);
}

bool OwnerPage::reclaim(uint32_t epoch, OwnerName successor, OwnerName me) {
  const Ownership to{epoch + 1, OwnerState::serving, me};
  return change({epoch, OwnerState::serving, successor}, to) ||
         change({epoch, OwnerState::offered, successor}, to);
}

bool OwnerPage::vacate(OwnerName owner) {
  // The dead cannot change the word; another try is needed only if somebody inherited meanwhile.
  for (int i = 0; i < kVacateTries; ++i) {
    const Ownership now = look();
    if (now.owner != owner || now.state == OwnerState::vacant) return false;
    if (change(now, {now.epoch + 1, OwnerState::vacant, kNobody})) return true;
  }
  return false;
}

}  // namespace segue::handoff
