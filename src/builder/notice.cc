// SPDX-License-Identifier: Apache-2.0
#include "builder/notice.h"

#include <algorithm>

#include "control/name.h"

namespace segue::builder {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::string_view kHead = "segue-notice 1\n";
constexpr std::size_t kSha1Digits = 40;
constexpr std::size_t kSha256Digits = 64;

bool is_object_name_size(std::size_t size) {
  return size == kSha1Digits || size == kSha256Digits;
}

}  // namespace

bool is_commit(std::string_view text) {
  return is_object_name_size(text.size()) && !is_no_commit(text) &&
         std::ranges::all_of(
             text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_no_commit(std::string_view text) {
  return is_object_name_size(text.size()) && text.find_first_not_of('0') == std::string_view::npos;
}

bool is_ref(std::string_view text) {
  if (!text.starts_with("refs/") || text.size() > kMaxRefBytes || text.ends_with('/') ||
      text.ends_with('.') || text.ends_with(".lock")) {
    return false;
  }
  for (const std::string_view part : {"..", "//", "/.", "@{", ".lock/", "\x7f"}) {
    if (text.find(part) != std::string_view::npos) return false;
  }
  return std::ranges::all_of(text, [](char c) {
    return static_cast<unsigned char>(c) > ' ' &&
           std::string_view("~^:?*[\\").find(c) == std::string_view::npos;
  });
}

bool matches(std::string_view pattern, std::string_view ref) {
  if (!pattern.ends_with('*')) return pattern == ref;
  return ref.starts_with(pattern.substr(0, pattern.size() - 1));
}

Result<void> check(const Notice& notice) {
  SEGUE_TRY(control::check_name(notice.repository));
  if (!notice.ref.empty() && !is_ref(notice.ref)) {
    return fail(ErrorCode::invalid_argument, "'{}' is not a ref, such as refs/heads/main",
                notice.ref);
  }
  if (!notice.commit.empty() && !is_commit(notice.commit)) {
    return fail(ErrorCode::invalid_argument,
                "'{}' is not a commit: 40 (or 64) hexadecimal digits in lower case", notice.commit);
  }
  return {};
}

std::string encode(const Notice& notice) {
  std::string text = std::string(kHead) + "repository " + notice.repository + "\n";
  if (!notice.ref.empty()) text += "ref " + notice.ref + "\n";
  if (!notice.commit.empty()) text += "commit " + notice.commit + "\n";
  return text;
}

Result<Notice> parse_notice(std::string_view bytes) {
  Notice notice;
  bool fits = bytes.size() <= kMaxNoticeBytes && bytes.starts_with(kHead);
  if (fits) bytes.remove_prefix(kHead.size());
  while (fits && !bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const std::string_view line = bytes.substr(0, end);
    const std::size_t space = line.find(' ');
    if (end == bytes.npos || space == line.npos) {
      fits = false;
      break;
    }
    const std::string_view key = line.substr(0, space);
    std::string* place = key == "repository" ? &notice.repository
                         : key == "ref"      ? &notice.ref
                         : key == "commit"   ? &notice.commit
                                             : nullptr;
    fits = place != nullptr && place->empty();
    if (fits) *place = line.substr(space + 1);
    bytes.remove_prefix(end + 1);
  }
  if (!fits) return fail(ErrorCode::invalid_argument, "this is not a notice for a builder");
  SEGUE_TRY(check(notice));
  return notice;
}

}  // namespace segue::builder
