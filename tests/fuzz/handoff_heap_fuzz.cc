// SPDX-License-Identifier: Apache-2.0
// A heap image that somebody else has written. Input: repetitions of u8 what, u8 part, u16 where,
// u32 value; `what` 0 to 3 damages the image (header, slots, data, log), the rest is done to it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "handoff/heap_snapshot.h"

namespace {

namespace handoff = segue::handoff;

constexpr std::uint64_t kDataBytes = 8192;

struct FreeMemory {
  void operator()(char* memory) const { std::free(memory); }
};

struct Step {
  std::uint8_t what;
  std::uint8_t part;
  std::uint16_t where;
  std::uint32_t value;
};

class Victim {
 public:
  Victim() : places_(handoff::HeapPlaces::of(kDataBytes)) {
    memory_.reset(static_cast<char*>(std::aligned_alloc(4096, places_.total)));
    std::memset(memory_.get(), 0, places_.total);
    image_ = handoff::HeapImage(memory_.get(), places_);
    image_.format(1);
    handoff::HeapImage::Record record;
    for (std::uint32_t i = 0; i < 20; ++i) (void)image_.alloc(i, i * 20, record);
    for (std::uint32_t slot = 0; slot < 20; slot += 3) {
      (void)image_.free(handoff::heap_id(slot, 1));
    }
    before_ = image_.header_copy();
    image_.open_epoch();
    reader_ = handoff::HeapReader(image_);
    reader_.fix(image_.generation() - 1, image_.slot_count(), image_.log_end());
  }

  void take(const Step& step) {
    handoff::HeapImage::Record record;
    const std::uint32_t slot = step.where % 64;
    const std::uint64_t id = handoff::heap_id(slot, image_.slot(slot).generation);
    switch (step.what % 16) {
      case 0:
        return damage(0, sizeof(handoff::HeapHeader), step);
      case 1:
        return damage(handoff::HeapPlaces::kSlotsAt, 64 * sizeof(handoff::HeapSlot), step);
      case 2:
        return damage(places_.data_at, places_.data_capacity, step);
      case 3:
        return damage(places_.log_at, 4096, step);
      case 4:
        return use(image_.alloc(step.part, step.value % 1000, record), record);
      case 5:
        return use(image_.write(id, record), record);
      case 6:
        return use(image_.resize(id, step.value % 1000, record), record);
      case 7:
        return void(image_.free(id));
      case 8:
        return void(image_.refresh_digest(slot));
      case 9:
        return read(slot);
      case 10:
        return void(image_.place(slot, step.value, step.part, "placed"));
      case 11:
        return void(image_.vacate(slot, step.value));
      case 12:
        image_.next_generation();
        return image_.return_to_epoch(0);
      case 13:
        return image_.open_epoch();
      case 14:
        return void(image_.undo(before_));
      default:
        if (!image_.inspect(1).ok() && image_.inspect(1).text.empty()) std::abort();
    }
  }

 private:
  void damage(std::uint64_t from, std::uint64_t size, const Step& step) {
    const std::uint64_t at = (std::uint64_t{step.part} << 16U | step.where) % (size - 3);
    std::memcpy(memory_.get() + from + at, &step.value, sizeof step.value);
  }
  // Whoever is given a record may write all of it.
  static void use(segue_status status, const handoff::HeapImage::Record& record) {
    if (status == SEGUE_OK) std::memset(record.data, 'u', record.size);
  }
  void read(std::uint32_t slot) {
    handoff::HeapReader::Record record;
    (void)reader_.read(slot, record);
  }

  handoff::HeapPlaces places_;
  std::unique_ptr<char, FreeMemory> memory_;
  handoff::HeapImage image_;
  handoff::HeapHeader before_;
  handoff::HeapReader reader_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr int kMaxSteps = 256;
  Victim victim;
  for (int i = 0; i < kMaxSteps && size >= sizeof(Step); ++i) {
    Step step{};
    std::memcpy(&step, data, sizeof step);
    data += sizeof step;
    size -= sizeof step;
    victim.take(step);
  }
  return 0;
}
