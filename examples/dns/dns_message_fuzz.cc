// SPDX-License-Identifier: Apache-2.0
// Whatever arrives, the answer is a response to it that fits into a datagram.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "dns_message.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const dns::Zone zone = {
      {"", {{dns::kTypeA, "root"}}},
      {"a.test", {{dns::kTypeA, "1234"}, {dns::kTypeTxt, "text"}}},
      {"many.test", std::vector<dns::Record>(100, {dns::kTypeTxt, std::string(200, 'x')})},
  };
  const std::vector<std::uint8_t> response = dns::answer({data, size}, zone);
  if (response.empty()) return 0;
  const bool is_answer = response.size() >= 12 && response.size() <= dns::kMaxMessageBytes &&
                         response[0] == data[0] && response[1] == data[1] &&
                         (response[2] & 0x80) != 0;
  if (!is_answer) std::abort();
  return 0;
}
