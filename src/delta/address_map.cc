// SPDX-License-Identifier: Apache-2.0
#include "delta/address_map.h"

#include <algorithm>
#include <bit>

namespace segue::delta {

namespace {

constexpr std::uint32_t kMissed = 4;
constexpr std::uint32_t kFirstKnownTrust = 16;

}  // namespace

AddressMap::AddressMap(const std::vector<Region>& regions, const std::vector<Operation>& operations)
    : regions_(regions) {
  for (const Region& region : regions) {
    if (region.kind != RegionKind::absent) by_target_.push_back(&region);
  }
  std::stable_sort(by_target_.begin(), by_target_.end(),
                   [](const Region* left, const Region* right) {
                     return left->target_offset < right->target_offset;
                   });
  if (regions.empty()) return;
  constexpr std::uint64_t kBytesPerAddress = 16;
  std::uint64_t size_bytes = 0;
  for (const Region* region : by_target_) size_bytes += region->base_size;
  known_bits_ = std::clamp(static_cast<int>(std::bit_width(size_bytes / kBytesPerAddress)),
                           kMinKnownBits, kMaxKnownBits);
  known_.resize(std::size_t{1} << known_bits_);
  std::uint64_t target_at = 0;
  copies_.reserve(operations.size());
  for (const Operation& operation : operations) {
    if (operation.copied > 0) copies_.push_back({operation.base_at, operation.copied, target_at});
    target_at += operation.copied + operation.literal;
  }
  std::stable_sort(copies_.begin(), copies_.end(), [](const Copy& left, const Copy& right) {
    return left.base_at < right.base_at;
  });
}

// The longest of the copies that begin shortly before and reach the place; else past the nearest.
AddressMap::Place AddressMap::place_of(std::uint64_t base_at) const {
  constexpr int kLookedAt = 16;
  auto above = std::upper_bound(
      copies_.begin(), copies_.end(), base_at,
      [](std::uint64_t wanted, const Copy& copy) { return wanted < copy.base_at; });
  const Copy* best = nullptr;
  auto copy = above;
  for (int i = 0; i < kLookedAt && copy != copies_.begin(); ++i) {
    --copy;
    if (base_at - copy->base_at < copy->size && (best == nullptr || copy->size > best->size)) {
      best = &*copy;
    }
  }
  if (best != nullptr) {
    const auto trust = static_cast<std::uint32_t>(std::bit_width(best->size));
    return {base_at - best->base_at + best->target_at, std::min(trust, 15U)};
  }
  if (above != copies_.begin()) --above;
  if (above == copies_.end()) return {base_at, 0};
  return {base_at - above->base_at + above->target_at, 0};
}

std::optional<std::uint64_t> AddressMap::address_of_place(std::uint64_t target_at) const {
  const auto above = std::upper_bound(
      by_target_.begin(), by_target_.end(), target_at,
      [](std::uint64_t wanted, const Region* region) { return wanted < region->target_offset; });
  if (above == by_target_.begin()) return std::nullopt;
  const Region& region = **(above - 1);
  return region.target_address + (target_at - region.target_offset);
}

std::uint64_t AddressMap::target_address(const Region& base_region, std::uint64_t place) const {
  if (const auto address = address_of_place(place)) return *address;
  return base_region.target_address + (place - base_region.target_offset);
}

AddressMap::Prediction AddressMap::computed(std::uint64_t address) const {
  const Region* region = region_of_address(regions_, address);
  if (region == nullptr) return {.address = address};
  const std::uint64_t inside = address - region->base_address;
  if (region->kind == RegionKind::absent) {
    return {.address = region->target_address + inside, .trust = 1};
  }
  const Place place = place_of(region->base_offset + inside);
  const auto mapped = address_of_place(place.at);
  return {.address = mapped.value_or(region->target_address + inside), .trust = place.trust};
}

AddressMap::Prediction AddressMap::predict(std::uint64_t address) {
  const std::uint32_t key = key_of(address);
  std::size_t slot = slot_of(key);
  for (std::size_t i = 0; i < kMaxProbes; ++i, slot = (slot + 1) & (known_.size() - 1)) {
    Known& known = known_[slot];
    if (known.key == key) {
      return {known.address, kFirstKnownTrust + std::min(known.seen, 7U), slot};
    }
    if (known.key == 0) {
      Prediction prediction = computed(address);
      known = {key, 0, prediction.address};
      prediction.slot = slot;
      return prediction;
    }
  }
  Prediction prediction = computed(address);
  prediction.slot = kNoSlot;
  return prediction;
}

void AddressMap::learn(const Prediction& prediction, std::uint64_t /*address*/,
                       std::uint64_t actual) {
  if (prediction.slot == kNoSlot) return;
  Known& known = known_[prediction.slot];
  if (actual == prediction.address) {
    known.seen = known.seen == kMissed - 1 ? known.seen : std::min(known.seen + 1, 7U);
  } else {
    known.seen = kMissed;
    known.address = actual;
  }
}

}  // namespace segue::delta
