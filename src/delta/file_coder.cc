// SPDX-License-Identifier: Apache-2.0
#include "delta/file_coder.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace segue::delta {

namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

std::uint32_t width(std::uint64_t value) {
  return static_cast<std::uint32_t>(std::bit_width(value));
}

std::uint32_t folded(std::uint64_t value) {
  return static_cast<std::uint32_t>(value ^ (value >> 32));
}

tl::unexpected<base::Error> malformed(std::string_view what) {
  return fail(ErrorCode::data_loss, "the delta is malformed: {}", what);
}

}  // namespace

// Collects output; knows the last eight bytes of it.
template <class Coder>
class FileCoder<Coder>::Writer {
 public:
  explicit Writer(const Emit& emit) : emit_(emit), buffer_(kBufferBytes) {}

  void write(ByteView bytes) {
    while (bytes.size() > kBufferBytes - used_) {
      const std::size_t room = kBufferBytes - used_;
      append(bytes.first(room));
      flush();
      bytes = bytes.subspan(room);
    }
    append(bytes);
  }
  void put(std::uint8_t byte) {
    if (used_ == kBufferBytes) flush();
    buffer_[used_++] = byte;
  }
  [[nodiscard]] std::uint64_t tail() const {
    if (used_ >= 8) return load_u64(buffer_.data() + used_ - 8);
    std::uint64_t tail = tail_;
    for (std::size_t i = 0; i < used_; ++i) tail = tail >> 8 | std::uint64_t{buffer_[i]} << 56;
    return tail;
  }
  void flush() {
    if (result_) result_ = emit_(ByteView(buffer_).first(used_));
    tail_ = tail();
    used_ = 0;
  }
  [[nodiscard]] const Result<void>& result() const { return result_; }

 private:
  static constexpr std::size_t kBufferBytes = 64 * 1024;

  void append(ByteView bytes) {
    if (bytes.empty()) return;
    std::memcpy(buffer_.data() + used_, bytes.data(), bytes.size());
    used_ += bytes.size();
  }

  const Emit& emit_;
  Bytes buffer_;
  std::size_t used_ = 0;
  std::uint64_t tail_ = 0;
  Result<void> result_;
};

template <class Coder>
Result<void> FileCoder<Coder>::code_regions(FilePlan& plan, std::uint64_t base_size,
                                            std::uint64_t target_size) {
  const auto number = [&](std::uint64_t& value, std::uint64_t expected, std::uint32_t field,
                          std::uint64_t context) {
    const auto distance = static_cast<std::int64_t>(value - expected);
    value = expected + static_cast<std::uint64_t>(unzigzag(symbols_.number(
                           zigzag(distance), SymbolKind::region_number, field, folded(context))));
    return zigzag(static_cast<std::int64_t>(value - expected));
  };
  const std::uint64_t count = symbols_.number(plan.regions.size(), SymbolKind::region_count);
  if (count > kMaxRegions || (count > 0 && base_size > UINT32_MAX)) {
    return malformed("too many regions");
  }
  if (count > 0 && plan.is_base_in_memory && base_size + target_size > kMaxInMemoryBytes) {
    return malformed("a packed program is too large");
  }
  plan.regions.resize(static_cast<std::size_t>(count));
  Region last;
  for (Region& region : plan.regions) {
    region.kind = static_cast<RegionKind>(
        symbols_.small(static_cast<std::uint32_t>(region.kind), 4, SymbolKind::region_kind));
    if (region.kind >= RegionKind::count) return malformed("an unknown kind of region");
    number(region.base_address, last.base_address + last.base_size, 0, 0);
    number(region.base_size, 0, 1, 0);
    const std::uint64_t gap = region.base_address - last.base_address;
    number(region.base_offset, last.base_offset + gap, 2, 0);
    const std::uint64_t moved = number(region.target_address, last.target_address + gap, 3, 0);
    number(region.target_offset, region.base_offset + (region.target_address - region.base_address),
           4, moved);
    const bool in_order =
        &region == plan.regions.data() || region.base_address >= last.base_address;
    if (!in_order) return malformed("regions out of order");
    if (region.kind != RegionKind::absent &&
        (region.base_offset > base_size || region.base_size > base_size - region.base_offset ||
         region.target_offset > target_size)) {
      return malformed("a region outside of the file");
    }
    last = region;
  }
  return {};
}

// False for an operation that cannot be.
template <class Coder>
bool FileCoder<Coder>::code_operation(Operation& operation, std::size_t index,
                                      std::uint64_t base_end, std::uint64_t last_literal,
                                      std::uint64_t left) {
  const auto at = static_cast<std::uint32_t>(std::min<std::size_t>(index, 3));
  const Operation before = index < last_operations_.size() ? last_operations_[index] : Operation{};
  const bool ends =
      symbols_.flag(operation.copied == left && operation.literal == 0, SymbolKind::operation_last,
                    at, static_cast<std::uint32_t>(last_operations_.size() == index + 1));
  const bool goes_on = symbols_.flag(operation.base_at == base_end, SymbolKind::operation_seek_zero,
                                     at, width(last_literal));
  if (goes_on) {
    operation.base_at = base_end;
  } else {
    // What was replaced is most often as long as what it was replaced by.
    const std::uint64_t expected = base_end + last_literal;
    operation.base_at =
        expected + static_cast<std::uint64_t>(unzigzag(symbols_.number(
                       zigzag(static_cast<std::int64_t>(operation.base_at - expected)),
                       SymbolKind::operation_seek, at, folded(before.base_at))));
  }
  if (ends) {
    operation.copied = left;
    operation.literal = 0;
    return true;
  }
  operation.copied =
      symbols_.number(operation.copied, SymbolKind::operation_add, at, folded(before.copied));
  operation.literal = symbols_.number(operation.literal, SymbolKind::operation_extra,
                                      width(operation.copied), folded(before.literal));
  return operation.copied <= left && operation.literal <= left - operation.copied &&
         operation.copied + operation.literal > 0;
}

template <class Coder>
Result<void> FileCoder<Coder>::code_operations(FilePlan& plan, std::uint64_t base_size,
                                               std::uint64_t target_size) {
  std::uint64_t left = target_size;
  std::uint64_t base_end = plan.expected_base_at;
  std::uint64_t last_literal = 0;
  for (std::size_t i = 0; left > 0; ++i) {
    if (i == kMaxOperations) return malformed("too many operations");
    if constexpr (!Coder::kEncodes) plan.operations.emplace_back();
    Operation& operation = plan.operations[i];
    if (!code_operation(operation, i, base_end, last_literal, left) || !symbols_.coder().ok()) {
      return malformed("an operation beyond the target's end");
    }
    if (operation.base_at > base_size || operation.copied > base_size - operation.base_at) {
      return malformed("an operation beyond the base's end");
    }
    left -= operation.copied + operation.literal;
    base_end = operation.base_at + operation.copied;
    last_literal = operation.literal;
  }
  constexpr std::size_t kRemembered = 64;
  last_operations_.assign(plan.operations.begin(),
                          plan.operations.begin() + static_cast<std::ptrdiff_t>(std::min(
                                                        plan.operations.size(), kRemembered)));
  return {};
}

// Calls plain(base_at, size, offset) and field(field, offset) over what an operation copies, in
// order; offset counts from its begin.
template <class Plain, class OnField>
static void for_each_piece(const Operation& operation, const std::vector<Field>& fields,
                           Plain plain, OnField on_field) {
  auto field =
      std::lower_bound(fields.begin(), fields.end(), operation.base_at,
                       [](const Field& left, std::uint64_t wanted) { return left.at < wanted; });
  const std::uint64_t end = operation.base_at + operation.copied;
  std::uint64_t at = operation.base_at;
  for (; field != fields.end() && std::uint64_t{field->at} + field->size <= end; ++field) {
    if (field->at > at) plain(at, field->at - at, at - operation.base_at);
    on_field(*field, field->at - operation.base_at);
    at = std::uint64_t{field->at} + field->size;
  }
  if (at < end) plain(at, end - at, at - operation.base_at);
}

template <class Coder>
void FileCoder<Coder>::collect_residuals(const FilePlan& plan, ByteView base, ByteView target) {
  residuals_.clear();
  std::uint64_t place = 0;
  std::uint64_t gap = 0;
  for (const Operation& operation : plan.operations) {
    for_each_piece(
        operation, fields_,
        [&](std::uint64_t base_at, std::uint64_t size, std::uint64_t offset) {
          const ByteView old =
              base.subspan(static_cast<std::size_t>(base_at), static_cast<std::size_t>(size));
          const std::uint8_t* now = target.data() + place + offset;
          for (std::size_t i = 0; i < old.size(); ++i) {
            if (old[i] == now[i]) {
              ++gap;
              continue;
            }
            residuals_.push_back({gap, static_cast<std::uint8_t>(now[i] - old[i])});
            gap = 0;
          }
        },
        [](const Field&, std::uint64_t) {});
    place += operation.copied + operation.literal;
  }
}

// The distance to the next residual, plus one; 0: there is none.
template <class Coder>
std::uint64_t FileCoder<Coder>::code_gap(std::uint64_t coded) {
  const std::uint32_t context = mix_hash(last_residual_, folded(last_gap_));
  Guess<std::uint64_t>& guess = gap_guesses_[context >> (32 - kGapGuessBits)];
  if (symbols_.flag(coded == guess.value, SymbolKind::residual_gap_guess,
                    guess.hits << 4 | std::min(width(guess.value), 15U), last_residual_)) {
    coded = guess.value;
  } else {
    constexpr std::uint64_t kLong = 15;
    const std::uint32_t close =
        symbols_.small(static_cast<std::uint32_t>(std::min(coded, kLong)), 4,
                       SymbolKind::residual_gap, last_gap_width_, last_residual_);
    if (close == kLong) {
      coded =
          kLong + symbols_.number(coded - kLong, SymbolKind::residual_long_gap, last_gap_width_);
    } else {
      coded = close;
    }
  }
  guess.learn(coded);
  last_gap_ = coded;
  last_gap_width_ = std::min(width(coded), 12U);
  return coded;
}

template <class Coder>
void FileCoder<Coder>::next_gap() {
  if (residuals_ended_) return;
  std::uint64_t coded = 0;
  if constexpr (Coder::kEncodes) {
    if (residual_ < residuals_.size()) coded = residuals_[residual_].gap + 1;
  }
  coded = code_gap(coded);
  residuals_ended_ = coded == 0;
  gap_ = coded == 0 ? UINT64_MAX : coded - 1;
}

template <class Coder>
std::uint8_t FileCoder<Coder>::code_residual(std::uint8_t residual, std::uint8_t old) {
  const std::uint32_t before = std::uint32_t{last_residual_} << 4 | std::min(last_gap_width_, 3U);
  Guess<std::uint8_t>& guess = byte_guesses_[std::size_t{last_residual_} << 8 | old];
  if (symbols_.flag(residual == guess.value, SymbolKind::residual_byte_guess,
                    guess.hits << 8 | guess.value, guess.hits << 12 | before)) {
    residual = guess.value;
  } else {
    residual = symbols_.byte(residual, SymbolKind::residual_byte, before, old);
  }
  guess.learn(residual);
  last_residual_ = residual;
  return residual;
}

template <class Coder>
void FileCoder<Coder>::copy_plain(ByteView base, ByteView /*target*/, Writer& out) {
  while (gap_ < base.size()) {
    out.write(base.first(static_cast<std::size_t>(gap_)));
    const std::uint8_t old = base[static_cast<std::size_t>(gap_)];
    std::uint8_t residual = 0;
    if constexpr (Coder::kEncodes) residual = residuals_[residual_++].byte;
    residual = code_residual(residual, old);
    out.put(static_cast<std::uint8_t>(old + residual));
    base = base.subspan(static_cast<std::size_t>(gap_) + 1);
    next_gap();
  }
  out.write(base);
  if (!residuals_ended_) gap_ -= base.size();
}

template <class Coder>
std::uint64_t FileCoder<Coder>::code_address(const Field& /*field*/, RegionKind kind,
                                             std::uint64_t old_address, std::uint64_t actual,
                                             unsigned bits) {
  const auto number = static_cast<std::size_t>(kind);
  const auto kind_context = static_cast<std::uint32_t>(kind);
  const AddressMap::Prediction predicted = addresses_->predict(old_address);
  std::uint32_t& history = hit_history_[number];
  const std::uint64_t mask = bits == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1;
  const auto miss = static_cast<std::int64_t>(actual - predicted.address);
  const bool is_right = (static_cast<std::uint64_t>(miss) & mask) == 0;
  const bool hit =
      AddressMap::is_trusted(predicted)
          ? symbols_.quick_flag(is_right, trusted_[number][predicted.trust])
          : symbols_.flag(is_right, SymbolKind::field_hit, predicted.trust << 4 | kind_context,
                          (history & 0xff) << 4 | kind_context);
  history = history << 1 | (hit ? 1 : 0);
  std::uint64_t address = predicted.address;
  if (!hit) {
    const bool repeats = symbols_.flag(miss == last_miss_[number], SymbolKind::field_repeat,
                                       kind_context, predicted.trust);
    if (!repeats) {
      last_miss_[number] = unzigzag(
          symbols_.number(zigzag(miss), SymbolKind::field_miss, kind_context, predicted.trust));
    }
    address += static_cast<std::uint64_t>(last_miss_[number]);
  }
  addresses_->learn(predicted, old_address, address);
  return address;
}

template <class Coder>
void FileCoder<Coder>::copy_field(const Field& field, ByteView base, ByteView target,
                                  std::uint64_t place, const std::vector<Region>& regions,
                                  Writer& out) {
  const Region& region = regions[field.region];
  const std::uint8_t* old = base.data() + field.at;
  std::array<std::uint8_t, 8> bytes{};
  if (field.size == 8) {
    const std::uint64_t actual = Coder::kEncodes ? load_u64(target.data() + place) : 0;
    store_u64(bytes.data(), code_address(field, region.kind, load_u64(old), actual, 64));
    return out.write(bytes);
  }
  const std::uint64_t old_origin =
      field.is_relative ? region.base_address + (field.at - region.base_offset) + field.after
                        : field.origin;
  const std::uint64_t origin = field.is_relative
                                   ? addresses_->target_address(region, place) + field.after
                                   : addresses_->origin(old_origin);
  const auto widened = [](const std::uint8_t* at) {
    return static_cast<std::uint64_t>(std::int64_t{static_cast<std::int32_t>(load_u32(at))});
  };
  const std::uint64_t actual = Coder::kEncodes ? origin + widened(target.data() + place) : 0;
  const std::uint64_t address =
      code_address(field, region.kind, old_origin + widened(old), actual, 32);
  store_u32(bytes.data(), static_cast<std::uint32_t>(address - origin));
  out.write(ByteView(bytes).first(4));
}

template <class Coder>
void FileCoder<Coder>::copy(const Operation& operation, ByteView base, ByteView target,
                            std::uint64_t place, Writer& out) {
  for_each_piece(
      operation, fields_,
      [&](std::uint64_t base_at, std::uint64_t size, std::uint64_t) {
        copy_plain(base.subspan(static_cast<std::size_t>(base_at), static_cast<std::size_t>(size)),
                   target, out);
      },
      [&](const Field& field, std::uint64_t offset) {
        constexpr std::ptrdiff_t kAhead = 16;
        if (fields_.data() + fields_.size() - &field > kAhead) {
          addresses_->prefetch(address_in(*(&field + kAhead), base, *regions_));
        }
        copy_field(field, base, target, place + offset, *regions_, out);
      });
}

template <class Coder>
Result<void> FileCoder<Coder>::copy_out(BulkReader& reader, std::uint64_t size, Writer& out) {
  std::array<std::uint8_t, 16384> piece;
  for (std::uint64_t left = size; left > 0;) {
    const auto part = std::span(piece).first(
        static_cast<std::size_t>(std::min<std::uint64_t>(left, piece.size())));
    SEGUE_TRY(reader.read(part));
    out.write(part);
    SEGUE_TRY(out.result());
    left -= part.size();
  }
  return {};
}

template <class Coder>
Result<void> FileCoder<Coder>::write_literals(std::uint64_t size, std::uint64_t base_at,
                                              ByteView target, bool in_bulk, Writer& out) {
  if (in_bulk) {
    if constexpr (Coder::kEncodes) {
      bulk_.writer->write(target);
      out.write(target);
    } else {
      return copy_out(*bulk_.reader, size, out);
    }
    return {};
  }
  if (size > 0) literals_.begin_run(out.tail(), base_at);
  for (std::uint64_t i = 0; i < size; ++i) {
    out.put(
        literals_.code(Coder::kEncodes ? target[static_cast<std::size_t>(i)] : std::uint8_t{0}));
    if (i % 4096 == 0 && !symbols_.coder().ok()) return malformed("it ends among literals");
  }
  return {};
}

template <class Coder>
Result<void> FileCoder<Coder>::code_contents(const FilePlan& plan, ByteView base, ByteView target,
                                             const Emit& emit) {
  AddressMap addresses(plan.regions, plan.operations);
  addresses_ = &addresses;
  regions_ = &plan.regions;
  fields_.clear();
  if (!plan.regions.empty()) fields_ = find_fields(base, plan.regions);
  literals_.begin_file(base, plan.base_is_indexed);
  if constexpr (Coder::kEncodes) collect_residuals(plan, base, target);
  residual_ = 0;
  residuals_ended_ = base.empty();
  gap_ = UINT64_MAX;
  next_gap();

  Writer out(emit);
  std::uint64_t place = 0;
  for (const Operation& operation : plan.operations) {
    copy(operation, base, target, place, out);
    place += operation.copied;
    const ByteView literal = Coder::kEncodes
                                 ? target.subspan(static_cast<std::size_t>(place),
                                                  static_cast<std::size_t>(operation.literal))
                                 : ByteView();
    SEGUE_TRY(write_literals(operation.literal, operation.base_at + operation.copied, literal,
                             plan.literals_in_bulk, out));
    place += operation.literal;
    SEGUE_TRY(out.result());
    if (!symbols_.coder().ok()) return malformed("it ends too early");
  }
  out.flush();
  return out.result();
}

template <class Coder>
Result<void> FileCoder<Coder>::code_frame(FilePlan& plan, ByteView base, std::uint64_t target_size,
                                          const Emit& emit) {
  const std::uint64_t size = symbols_.number(plan.frame.size(), SymbolKind::attribute_count, 3);
  if constexpr (Coder::kEncodes) {
    bulk_.framed->insert(bulk_.framed->end(), plan.frame.begin(), plan.frame.end());
    return {};
  }
  if (size > bulk_.frames.size()) return malformed("a frame beyond its section");
  const std::uint64_t most = plan.is_base_in_memory ? kMaxInMemoryBytes : kMaxPrefixedBytes;
  if (base.size() > most || target_size > most - base.size()) {
    return malformed("a framed file is too large");
  }
  BulkReader reader = BulkReader::open_with_prefix(
      frame_prefix_.with(base, target_size), bulk_.frames.first(static_cast<std::size_t>(size)));
  bulk_.frames = bulk_.frames.subspan(static_cast<std::size_t>(size));
  Bytes target(static_cast<std::size_t>(target_size));
  SEGUE_TRY(reader.read(target));
  SEGUE_TRY(reader.finish());
  SEGUE_TRY(emit(target));
  frame_prefix_.remember(std::move(target));
  return {};
}

template <class Coder>
bool FileCoder<Coder>::used_all_frames() const {
  return bulk_.frames.empty();
}

template <class Coder>
Result<void> FileCoder<Coder>::code(ByteView base, std::uint64_t target_size, ByteView target,
                                    FilePlan& plan, const Emit& emit) {
  plan.base_is_indexed = symbols_.flag(plan.base_is_indexed, SymbolKind::file_flag, 0);
  plan.literals_in_bulk = symbols_.flag(plan.literals_in_bulk, SymbolKind::file_flag, 1);
  plan.is_framed = symbols_.flag(plan.is_framed, SymbolKind::file_flag, 2);
  if (plan.is_framed) return code_frame(plan, base, target_size, emit);
  SEGUE_TRY(code_regions(plan, base.size(), target_size));
  SEGUE_TRY(code_operations(plan, base.size(), target_size));
  return code_contents(plan, base, target, emit);
}

template class FileCoder<RangeEncoder>;
template class FileCoder<RangeDecoder>;

}  // namespace segue::delta
