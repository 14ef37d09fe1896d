// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "delta/regions.h"

namespace segue::delta {

namespace {

// Go's runtime/symtab.go and internal/abi: the header of .gopclntab, version 1.20 and later.
constexpr std::uint32_t kGoMagic = 0xfffffff1;
constexpr std::uint64_t kGoHeaderBytes = 72;
constexpr std::uint64_t kGoFunctionBytes = 44;
constexpr std::uint64_t kGoFunctionData = 320;
constexpr std::uint32_t kGoNoData = 0xffffffff;

class FieldFinder {
 public:
  FieldFinder(ByteView base, const std::vector<Region>& regions) : base_(base), regions_(regions) {}

  std::vector<Field> find() {
    constexpr std::size_t kBytesPerField = 8;  // more are rare; what is not used costs nothing
    if (!regions_.empty()) fields_.reserve(std::min(kMaxFields, base_.size() / kBytesPerField));
    for (std::size_t i = 0; i < regions_.size(); ++i) {
      const Region& region = regions_[i];
      if (region.kind == RegionKind::absent || region.kind == RegionKind::plain) continue;
      if (region.base_offset > base_.size() || region.base_size > base_.size() - region.base_offset)
        continue;
      number_ = static_cast<std::uint8_t>(i);
      region_ = &region;
      bytes_ = base_.subspan(static_cast<std::size_t>(region.base_offset),
                             static_cast<std::size_t>(region.base_size));
      find_in_region();
    }
    return sorted();
  }

 private:
  void find_in_region() {
    switch (region_->kind) {
      case RegionKind::x86_64:
        return code();
      case RegionKind::words64:
      case RegionKind::go_module:
        for (std::uint64_t at = 0; at + 8 <= bytes_.size(); at += 8) word(at);
        return;
      case RegionKind::relocations:
        for (std::uint64_t at = 0; at + 24 <= bytes_.size(); at += 24) {
          word(at);
          word(at + 16);
        }
        return;
      case RegionKind::symbols:
        for (std::uint64_t at = 8; at + 16 <= bytes_.size(); at += 24) word(at);
        return;
      case RegionKind::frame_header:
        for (std::uint64_t at = 12; at + 4 <= bytes_.size(); at += 4) {
          offset(at, region_->base_address);
        }
        return;
      case RegionKind::frames:
        return frames();
      case RegionKind::go_functions:
        return go_functions();
      case RegionKind::go_types:
        return go_types();
      case RegionKind::plain:
      case RegionKind::absent:
      case RegionKind::count:
        return;
    }
  }

  void code() {
    for (std::size_t at = 0; at < bytes_.size();) {
      const Instruction found = decode_x86_64(bytes_.subspan(at));
      if (found.field_at != 0) {
        relative(at + found.field_at, static_cast<std::uint8_t>(found.length - found.field_at));
      }
      at += std::max<std::size_t>(found.length, 1);
    }
  }

  // Linux Standard Base, 10.6.1: length, distance to the common entry (0: this is one), first
  // address, range, and with a language its data.
  void frames() {
    for (std::uint64_t at = 0; at + 8 <= bytes_.size();) {
      const std::uint64_t length = u32(at);
      if (length == 0 || length > bytes_.size() - at - 4) return;
      if (u32(at + 4) != 0 && length >= 16) {
        relative(at + 8, 0);
        if (bytes_[static_cast<std::size_t>(at + 16)] == 4) relative(at + 17, 0);
      }
      at += 4 + length;
    }
  }

  void go_functions() {
    if (bytes_.size() < kGoHeaderBytes || u32(0) != kGoMagic) return;
    const Region* text = first_of(RegionKind::x86_64);
    if (text == nullptr) return;
    const std::uint64_t functions = u64(8);
    const std::uint64_t names = u64(32);
    const std::uint64_t tables = u64(56);
    const std::uint64_t lines = u64(64);
    const std::uint64_t size = bytes_.size();
    function_data_ = function_data();
    if (names > size || tables > size || lines > size || functions > (size - lines) / 8) return;
    for (std::uint64_t i = 0; i < functions; ++i) {
      const std::uint64_t at = lines + i * 8;
      offset(at, text->base_address);
      offset(at + 4, region_->base_address + lines);
      const std::uint64_t function = lines + u32(at + 4);
      if (function + kGoFunctionBytes <= size) go_function(function, *text, names, tables);
    }
  }

  void go_function(std::uint64_t at, const Region& text, std::uint64_t names,
                   std::uint64_t tables) {
    offset(at, text.base_address);
    offset(at + 4, region_->base_address + names);
    for (std::uint64_t i = 16; i < 28; i += 4) offset(at + i, region_->base_address + tables);
    const std::uint64_t count = u32(at + 28);
    if (count > 64 || at + kGoFunctionBytes + count * 4 > bytes_.size()) return;
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t place = at + kGoFunctionBytes + i * 4;
      if (u32(place) != 0) offset(place, region_->base_address + tables);
    }
    const std::uint64_t data = at + kGoFunctionBytes + count * 4;
    const std::uint64_t data_count = bytes_[static_cast<std::size_t>(at + kGoFunctionBytes - 1)];
    if (function_data_ == 0 || data + data_count * 4 > bytes_.size()) return;
    for (std::uint64_t i = 0; i < data_count; ++i) {
      if (u32(data + i * 4) != kGoNoData) offset(data + i * 4, function_data_);
    }
  }

  // moduledata.gofunc, or 0.
  [[nodiscard]] std::uint64_t function_data() const {
    const Region* module = first_of(RegionKind::go_module);
    if (module == nullptr || module->base_size < kGoFunctionData + 8 ||
        module->base_offset > base_.size() ||
        module->base_size > base_.size() - module->base_offset) {
      return 0;
    }
    return load_u64(base_.data() + module->base_offset + kGoFunctionData);
  }

  void go_types() {
    const Region* words = nullptr;
    for (const Region& region : regions_) {
      if (&region == region_) break;
      if (region.kind == RegionKind::words64) words = &region;
    }
    if (words == nullptr) return;
    for (std::uint64_t at = 0; at + 4 <= bytes_.size(); at += 4) offset(at, words->base_address);
  }

  [[nodiscard]] const Region* first_of(RegionKind kind) const {
    const auto found = std::find_if(regions_.begin(), regions_.end(),
                                    [&](const Region& region) { return region.kind == kind; });
    return found == regions_.end() ? nullptr : &*found;
  }

  [[nodiscard]] std::uint32_t u32(std::uint64_t at) const { return load_u32(bytes_.data() + at); }
  [[nodiscard]] std::uint64_t u64(std::uint64_t at) const { return load_u64(bytes_.data() + at); }

  void word(std::uint64_t at) { add(at, u64(at), {.size = 8}); }
  void offset(std::uint64_t at, std::uint64_t origin) {
    add(at, origin + signed_u32(at), {.origin = origin});
  }
  void relative(std::uint64_t at, std::uint8_t after) {
    if (at + 4 > bytes_.size()) return;
    add(at, region_->base_address + at + after + signed_u32(at),
        {.after = after, .is_relative = true});
  }
  [[nodiscard]] std::uint64_t signed_u32(std::uint64_t at) const {
    return static_cast<std::uint64_t>(std::int64_t{static_cast<std::int32_t>(u32(at))});
  }

  void add(std::uint64_t at, std::uint64_t address, Field field) {
    if (address == 0 || fields_.size() >= kMaxFields) return;
    if (region_of_address(regions_, address) == nullptr) return;
    field.at = static_cast<std::uint32_t>(region_->base_offset + at);
    field.region = number_;
    fields_.push_back(field);
  }

  std::vector<Field> sorted() {
    const auto by_place = [](const Field& left, const Field& right) { return left.at < right.at; };
    if (!std::is_sorted(fields_.begin(), fields_.end(), by_place)) {
      std::stable_sort(fields_.begin(), fields_.end(), by_place);
    }
    std::uint64_t end = 0;
    std::erase_if(fields_, [&](const Field& field) {
      if (field.at < end) return true;
      end = std::uint64_t{field.at} + field.size;
      return false;
    });
    return std::move(fields_);
  }

  ByteView base_;
  const std::vector<Region>& regions_;
  const Region* region_ = nullptr;
  ByteView bytes_;
  std::uint64_t function_data_ = 0;
  std::uint8_t number_ = 0;
  std::vector<Field> fields_;
};

}  // namespace

std::vector<Field> find_fields(ByteView base, const std::vector<Region>& regions) {
  return FieldFinder(base, regions).find();
}

std::uint64_t address_in(const Field& field, ByteView base, const std::vector<Region>& regions) {
  const std::uint8_t* at = base.data() + field.at;
  if (field.size == 8) return load_u64(at);
  const Region& region = regions[field.region];
  const std::uint64_t origin =
      field.is_relative ? region.base_address + (field.at - region.base_offset) + field.after
                        : field.origin;
  return origin + static_cast<std::uint64_t>(std::int64_t{static_cast<std::int32_t>(load_u32(at))});
}

const Region* region_of_address(const std::vector<Region>& regions, std::uint64_t address) {
  // Regions are in order of addresses; there are few.
  const auto above = std::upper_bound(
      regions.begin(), regions.end(), address,
      [](std::uint64_t wanted, const Region& region) { return wanted < region.base_address; });
  if (above == regions.begin()) return nullptr;
  const Region& region = *(above - 1);
  return address - region.base_address <= region.base_size ? &region : nullptr;
}

}  // namespace segue::delta
