// SPDX-License-Identifier: Apache-2.0
// For tests only: a service whose records lie in a heap. Version 1 has a number and a text in each,
// version 2 a stamp in between.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <string>

#include "handoff/test_service.h"
#include "segue/heap.h"

namespace segue::handoff::test {

class HeapService : public Service {
 public:
  explicit HeapService(const ServiceOptions& options, uint32_t version = 1,
                       size_t max_size = size_t{1} << 20);

  // As of this process; ids and contents, whatever the version.
  std::map<uint64_t, std::string> contents() const;

  uint64_t add(const std::string& value);
  void set(uint64_t id, const std::string& value);
  void remove(uint64_t id);
  // Some change or other of the records in `model`.
  void change_something(std::mt19937_64& generator);

  segue_heap* heap = nullptr;
  uint32_t version = 1;
  std::map<uint64_t, std::string> model;  // what this process wrote

 private:
  [[nodiscard]] std::string pack(const std::string& value) const;
};

// What version 2 adds to a record of this text.
uint64_t stamp_of(const std::string& value);

}  // namespace segue::handoff::test
