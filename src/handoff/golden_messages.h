// SPDX-License-Identifier: Apache-2.0
// For tests only: the messages of protocol/handoff.golden by their fields.
#pragma once

#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "handoff/frame.h"
#include "handoff/test_link.h"

namespace segue::handoff::test {

struct GoldenMessage {
  std::string name;
  FrameType type{};
  uint16_t fd_count = 0;
  std::vector<Value> fields;
  std::string batch;  // the payload where it is no record

  [[nodiscard]] std::string payload() const { return batch.empty() ? record(fields) : batch; }
};

inline void PrintTo(const GoldenMessage& message, std::ostream* out) {  // NOLINT: GoogleTest's name
  *out << message.name;
}

// One for each frame type, named as the specification names it, and variants named TYPE.variant.
const std::vector<GoldenMessage>& golden_messages();

// protocol/handoff.golden: name -> bytes. Aborts the test program if it cannot be read.
const std::map<std::string, std::string>& golden_file();

std::string to_hex(std::string_view bytes);

}  // namespace segue::handoff::test
