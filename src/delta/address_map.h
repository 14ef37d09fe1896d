// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "delta/operations.h"
#include "delta/regions.h"

namespace segue::delta {

// Where an address of the base is in the target: first by what the operations copy where, then by
// what was learned. At most 2^18 addresses are remembered, 16 bytes each;
// fewer for a small program.
class AddressMap {
 public:
  AddressMap(const std::vector<Region>& regions, const std::vector<Operation>& operations);

  struct Prediction {
    std::uint64_t address = 0;
    // How much is to be made of it: 0 to 15 by the length of the copy around it when it was never
    // asked for before, 16 to 23 by how it did since.
    std::uint32_t trust = 0;
    std::size_t slot = 0;  // for learn()
  };
  static constexpr std::uint32_t kTrusts = 24;
  // It is right nearly always.
  static bool is_trusted(const Prediction& prediction) {
    return (prediction.trust >= 12 && prediction.trust < 16) ||
           (prediction.trust >= 17 && prediction.trust < 20);
  }
  Prediction predict(std::uint64_t address);
  // Says that predict() will be asked soon: waiting for memory is most of what it costs.
  void prefetch(std::uint64_t address) const {
    __builtin_prefetch(&known_[slot_of(key_of(address))]);
  }
  // Where an address that others count from is in the target; most often the one asked for last.
  std::uint64_t origin(std::uint64_t address) {
    if (address != last_origin_ || !has_origin_) {
      last_origin_ = address;
      last_target_origin_ = computed(address).address;
      has_origin_ = true;
    }
    return last_target_origin_;
  }
  void learn(const Prediction& prediction, std::uint64_t address, std::uint64_t actual);

  // The address in the target of a place in the target file.
  [[nodiscard]] std::uint64_t target_address(const Region& base_region, std::uint64_t place) const;

 private:
  static constexpr int kMinKnownBits = 8;
  static constexpr int kMaxKnownBits = 18;
  static constexpr std::size_t kNoSlot = SIZE_MAX;
  static constexpr std::size_t kMaxProbes = 8;

  struct Known {
    std::uint32_t key = 0;   // distance from the first address, plus 1; 0: free
    std::uint32_t seen = 0;  // hits in a row, from 1 on; a miss makes it 1 + kMissed
    std::uint64_t address = 0;
  };
  struct Copy {
    std::uint64_t base_at;
    std::uint64_t size;
    std::uint64_t target_at;
  };
  struct Place {
    std::uint64_t at;
    std::uint32_t trust;
  };

  [[nodiscard]] std::uint32_t key_of(std::uint64_t address) const {
    return static_cast<std::uint32_t>(address - regions_.front().base_address) + 1;
  }
  [[nodiscard]] std::size_t slot_of(std::uint32_t key) const {
    return key * 0x9e3779b1U >> (32 - known_bits_);
  }
  [[nodiscard]] Place place_of(std::uint64_t base_at) const;
  [[nodiscard]] std::optional<std::uint64_t> address_of_place(std::uint64_t target_at) const;
  Prediction computed(std::uint64_t address) const;

  const std::vector<Region>& regions_;
  std::vector<const Region*> by_target_;  // those with bytes, by their place in the target
  std::vector<Copy> copies_;              // by place in the base
  int known_bits_ = kMinKnownBits;
  std::vector<Known> known_;
  bool has_origin_ = false;
  std::uint64_t last_origin_ = 0;
  std::uint64_t last_target_origin_ = 0;
};

}  // namespace segue::delta
