// SPDX-License-Identifier: Apache-2.0
// The record heap against a model, over memory of the test's own (so that a sanitizer sees every
// step outside of it).
#include "handoff/heap_image.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "handoff/heap_snapshot.h"

namespace segue::handoff::test {
namespace {

constexpr uint64_t kDataBytes = 256 * 1024;

struct FreeMemory {
  void operator()(char* memory) const { ::free(memory); }
};

class Heap {
 public:
  explicit Heap(uint64_t data_bytes = kDataBytes) : places(HeapPlaces::of(data_bytes)) {
    memory.reset(static_cast<char*>(aligned_alloc(4096, places.total)));
    std::fill_n(memory.get(), places.total, '\0');
    image = HeapImage(memory.get(), places);
    image.format(1);
  }
  HeapPlaces places;
  std::unique_ptr<char, FreeMemory> memory;
  HeapImage image;
};

struct Value {
  uint32_t type = 0;
  std::string bytes;
  bool operator==(const Value&) const = default;
};
using Model = std::map<uint64_t, Value>;

Model contents(const HeapImage& image) {
  Model all;
  HeapImage::Record record;
  for (uint32_t slot = 0; image.next(slot, record) == SEGUE_OK; slot = record.slot + 1) {
    all[record.id] = {record.type, std::string(record.data, record.size)};
  }
  return all;
}

class Player {
 public:
  Player(HeapImage& image, uint64_t seed) : image_(image), random_(seed) {}

  void play(int steps) {
    for (int i = 0; i < steps && !testing::Test::HasFatalFailure(); ++i) step();
  }
  Model model;
  size_t refused = 0;

 private:
  uint64_t below(uint64_t bound) { return random_() % bound; }
  uint64_t some_id() {
    return std::next(model.begin(), static_cast<long>(below(model.size())))->first;
  }
  uint64_t some_size() { return below(8) == 0 ? below(12'000) : below(200); }
  std::string some_bytes(uint64_t size) {
    std::string bytes(size, '\0');
    for (char& c : bytes) c = static_cast<char>(random_());
    return bytes;
  }

  void step() {
    HeapImage::Record record;
    const uint64_t what = below(10);
    if (model.empty() || what < 4) {
      const auto type = static_cast<uint32_t>(below(5));
      const Value value{type, some_bytes(some_size())};
      const segue_status status = image_.alloc(type, value.bytes.size(), record);
      if (status == SEGUE_LIMIT) return void(++refused);
      ASSERT_EQ(status, SEGUE_OK);
      ASSERT_FALSE(model.contains(record.id)) << "an id was given out twice";
      value.bytes.copy(record.data, value.bytes.size());
      model[record.id] = value;
    } else if (what < 6) {
      const uint64_t id = some_id();
      const segue_status status = image_.write(id, record);
      if (status == SEGUE_LIMIT) return void(++refused);
      ASSERT_EQ(status, SEGUE_OK);
      ASSERT_EQ(record.size, model[id].bytes.size());
      model[id].bytes = some_bytes(record.size);
      model[id].bytes.copy(record.data, record.size);
    } else if (what < 8) {
      const uint64_t id = some_id();
      const segue_status status = image_.resize(id, some_size(), record);
      if (status == SEGUE_LIMIT) return void(++refused);
      ASSERT_EQ(status, SEGUE_OK);
      model[id].bytes = some_bytes(record.size);
      model[id].bytes.copy(record.data, record.size);
    } else {
      const uint64_t id = some_id();
      const segue_status status = image_.free(id);
      if (status == SEGUE_LIMIT) return void(++refused);
      ASSERT_EQ(status, SEGUE_OK);
      model.erase(id);
      EXPECT_EQ(image_.find(id, record), SEGUE_GONE);
    }
  }

  HeapImage& image_;
  std::mt19937_64 random_;
};

class Seeds : public testing::TestWithParam<uint64_t> {};

TEST_P(Seeds, holds_what_the_model_holds) {
  Heap heap;
  Player player(heap.image, GetParam());
  for (int part = 0; part < 20; ++part) {
    player.play(500);
    ASSERT_EQ(contents(heap.image), player.model);
    heap.image.next_generation();
  }
  EXPECT_GT(player.refused, 0U) << "the heap was never full";
  uint64_t bytes = 0;
  for (const auto& [id, value] : player.model) bytes += value.bytes.size();
  EXPECT_EQ(heap.image.header_copy().record_bytes, bytes);
  EXPECT_EQ(heap.image.header_copy().records, player.model.size());
}

TEST_P(Seeds, sum_of_digests_is_that_of_the_records_whatever_changed) {
  Heap heap;
  Player player(heap.image, GetParam());
  for (int part = 0; part < 5; ++part) {
    player.play(300);
    for (uint32_t slot = 0; slot < heap.image.slot_count(); ++slot) {
      ASSERT_EQ(heap.image.refresh_digest(slot), SEGUE_OK);
    }
    uint64_t sum = 0;
    for (const auto& [id, value] : player.model) {
      sum += HeapImage::digest(id, value.type, value.bytes);
    }
    ASSERT_EQ(heap.image.digest_sum(), sum);
  }
}

TEST_P(Seeds, undo_brings_back_every_record_and_a_heap_that_works) {
  Heap heap;
  Player player(heap.image, GetParam());
  player.play(1500);
  for (uint32_t slot = 0; slot < heap.image.slot_count(); slot += 2) {
    ASSERT_EQ(heap.image.refresh_digest(slot), SEGUE_OK);
  }
  const Model before = player.model;
  const HeapHeader header = heap.image.header_copy();
  for (int round = 0; round < 3; ++round) {
    heap.image.open_epoch();
    Player other(heap.image, GetParam() + 100);
    other.model = before;
    other.play(700);
    heap.image.next_generation();
    other.play(700);
    for (uint32_t slot = 0; slot < heap.image.slot_count(); slot += 3) {
      (void)heap.image.refresh_digest(slot);
    }
    ASSERT_NE(contents(heap.image), before);
    ASSERT_EQ(heap.image.undo(header), SEGUE_OK);
    ASSERT_EQ(contents(heap.image), before);
  }
  player.play(1500);
  EXPECT_EQ(contents(heap.image), player.model);
  for (uint32_t slot = 0; slot < heap.image.slot_count(); ++slot) {
    ASSERT_EQ(heap.image.refresh_digest(slot), SEGUE_OK);
  }
  uint64_t sum = 0;
  for (const auto& [id, value] : player.model) {
    sum += HeapImage::digest(id, value.type, value.bytes);
  }
  EXPECT_EQ(heap.image.digest_sum(), sum);
}

TEST_P(Seeds, snapshot_is_of_its_moment_while_everything_changes) {
  Heap heap;
  Player player(heap.image, GetParam());
  player.play(1000);
  const Model at_mark = player.model;
  heap.image.open_epoch();
  HeapReader reader(heap.image);
  reader.fix(heap.image.generation() - 1, heap.image.slot_count(), heap.image.log_end());
  Model seen;
  for (uint32_t slot = 0; slot < reader.slot_count(); ++slot) {
    player.play(3);
    HeapReader::Record record;
    ASSERT_EQ(reader.read(slot, record), SEGUE_OK) << "slot " << slot;
    if (record.there) seen[record.id] = {record.type, record.bytes};
  }
  EXPECT_EQ(seen, at_mark);
  EXPECT_NE(player.model, at_mark);
}

TEST_P(Seeds, mirror_by_changed_slots_becomes_equal) {
  Heap heap;
  Heap mirror(3 * kDataBytes);
  std::vector<uint32_t> changed;
  heap.image.note_changes(&changed);
  Player player(heap.image, GetParam());
  HeapReader reader(heap.image);
  for (int round = 0; round < 30; ++round) {
    player.play(200);
    const std::vector<uint32_t> slots = std::exchange(changed, {});
    reader.settle(heap.image.next_generation() - 1);
    for (const uint32_t slot : slots) {
      HeapReader::Record record;
      ASSERT_EQ(reader.read(slot, record), SEGUE_OK);
      const auto generation = static_cast<uint32_t>(record.id >> 32);
      ASSERT_EQ(record.there ? mirror.image.place(slot, generation, record.type, record.bytes)
                             : mirror.image.vacate(slot, generation),
                SEGUE_OK);
    }
    ASSERT_EQ(contents(mirror.image), player.model);
  }
  Player owner(mirror.image, GetParam());
  owner.model = player.model;
  owner.play(2000);
  EXPECT_EQ(contents(mirror.image), owner.model);
}

TEST_P(Seeds, damaged_heap_is_an_error_and_nothing_worse) {
  std::mt19937_64 generator(GetParam());
  for (int round = 0; round < 30; ++round) {
    Heap heap(16 * 1024);
    Player player(heap.image, GetParam());
    player.play(100);
    const HeapHeader before = heap.image.header_copy();
    if (round % 2 == 0) heap.image.open_epoch();
    player.play(50);
    for (int i = 0; i < 200; ++i) {
      const uint64_t parts[] = {kHeapHeaderBytes, heap.places.data_at, heap.places.log_at,
                                heap.places.log_at + 4096};
      const uint64_t at = generator() % parts[generator() % 4];
      heap.memory.get()[at] = static_cast<char>(generator());
    }
    HeapImage::Record record;
    for (uint32_t slot = 0; slot < 2000; ++slot) {
      (void)heap.image.next(slot, record);
      (void)heap.image.refresh_digest(slot);
      const uint64_t id = heap_id(slot, heap.image.slot(slot).generation);
      if (slot % 3 == 0) (void)heap.image.write(id, record);
      if (slot % 3 == 1) (void)heap.image.free(id);
      if (slot % 3 == 2) (void)heap.image.resize(id, generator() % 500, record);
      (void)heap.image.alloc(1, generator() % 300, record);
    }
    HeapReader reader(heap.image);
    reader.fix(before.generation, heap.image.slot_count(), before.log_end);
    HeapReader::Record read;
    for (uint32_t slot = 0; slot < 2000; ++slot) (void)reader.read(slot, read);
    (void)heap.image.inspect(1);
    (void)heap.image.undo(before);
  }
}

INSTANTIATE_TEST_SUITE_P(Random, Seeds, testing::Range<uint64_t>(1, 9));

TEST(HeapImage, full_heap_is_an_error_and_has_room_again_after_a_free) {
  Heap heap(8192);
  std::vector<uint64_t> ids;
  HeapImage::Record record;
  while (heap.image.alloc(0, 1000, record) == SEGUE_OK) ids.push_back(record.id);
  EXPECT_EQ(heap.image.alloc(0, 1000, record), SEGUE_LIMIT);
  ASSERT_FALSE(ids.empty());
  EXPECT_EQ(heap.image.free(ids.front()), SEGUE_OK);
  EXPECT_EQ(heap.image.alloc(0, 1000, record), SEGUE_OK);
  EXPECT_EQ(heap.image.alloc(0, kLargestRecord + 1, record), SEGUE_INVALID);
}

TEST(HeapImage, block_classes_hold_what_they_are_for_and_waste_at_most_a_quarter) {
  for (uint64_t bytes = 1; bytes <= kLargestBlock; bytes += 1 + bytes / 7) {
    const uint32_t fits = class_of_bytes(bytes);
    ASSERT_LT(fits, kBlockClasses);
    EXPECT_GE(block_bytes(fits), bytes);
    EXPECT_TRUE(fits == 0 || block_bytes(fits - 1) < bytes);
    EXPECT_EQ(block_bytes(fits) % kSmallestBlock, 0U);
  }
  EXPECT_EQ(block_bytes(kBlockClasses - 1), kLargestBlock);
}

TEST(HeapImage, slot_that_points_before_the_heap_is_damaged) {
  Heap heap;
  HeapImage::Record record;
  ASSERT_EQ(heap.image.alloc(1, 100, record), SEGUE_OK);
  auto* slots = reinterpret_cast<HeapSlot*>(heap.memory.get() + HeapPlaces::kSlotsAt);
  slots[0].offset = uint64_t{0} - kSmallestBlock;
  EXPECT_EQ(heap.image.write(record.id, record), SEGUE_PEER);
  slots[0].offset = heap.places.log_at;
  EXPECT_EQ(heap.image.write(record.id, record), SEGUE_PEER);
}

// Frees and allocates until the log is full, or has been.
void fill_log(HeapImage& image, segue_status& last) {
  last = SEGUE_OK;
  for (int i = 0; i < 100'000 && last == SEGUE_OK && image.epoch() != 0; ++i) {
    HeapImage::Record record;
    last = image.alloc(1, 10, record);
    if (last == SEGUE_OK) last = image.free(record.id);
  }
}

TEST(HeapImage, record_that_is_in_the_log_can_be_written_when_the_log_is_full) {
  Heap heap;
  HeapImage::Record large;
  HeapImage::Record record;
  ASSERT_EQ(heap.image.alloc(1, 50'000, large), SEGUE_OK);
  heap.image.open_epoch();
  ASSERT_EQ(heap.image.write(large.id, large), SEGUE_OK);
  HeapImage::Record filler;
  while (heap.places.total - heap.image.log_end() > 20'000) {
    ASSERT_EQ(heap.image.alloc(1, 10, filler), SEGUE_OK);
    ASSERT_EQ(heap.image.free(filler.id), SEGUE_OK);
  }
  EXPECT_EQ(heap.image.write(large.id, record), SEGUE_OK);
}

TEST(HeapImage, full_log_refuses_changes_or_is_dropped) {
  Heap heap;
  heap.image.open_epoch();
  segue_status last = SEGUE_OK;
  fill_log(heap.image, last);
  EXPECT_EQ(last, SEGUE_LIMIT);
  EXPECT_FALSE(heap.image.log_was_dropped());
  heap.image.let_log_be_dropped(true);
  fill_log(heap.image, last);
  EXPECT_EQ(last, SEGUE_OK);
  EXPECT_TRUE(heap.image.log_was_dropped());
  EXPECT_EQ(heap.image.epoch(), 0U);
  heap.image.open_epoch();
  EXPECT_FALSE(heap.image.log_was_dropped());
}

TEST(HeapImage, record_being_changed_is_not_read) {
  Heap heap;
  HeapImage::Record record;
  ASSERT_EQ(heap.image.alloc(1, 100, record), SEGUE_OK);
  HeapReader reader(heap.image);
  reader.settle(heap.image.next_generation() - 1);
  HeapReader::Record read;
  EXPECT_EQ(reader.read(0, read), SEGUE_OK);
  ASSERT_EQ(heap.image.write(record.id, record), SEGUE_OK);
  EXPECT_EQ(reader.read(0, read), SEGUE_STATE);
}

}  // namespace
}  // namespace segue::handoff::test
