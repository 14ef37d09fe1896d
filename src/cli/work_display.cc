// SPDX-License-Identifier: Apache-2.0
#include "cli/work_display.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "control/text.h"

namespace segue::cli {
namespace {

using control::bytes_text;

constexpr std::size_t kBarSteps = 20;
constexpr base::Duration kBetweenLive = std::chrono::milliseconds(100);
constexpr base::Duration kBetweenNotes = std::chrono::seconds(10);

std::string left_text(double seconds) {
  const auto whole = static_cast<std::uint64_t>(seconds + 0.5);
  if (whole < 120) return fmt::format("{} s left", whole);
  if (whole < 7'200) return fmt::format("{} min left", whole / 60);
  return fmt::format("{} h {:02} min left", whole / 3'600, whole / 60 % 60);
}

}  // namespace

std::string work_line(const std::string& doing, std::uint64_t done_bytes, std::uint64_t total_bytes,
                      base::Duration elapsed) {
  const double seconds = std::chrono::duration<double>(elapsed).count();
  const double rate = seconds > 0 ? static_cast<double>(done_bytes) / seconds : 0;
  std::string line;
  if (total_bytes > 0) {
    const double share =
        std::min(1.0, static_cast<double>(done_bytes) / static_cast<double>(total_bytes));
    const auto steps = static_cast<std::size_t>(share * kBarSteps);
    line = fmt::format("[{}{}] {}  {} of {}", std::string(steps, '#'),
                       std::string(kBarSteps - steps, '.'), doing, bytes_text(done_bytes),
                       bytes_text(total_bytes));
  } else {
    line = done_bytes > 0 ? fmt::format("{}  {}", doing, bytes_text(done_bytes)) : doing;
  }
  if (done_bytes == 0 || rate < 1) return line;
  line += fmt::format("  {}/s", bytes_text(static_cast<std::uint64_t>(rate)));
  if (total_bytes > done_bytes) {
    line += "  " + left_text(static_cast<double>(total_bytes - done_bytes) / rate);
  }
  return line;
}

void WorkDisplay::show(const std::string& doing, std::uint64_t done_bytes,
                       std::uint64_t total_bytes) {
  const auto now = clock_.monotonic_now();
  const bool is_new = doing != doing_;
  if (is_new) {
    doing_ = doing;
    began_ = now;
  }
  if (!is_new && now - shown_ < (output_.is_terminal() ? kBetweenLive : kBetweenNotes)) return;
  shown_ = now;
  const std::string line = work_line(doing, done_bytes, total_bytes, now - began_);
  if (output_.is_terminal()) {
    output_.live(line);
  } else {
    output_.note(line);
  }
}

}  // namespace segue::cli
