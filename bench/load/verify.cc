// SPDX-License-Identifier: Apache-2.0
#include "load/verify.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <string>
#include <vector>

namespace segue::load {
namespace {

constexpr base::Duration kDeadline = std::chrono::seconds(10);
constexpr std::size_t kKeysPerBatch = 256;

base::Result<void> send_gets(int fd, const std::vector<std::uint32_t>& keys) {
  std::string bytes;
  std::array<char, kMaxRequestBytes> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  for (const std::uint32_t key : keys) {
    bytes.append(buffer.data(),
                 write_request(Protocol::resp, {.kind = RequestKind::get, .key = key}, buffer));
  }
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t sent = ::send(fd, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    if (sent <= 0) return fail(base::errno_error("read the writes back", errno));
    done += static_cast<std::size_t>(sent);
  }
  return {};
}

void count(const WriteModel& model, std::uint32_t key, const Answer& answer, Counters& counters) {
  ++counters.keys_checked;
  const auto stored = answer.is_nil ? std::nullopt : sequence_in(key, answer.text);
  if (!answer.is_nil && !stored) {
    ++counters.writes_wrong;
    return;
  }
  switch (model.check(key, stored)) {
    case WriteModel::Verdict::good:
      break;
    case WriteModel::Verdict::lost:
      ++counters.writes_lost;
      break;
    case WriteModel::Verdict::wrong:
      ++counters.writes_wrong;
      break;
  }
}

base::Result<void> check_batch(int fd, const WriteModel& model,
                               const std::vector<std::uint32_t>& keys, Counters& counters) {
  SEGUE_TRY(send_gets(fd, keys));
  std::string input;
  std::array<char, 16'384> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  std::size_t next = 0;
  while (next < keys.size()) {
    const ssize_t received = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (received < 0) return fail(base::errno_error("read the writes back", errno));
    if (received == 0) {
      return base::fail(base::ErrorCode::unavailable,
                        "the server closed the connection that reads the writes back");
    }
    input.append(buffer.data(), static_cast<std::size_t>(received));
    std::size_t used = 0;
    while (next < keys.size()) {
      const Answer answer = parse_answer(Protocol::resp, std::string_view(input).substr(used));
      if (answer.status == ParseStatus::incomplete) break;
      if (answer.status == ParseStatus::malformed || answer.is_error) {
        return base::fail(base::ErrorCode::data_loss, "GET was answered with '{}'", input);
      }
      count(model, keys[next++], answer, counters);
      used += answer.size_bytes;
    }
    input.erase(0, used);
  }
  return {};
}

}  // namespace

base::Result<void> verify_writes(const Route& route, const WriteModel& model, Counters& counters) {
  SEGUE_ASSIGN(const os::UniqueFd fd, route.connect_blocking(kDeadline));
  std::vector<std::uint32_t> batch;
  for (std::uint32_t key = 0; key < model.key_count(); ++key) {
    if (model.was_written(key)) batch.push_back(key);
    if (batch.size() == kKeysPerBatch || (key + 1 == model.key_count() && !batch.empty())) {
      SEGUE_TRY(check_batch(fd.get(), model, batch, counters));
      batch.clear();
    }
  }
  return {};
}

}  // namespace segue::load
