// SPDX-License-Identifier: Apache-2.0
// A repository that answers with whatever it likes, and a disk that lost or changed what was kept.
// The input is a list of answers, each an octet for its kind, two for its length, then its bytes.
// Nothing is persisted that is not a file of the role, signed; the workflow always ends.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "tuf/client.h"

namespace {

namespace tuf = segue::tuf;

constexpr int kMaxCommands = 10'000;
constexpr tuf::Time kNow{std::chrono::sys_days(std::chrono::year(2030) / 1 / 1)};

void require(bool holds) {
  if (!holds) std::abort();
}

class Answers {
 public:
  explicit Answers(std::string_view bytes) : rest_(bytes) {}

  tuf::Event next() {
    if (rest_.size() < 3) return tuf::Absent{};
    const auto octet = [&](std::size_t i) { return static_cast<unsigned char>(rest_[i]); };
    const unsigned kind = octet(0) % 8U;
    const std::size_t length = std::min<std::size_t>(octet(1) + octet(2) * 256U, rest_.size() - 3);
    std::string bytes(rest_.substr(3, length));
    rest_.remove_prefix(3 + length);
    if (kind == 0) return tuf::Absent{};
    if (kind == 1) return tuf::Broken{{segue::base::ErrorCode::unavailable, "broken"}};
    return tuf::Bytes{std::move(bytes)};
  }

 private:
  std::string_view rest_;
};

void run(tuf::Client& client, tuf::Command command, Answers& answers) {
  for (int count = 0; !tuf::is_last(command); ++count) {
    require(count < kMaxCommands);
    tuf::Event answer = tuf::Finished{};
    if (const auto* persist = std::get_if<tuf::Persist>(&command)) {
      const auto envelope = tuf::parse_envelope(persist->bytes);
      require(envelope.has_value() && !envelope->signatures.empty());
    } else if (!std::holds_alternative<tuf::Forget>(command)) {
      answer = answers.next();
    }
    command = client.on(std::move(answer));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Answers answers(std::string_view(reinterpret_cast<const char*>(data), size));
  tuf::Client client;
  for (int round = 0; round < 2; ++round) {
    run(client, client.refresh(kNow), answers);
    if (!client.is_fresh()) continue;
    run(client, client.find("dir/file"), answers);
    run(client, client.find("other"), answers);
  }
  return 0;
}
