// SPDX-License-Identifier: Apache-2.0
#include "library/parallel.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace segue::library {

unsigned processor_count() {
  return std::clamp(std::thread::hardware_concurrency(), 1U, 16U);
}

void for_each_in_parallel(std::size_t count, unsigned threads,
                          const std::function<void(std::size_t)>& work) {
  std::atomic<std::size_t> next = 0;
  const auto run = [&] {
    for (std::size_t i = next++; i < count; i = next++) work(i);
  };
  std::vector<std::jthread> others;
  for (std::size_t i = 1; i < std::min<std::size_t>(threads, count); ++i) others.emplace_back(run);
  run();
}

}  // namespace segue::library
