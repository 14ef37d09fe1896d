// SPDX-License-Identifier: Apache-2.0
// The heap's blocks: free ones in lists by class, never used ones from the top.
#include <algorithm>
#include <utility>

#include "handoff/heap_image.h"

namespace segue::handoff {

segue_status HeapImage::take_block(uint64_t size, uint64_t& offset) {
  const uint32_t wanted = class_of_bytes(sizeof(HeapBlock) + size);
  const segue_status status = find_block(wanted, offset);
  // While changes are logged, free blocks stay as they are.
  if (status != SEGUE_LIMIT || epoch() != 0 || !std::exchange(freed_since_merge_, false)) {
    return status;
  }
  const segue_status merged = merge_blocks();
  return merged == SEGUE_OK ? find_block(wanted, offset) : merged;
}

segue_status HeapImage::find_block(uint32_t wanted, uint64_t& offset) {
  const segue_status status = pop_block(wanted, offset);
  if (status != SEGUE_GONE) return status;
  HeapHeader& h = header();
  const uint64_t top = load(h.top);
  const uint64_t bytes = block_bytes(wanted);
  if (!is_block(top) || bytes > places_.log_at - top) {
    if (top != places_.log_at && !is_block(top)) return SEGUE_PEER;
    return split_block(wanted, offset);
  }
  offset = top;
  store(h.top, top + bytes);
  store(block_at(offset).block_class, wanted);
  store(block_at(offset).slot, kNoSlot);
  return SEGUE_OK;
}

segue_status HeapImage::pop_block(uint32_t block_class, uint64_t& offset) {
  uint64_t& first = header().free_blocks[block_class];
  offset = load(first);
  if (offset == 0) return SEGUE_GONE;
  if (!is_block(offset) || block_bytes(block_class) > places_.log_at - offset) return SEGUE_PEER;
  const HeapBlock& there = block_at(offset);
  if (load(there.slot) != kNoSlot || load(there.block_class) != block_class) return SEGUE_PEER;
  if (epoch() != 0) {
    const uint64_t length = sizeof(HeapBlock) + sizeof(uint64_t);
    if (const segue_status status = log_bytes(offset, length); status != SEGUE_OK) return status;
  }
  store(first, load(link_of(offset)));
  return SEGUE_OK;
}

// The smallest free block that is larger; what is left of it becomes free blocks again.
segue_status HeapImage::split_block(uint32_t wanted, uint64_t& offset) {
  for (uint32_t larger = wanted + 1; larger < kBlockClasses; ++larger) {
    const segue_status status = pop_block(larger, offset);
    if (status == SEGUE_GONE) continue;
    if (status != SEGUE_OK) return status;
    store(block_at(offset).block_class, wanted);
    cut_up(offset + block_bytes(wanted), offset + block_bytes(larger));
    return SEGUE_OK;
  }
  return SEGUE_LIMIT;
}

// Makes free blocks of the largest classes that fit.
void HeapImage::cut_up(uint64_t at, uint64_t end) {
  while (at < end) {
    const uint64_t bytes = std::min(end - at, kLargestBlock);
    uint32_t fits = class_of_bytes(bytes);
    if (block_bytes(fits) > bytes) --fits;
    push_block(at, fits);
    at += block_bytes(fits);
  }
}

// Joins free neighbours: only when the heap is full, as it looks at every free block.
segue_status HeapImage::merge_blocks() {
  struct Range {
    uint64_t begin, end;
  };
  std::vector<Range> ranges;
  const uint64_t most = places_.data_capacity / kSmallestBlock;
  for (uint32_t block_class = 0; block_class < kBlockClasses; ++block_class) {
    uint64_t offset = 0;
    segue_status status = SEGUE_OK;
    while ((status = pop_block(block_class, offset)) == SEGUE_OK) {
      if (ranges.size() == most) return SEGUE_PEER;  // its links go in circles
      ranges.push_back({offset, offset + block_bytes(block_class)});
    }
    if (status != SEGUE_GONE) return status;
  }
  std::sort(ranges.begin(), ranges.end(),
            [](const Range& a, const Range& b) { return a.begin < b.begin; });
  HeapHeader& h = header();
  for (size_t i = 0; i < ranges.size();) {
    Range joined = ranges[i++];
    while (i < ranges.size() && ranges[i].begin == joined.end) joined.end = ranges[i++].end;
    if (joined.end == load(h.top)) {
      store(h.top, joined.begin);
    } else {
      cut_up(joined.begin, joined.end);
    }
  }
  return SEGUE_OK;
}

void HeapImage::push_block(uint64_t offset, uint32_t block_class) {
  HeapBlock& there = block_at(offset);
  store(there.size, uint32_t{0});
  store(there.slot, kNoSlot);
  store(there.block_class, block_class);
  uint64_t& first = header().free_blocks[block_class];
  store(link_of(offset), load(first));
  store(first, offset);
}

}  // namespace segue::handoff
