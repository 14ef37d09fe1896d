// SPDX-License-Identifier: Apache-2.0
// Whatever the bytes, a notice keeps its bounds, and reading it again finds the same.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "keeper/contract/notice.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto notice = segue::keeper::parse_notice(input);
  if (!notice) return 0;
  SEGUE_ASSERT(input.size() <= segue::keeper::kMaxNoticeBytes + 1);
  SEGUE_ASSERT(notice->fd_name.size() <= segue::keeper::kMaxFdNameBytes);
  SEGUE_ASSERT(notice->fd_name.find(':') == std::string::npos);
  SEGUE_ASSERT(!notice->status || notice->status->size() <= segue::keeper::kMaxStatusBytes);
  SEGUE_ASSERT(!notice->main_pid || *notice->main_pid > 1);
  SEGUE_ASSERT(!notice->watchdog_interval || notice->watchdog_interval->count() > 0);
  SEGUE_ASSERT(!notice->extend_timeout || notice->extend_timeout->count() > 0);
  SEGUE_ASSERT(segue::keeper::parse_notice(input) == notice);
  return 0;
}
