// SPDX-License-Identifier: Apache-2.0
// Heaps through whole handoffs: mapped, read and converted, converted and sent.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "handoff/inventory.h"
#include "handoff/record_heap.h"
#include "handoff/test_heap.h"
#include "handoff/test_process.h"

namespace segue::handoff::test {
namespace {

constexpr int kRecords = 2000;

class HeapHandoff : public HandoffTest {
 protected:
  // Hands over while the predecessor changes something in each turn of its loop.
  static void hand_over_under_change(HeapService& from, HeapService& to, uint64_t seed) {
    std::mt19937_64 generator(seed);
    ASSERT_EQ(to.start(), SEGUE_OK) << to.error();
    ASSERT_TRUE(run({&from, &to},
                    [&] {
                      for (int i = 0; i < 10 && from.active(); ++i)
                        from.change_something(generator);
                      return from.ended() && to.active();
                    }))
        << from.error() << " / " << to.error();
    EXPECT_EQ(to.contents(), from.model);
    to.model = to.contents();
  }

  static void fill(HeapService& service) {
    std::mt19937_64 generator(1);
    for (int i = 0; i < kRecords; ++i) {
      ASSERT_NE(service.add(std::string(generator() % 200, 'x')), 0U);
    }
    ASSERT_EQ(segue_heap_set_root(service.heap, service.model.begin()->first), SEGUE_OK);
  }

  static void expect_failure(HeapService& from, HeapService& to, const std::string& text) {
    ASSERT_EQ(to.start(), SEGUE_OK) << to.error();
    ASSERT_TRUE(run({&from, &to}, [&] { return to.ended(); }));
    EXPECT_NE(to.error().find(text), std::string::npos) << to.error();
    EXPECT_TRUE(from.active());
  }
};

class Versions : public HeapHandoff,
                 public testing::WithParamInterface<std::pair<uint32_t, uint32_t>> {};

TEST_P(Versions, every_record_arrives_under_its_id_while_everything_changes) {
  HeapService first(options(), GetParam().first);
  ASSERT_EQ(first.start(), SEGUE_OK);
  fill(first);
  const uint64_t root = segue_heap_root(first.heap);
  HeapService second(options(), GetParam().second);
  hand_over_under_change(first, second, 2);
  EXPECT_EQ(segue_heap_root(second.heap), root);
}

TEST_P(Versions, chain_of_handoffs_loses_nothing) {
  auto current = std::make_unique<HeapService>(options(), GetParam().first);
  ASSERT_EQ(current->start(), SEGUE_OK);
  fill(*current);
  for (int hop = 1; hop <= 8; ++hop) {
    const uint32_t version = hop % 2 == 0 ? GetParam().first : GetParam().second;
    auto next = std::make_unique<HeapService>(options(), version);
    hand_over_under_change(*current, *next, static_cast<uint64_t>(hop));
    ASSERT_FALSE(HasFailure()) << "handoff " << hop;
    current = std::move(next);
  }
}

TEST_P(Versions, check_sees_the_moment_of_the_mark) {
  // Each turn of the loop moves something from one record to another: the sum is always the same.
  constexpr uint64_t kAccounts = 300;
  constexpr uint64_t kEach = 1000;
  const auto number_of = [](const std::string& text) { return std::stoull(text); };
  const auto text_of = [](uint64_t number) {
    std::string text = std::to_string(number);
    return std::string(8 - text.size(), '0') + text;
  };
  HeapService first(options(), GetParam().first);
  ASSERT_EQ(first.start(), SEGUE_OK);
  std::vector<uint64_t> ids;
  for (uint64_t i = 0; i < kAccounts; ++i) ids.push_back(first.add(text_of(kEach)));
  HeapService* checked = nullptr;
  uint64_t sum = 0;
  ServiceOptions with_check = options();
  with_check.hooks.check = [&](char*, size_t) {
    for (const auto& [id, value] : checked->contents()) sum += number_of(value);
    return 0;
  };
  HeapService second(with_check, GetParam().second);
  checked = &second;
  std::mt19937_64 generator(3);
  ASSERT_EQ(second.start(), SEGUE_OK);
  ASSERT_TRUE(run({&first, &second}, [&] {
    for (int i = 0; i < 50 && first.active(); ++i) {
      const uint64_t from = ids[generator() % kAccounts];
      const uint64_t to = ids[generator() % kAccounts];
      const uint64_t had = number_of(first.model[from]);
      if (had == 0 || from == to) continue;
      first.set(from, text_of(had - 1));
      first.set(to, text_of(number_of(first.model[to]) + 1));
    }
    return first.ended() && second.active();
  })) << first.error();
  EXPECT_EQ(sum, kAccounts * kEach);
  EXPECT_EQ(second.contents(), first.model);
}

TEST_P(Versions, change_that_nobody_was_told_of_ends_the_rehearsal_by_id) {
  HeapService* changing = nullptr;
  uint64_t id = 0;
  int encoded = 0;
  ServiceOptions with_change = options();
  // A table's record is encoded for the snapshot, and again for the rehearsal, after the mark.
  with_change.hooks.encode = [&](const std::string&) {
    if (++encoded != 2) return;
    size_t size = 0;
    const void* bytes = segue_heap_get(changing->heap, id, &size, nullptr);
    memset(const_cast<void*>(bytes), '!', size);
  };
  HeapService first(with_change, GetParam().first);
  changing = &first;
  ASSERT_EQ(first.start(), SEGUE_OK);
  fill(first);
  first.put("k", "v");
  id = first.add("told, at first");
  HeapService second(options(), GetParam().second);
  ASSERT_EQ(second.start(), SEGUE_OK);
  ASSERT_TRUE(run({&first, &second}, [&] { return second.ended(); }));
  EXPECT_NE(first.error().find("without segue_heap_write()"), std::string::npos) << first.error();
  EXPECT_NE(first.error().find("(state " + std::to_string(id)), std::string::npos) << first.error();
  EXPECT_TRUE(first.active());
}

TEST_P(Versions, damaged_record_ends_the_handoff_by_id_and_the_predecessor_goes_on) {
  HeapService first(options(), GetParam().first);
  ASSERT_EQ(first.start(), SEGUE_OK);
  fill(first);
  const uint64_t id = std::next(first.model.begin(), 5)->first;
  const auto* bytes = static_cast<const char*>(segue_heap_get(first.heap, id, nullptr, nullptr));
  const uint32_t nonsense = 0x7FFFFFFF;
  memcpy(const_cast<char*>(bytes) - sizeof(HeapBlock), &nonsense, sizeof nonsense);
  HeapService second(options(), GetParam().second);
  expect_failure(first, second, "record " + std::to_string(id) + " is damaged");
}

TEST_P(Versions, without_a_rehearsal_too) {
  ServiceOptions plain = options();
  plain.skip_rehearsal = true;
  HeapService first(plain, GetParam().first);
  ASSERT_EQ(first.start(), SEGUE_OK);
  fill(first);
  HeapService second(plain, GetParam().second);
  hand_over_under_change(first, second, 5);
}

INSTANTIATE_TEST_SUITE_P(Heap, Versions,
                         testing::Values(std::pair(1U, 1U), std::pair(1U, 2U), std::pair(2U, 1U)),
                         [](const auto& versions) {
                           return std::to_string(versions.param.first) + "_to_" +
                                  std::to_string(versions.param.second);
                         });

TEST_F(HeapHandoff, conversion_without_memory_for_both_is_refused_with_the_figures) {
  constexpr size_t kHuge = size_t{1} << 40;
  HeapService first(options(), 1, kHuge);
  ASSERT_EQ(first.start(), SEGUE_OK);
  // Nothing touches these pages, so they take no memory here.
  for (int i = 0; i < 1000; ++i) {
    uint64_t id = 0;
    ASSERT_EQ(segue_heap_alloc(first.heap, 7, SEGUE_HEAP_MAX_RECORD, &id, nullptr), SEGUE_OK);
  }
  HeapService second(options(), 2, kHuge);
  expect_failure(first, second, "converting heap state needs 6");
  EXPECT_NE(second.error().find(" MiB left"), std::string::npos) << second.error();
}

TEST_F(HeapHandoff, successor_with_too_small_a_heap_is_refused_by_the_record) {
  HeapService first(options(), 1);
  ASSERT_EQ(first.start(), SEGUE_OK);
  fill(first);
  HeapService second(options(), 2, 65'536);
  expect_failure(first, second, "does not fit");
}

TEST_F(HeapHandoff, heap_cannot_be_written_before_activation_or_after_the_freeze) {
  HeapService first(options());
  uint64_t id = 0;
  EXPECT_EQ(segue_heap_alloc(first.heap, 1, 10, &id, nullptr), SEGUE_STATE);
  ASSERT_EQ(first.start(), SEGUE_OK);
  ASSERT_EQ(segue_heap_alloc(first.heap, 7, 10, &id, nullptr), SEGUE_OK);
  HeapService second(options());
  hand_over(first, second);
  void* data = nullptr;
  EXPECT_EQ(segue_heap_write(first.heap, id, &data), SEGUE_STATE);
  EXPECT_EQ(segue_heap_get(first.heap, id, nullptr, nullptr), nullptr);
  EXPECT_EQ(segue_heap_write(second.heap, id, &data), SEGUE_OK);
}

TEST_F(HeapHandoff, full_heap_is_an_error_of_one_call) {
  HeapService service(options(), 1, 65'536);
  ASSERT_EQ(service.start(), SEGUE_OK);
  uint64_t id = 0;
  int code = SEGUE_OK;
  int records = 0;
  for (; code == SEGUE_OK; ++records) code = segue_heap_alloc(service.heap, 7, 1000, &id, nullptr);
  EXPECT_EQ(code, SEGUE_LIMIT);
  EXPECT_GT(records, 40);
  EXPECT_EQ(segue_heap_free(service.heap, id), SEGUE_OK);
  EXPECT_EQ(segue_heap_alloc(service.heap, 7, 1000, &id, nullptr), SEGUE_OK);
}

TEST_F(HeapHandoff, probation_that_ends_while_frozen_touches_nothing_until_it_serves_again) {
  segue_heap heap;
  ASSERT_TRUE(heap.create(65'536).ok());
  heap.begin_probation();
  heap.allow_writes(true);
  heap.allow_writes(false);
  heap.end_probation();
  EXPECT_NE(heap.image.epoch(), 0U);
  heap.allow_writes(true);
  EXPECT_EQ(heap.image.epoch(), 0U);
  EXPECT_EQ(heap.image.log_end(), heap.image.places().log_at);
}

// Allocates and frees until the log is full, or was dropped.
int fill_log(segue_heap* heap) {
  int code = SEGUE_OK;
  for (int i = 0; i < 100'000 && code == SEGUE_OK && heap->image.epoch() != 0; ++i) {
    uint64_t id = 0;
    code = segue_heap_alloc(heap, 7, 10, &id, nullptr);
    if (code == SEGUE_OK) code = segue_heap_free(heap, id);
  }
  return code;
}

class FullLog : public HeapHandoff, public testing::WithParamInterface<uint32_t> {};

TEST_P(FullLog, ends_the_rehearsal_and_refuses_no_write) {
  HeapService* changing = nullptr;
  int encoded = 0;
  ServiceOptions with_change = options();
  // A table's record is encoded for the snapshot, and again for the rehearsal, after the mark.
  with_change.hooks.encode = [&](const std::string&) {
    if (++encoded != 2) return;
    ASSERT_NE(changing->heap->image.epoch(), 0U);
    EXPECT_EQ(fill_log(changing->heap), SEGUE_OK);
    for (const auto& [id, value] : changing->model) {
      void* data = nullptr;
      EXPECT_EQ(segue_heap_write(changing->heap, id, &data), SEGUE_OK);
    }
  };
  HeapService first(with_change);
  changing = &first;
  ASSERT_EQ(first.start(), SEGUE_OK);
  fill(first);
  first.put("k", "v");
  HeapService second(options(), GetParam());
  ASSERT_EQ(second.start(), SEGUE_OK);
  ASSERT_TRUE(run({&first, &second}, [&] { return second.ended(); }));
  EXPECT_NE(first.error().find("more was written during the rehearsal"), std::string::npos)
      << first.error();
  EXPECT_TRUE(first.active());
  HeapService third(options(), GetParam());
  hand_over_under_change(first, third, 6);
}

INSTANTIATE_TEST_SUITE_P(Heap, FullLog, testing::Values(1U, 2U));

TEST_F(HeapHandoff, full_log_of_a_probation_is_not_taken_for_a_damaged_record) {
  HeapService first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  fill(first);
  first.heap->begin_probation();
  ASSERT_EQ(fill_log(first.heap), SEGUE_LIMIT);
  HeapService second(options());
  expect_failure(first, second, "heap state: its log is full");
}

TEST_F(HeapHandoff, record_that_takes_too_long_to_digest_at_the_mark_ends_the_attempt) {
  constexpr size_t kLarge = size_t{16} << 20;
  ServiceOptions hurried = options();
  hurried.budget_us = 500;
  hurried.max_rounds = 4;
  HeapService first(hurried, 1, 4 * kLarge);
  ASSERT_EQ(first.start(), SEGUE_OK);
  uint64_t id = 0;
  void* data = nullptr;
  ASSERT_EQ(segue_heap_alloc(first.heap, 7, kLarge, &id, &data), SEGUE_OK);
  HeapService second(options());
  ASSERT_EQ(second.start(), SEGUE_OK) << second.error();
  ASSERT_TRUE(run({&first, &second}, [&] {
    EXPECT_EQ(segue_heap_write(first.heap, id, &data), SEGUE_OK);
    return second.ended() || HasFailure();
  }));
  EXPECT_NE(first.error().find("after 4 rounds"), std::string::npos) << first.error();
  EXPECT_TRUE(first.active());
}

TEST_F(HeapHandoff, lock_cannot_be_set_once_it_has_started) {
  HeapService service(options());
  const auto nothing = [](void*) {};
  EXPECT_EQ(segue_heap_set_lock(service.heap, nothing, nothing, nullptr), SEGUE_OK);
  ASSERT_EQ(service.start(), SEGUE_OK);
  HeapService second(options());
  ASSERT_EQ(second.start(), SEGUE_OK);
  EXPECT_EQ(segue_heap_set_lock(second.heap, nothing, nothing, nullptr), SEGUE_STATE);
}

// ---- Its lock and its log's pages

struct Locked {
  segue_heap* heap = nullptr;
  int times = 0;
  bool held = false;
  bool writable_before = false;
  blkcnt_t blocks = 0;  // as it was let go of
};

blkcnt_t blocks_of(const segue_heap& heap) {
  struct stat info{};
  EXPECT_EQ(fstat(heap.memory.fd(), &info), 0);
  return info.st_blocks;
}

class HeapLock : public testing::Test {
 protected:
  void SetUp() override {
    inventory.heaps.push_back(std::make_unique<segue_heap>());
    locked.heap = inventory.heaps.back().get();
    ASSERT_TRUE(locked.heap->create(size_t{1} << 20).ok());
    locked.heap->lock_user = &locked;
    locked.heap->lock = [](void* user) {
      auto& mine = *static_cast<Locked*>(user);
      ++mine.times;
      mine.writable_before = mine.heap->writable;
      mine.held = true;
    };
    locked.heap->unlock = [](void* user) {
      auto& mine = *static_cast<Locked*>(user);
      mine.blocks = blocks_of(*mine.heap);
      mine.held = false;
    };
  }
  Inventory inventory;
  Locked locked;
};

TEST_F(HeapLock, is_held_while_writing_is_allowed_or_forbidden) {
  inventory.let_heaps_be_written(true);
  EXPECT_EQ(locked.times, 1);
  EXPECT_FALSE(locked.writable_before);
  EXPECT_TRUE(locked.heap->writable);
  inventory.let_heaps_be_written(false);
  EXPECT_EQ(locked.times, 2);
  EXPECT_TRUE(locked.writable_before);
  EXPECT_FALSE(locked.heap->writable);
}

TEST_F(HeapLock, is_not_held_while_the_pages_of_a_log_are_given_back) {
  inventory.let_heaps_be_written(true);
  inventory.track();
  locked.heap->begin_rehearsal();
  const blkcnt_t before = blocks_of(*locked.heap);
  EXPECT_EQ(fill_log(locked.heap), SEGUE_OK);
  const blkcnt_t full = blocks_of(*locked.heap);
  EXPECT_GT(full, before + 4096);
  inventory.stop_tracking();
  EXPECT_EQ(locked.blocks, full);
  EXPECT_LT(blocks_of(*locked.heap), before + 64);
}

TEST_F(HeapLock, pages_of_a_dead_successors_log_are_given_back) {
  segue_heap& heap = *locked.heap;
  inventory.let_heaps_be_written(true);
  inventory.track();
  heap.note_freeze();
  const blkcnt_t before = blocks_of(heap);
  heap.begin_probation();
  EXPECT_EQ(fill_log(&heap), SEGUE_LIMIT);
  EXPECT_GT(blocks_of(heap), before + 4096);
  ASSERT_TRUE(heap.undo().ok());
  inventory.stop_tracking();
  EXPECT_LT(blocks_of(heap), before + 64);
}

// ---- Probation: real processes, one of which is killed ---------------------------------------

ServiceProcess::Behaviour heap_behaviour(const ServiceOptions& options, segue_heap** heap) {
  ServiceProcess::Behaviour behaviour;
  behaviour.options = options;
  behaviour.declare = [heap](Service& service) {
    segue_form form{};
    form.size = sizeof form;
    form.version = 1;
    form.oldest = 1;
    form.name = "test.heap";
    *heap = segue_heap_open(service.instance.get(), "state", &form, size_t{1} << 20);
  };
  behaviour.answer = [heap](Service&, const std::string& question) {
    if (question == "spoil") {
      // Everything that a service may do to its records.
      uint64_t cursor = 0;
      uint64_t id = 0;
      for (int i = 0; segue_heap_next(*heap, &cursor, &id) == SEGUE_OK; ++i) {
        void* data = nullptr;
        if (i % 3 == 0) segue_heap_free(*heap, id);
        if (i % 3 == 1 && segue_heap_resize(*heap, id, 300, &data) == SEGUE_OK) {
          memset(data, 's', 300);
        }
        if (i % 3 == 2 && segue_heap_write(*heap, id, &data) == SEGUE_OK) memset(data, 's', 8);
        segue_heap_alloc(*heap, 1, 50, &id, &data);
      }
      return std::string("spoilt");
    }
    std::string all;
    uint64_t cursor = 0;
    uint64_t id = 0;
    while (segue_heap_next(*heap, &cursor, &id) == SEGUE_OK) {
      size_t size = 0;
      segue_heap_copy(*heap, id, nullptr, 0, &size, nullptr);
      std::string bytes(size, '\0');
      segue_heap_copy(*heap, id, bytes.data(), size, nullptr, nullptr);
      all += std::to_string(id) + bytes;
    }
    return std::to_string(all.size()) + "-" + std::to_string(std::hash<std::string>()(all));
  };
  return behaviour;
}

TEST_F(HeapHandoff, reclaimed_heap_is_as_it_was_when_it_froze) {
  ServiceOptions o = options();
  o.probation_ms = 60'000;
  segue_heap* heap = nullptr;
  ServiceProcess::Behaviour behaviour = heap_behaviour(o, &heap);
  behaviour.fill = [&heap](Service&) {
    for (uint64_t i = 0; i < 500; ++i) {
      uint64_t id = 0;
      void* data = nullptr;
      if (segue_heap_alloc(heap, 1, 20 + i, &id, &data) != SEGUE_OK) return;
      memset(data, static_cast<int>('a' + i % 26), 20 + i);
    }
  };
  ServiceProcess first(behaviour);
  ASSERT_TRUE(first.wait_for("activate first"));
  const std::string before = first.ask("contents");
  ASSERT_FALSE(before.empty());
  ServiceProcess second(heap_behaviour(o, &heap));
  ASSERT_TRUE(second.wait_for("activate"));
  EXPECT_EQ(second.ask("contents"), before);
  EXPECT_EQ(second.ask("spoil"), "spoilt");
  EXPECT_NE(second.ask("contents"), before);
  second.kill();
  ASSERT_TRUE(first.wait_for("resume 4"));
  EXPECT_EQ(first.ask("contents"), before);
  // And it is a heap that works, and can be handed over.
  EXPECT_EQ(first.ask("spoil"), "spoilt");
  const std::string changed = first.ask("contents");
  ServiceProcess third(heap_behaviour(o, &heap));
  ASSERT_TRUE(third.wait_for("activate"));
  EXPECT_EQ(third.ask("contents"), changed);
}

}  // namespace
}  // namespace segue::handoff::test
