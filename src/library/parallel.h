// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>

namespace segue::library {

// As many as the machine has processors, at most 16.
unsigned processor_count();

// Calls work(0) … work(count - 1), each once, in up to `threads` threads, and waits for all of
// them. They must not throw.
void for_each_in_parallel(std::size_t count, unsigned threads,
                          const std::function<void(std::size_t)>& work);

}  // namespace segue::library
