// SPDX-License-Identifier: Apache-2.0
#include "keeper/contract/notice.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <limits>

namespace segue::keeper {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

template <class T>
std::optional<T> number(std::string_view text, T min, T max) {
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value < min || value > max ? std::nullopt : std::optional(value);
}

std::optional<base::Duration> microseconds(std::string_view text) {
  constexpr std::int64_t kMaxUs = std::int64_t{86'400} * 365 * 1'000'000;
  const auto us = number<std::int64_t>(text, 1, kMaxUs);
  if (!us) return std::nullopt;
  return std::chrono::microseconds(*us);
}

bool is_fd_name(std::string_view name) {
  return name.size() <= kMaxFdNameBytes && std::all_of(name.begin(), name.end(), [](char c) {
           return c >= ' ' && c < 0x7F && c != ':';
         });
}

bool flag(std::string_view value, bool& place) {
  if (value != "1") return false;
  return place = true;
}

template <class T>
bool keep(const std::optional<T>& value, std::optional<T>& place) {
  if (value) place = value;
  return value.has_value();
}

bool take_watchdog(Notice& notice, std::string_view value) {
  if (value == "1") {
    notice.watchdog = Notice::Watchdog::ping;
  } else if (value == "trigger") {
    notice.watchdog = Notice::Watchdog::trigger;
  } else {
    return false;
  }
  return true;
}

bool take_fd_name(Notice& notice, std::string_view value) {
  if (!is_fd_name(value)) return false;
  notice.fd_name = value;
  return true;
}

bool take_fd_poll(Notice& notice, std::string_view value) {
  if (value != "0" && value != "1") return false;
  notice.fd_poll = value == "1";
  return true;
}

bool take_status(Notice& notice, std::string_view value) {
  notice.status = std::string(value.substr(0, kMaxStatusBytes));
  return true;
}

struct Key {
  std::string_view name;
  bool (*take)(Notice& notice, std::string_view value);  // false: the value is wrong
};

using Text = std::string_view;
constexpr std::int32_t kMaxPid = std::numeric_limits<std::int32_t>::max();
constexpr std::int32_t kMaxErrno = 4'095;
constexpr Key kKeys[] = {
    {"READY", [](Notice& n, Text v) { return flag(v, n.ready); }},
    {"RELOADING", [](Notice& n, Text v) { return flag(v, n.reloading); }},
    {"STOPPING", [](Notice& n, Text v) { return flag(v, n.stopping); }},
    {"BARRIER", [](Notice& n, Text v) { return flag(v, n.barrier); }},
    {"FDSTORE", [](Notice& n, Text v) { return flag(v, n.store); }},
    {"FDSTOREREMOVE", [](Notice& n, Text v) { return flag(v, n.remove); }},
    {"FDNAME", take_fd_name},
    {"FDPOLL", take_fd_poll},
    {"STATUS", take_status},
    {"WATCHDOG", take_watchdog},
    {"MAINPID",
     [](Notice& n, Text v) { return keep(number<std::int32_t>(v, 2, kMaxPid), n.main_pid); }},
    {"ERRNO",
     [](Notice& n, Text v) { return keep(number<std::int32_t>(v, 0, kMaxErrno), n.error_number); }},
    {"WATCHDOG_USEC", [](Notice& n, Text v) { return keep(microseconds(v), n.watchdog_interval); }},
    {"EXTEND_TIMEOUT_USEC",
     [](Notice& n, Text v) { return keep(microseconds(v), n.extend_timeout); }},
    {"MONOTONIC_USEC",
     [](Notice& n, Text v) {
       return keep(number<std::uint64_t>(v, 0, std::numeric_limits<std::uint64_t>::max()),
                   n.monotonic_us);
     }},
};

void take_line(Notice& notice, std::string_view line) {
  const std::size_t equals = line.find('=');
  if (equals == std::string_view::npos) return;
  const std::string_view name = line.substr(0, equals);
  for (const Key& key : kKeys) {
    if (key.name != name) continue;
    if (!key.take(notice, line.substr(equals + 1))) notice.wrong = name;
    return;
  }
}

}  // namespace

Result<Notice> parse_notice(std::string_view message) {
  if (message.ends_with('\0')) message.remove_suffix(1);
  if (message.size() > kMaxNoticeBytes) {
    return fail(ErrorCode::invalid_argument, "the message is longer than {} bytes",
                kMaxNoticeBytes);
  }
  if (message.find('\0') != std::string_view::npos) {
    return fail(ErrorCode::invalid_argument, "there is a NUL inside the message");
  }
  Notice notice;
  while (!message.empty()) {
    const std::size_t end = std::min(message.find('\n'), message.size());
    take_line(notice, message.substr(0, end));
    message.remove_prefix(std::min(end + 1, message.size()));
  }
  return notice;
}

}  // namespace segue::keeper
