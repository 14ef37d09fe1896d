// SPDX-License-Identifier: Apache-2.0
// "Look at this repository": what a hook, a webhook or `segue build notify` leaves in the spool.
// Pure. As a file:
//   segue-notice 1
//   repository NAME
//   ref refs/heads/main        (perhaps)
//   commit 40-OR-64-DIGITS     (perhaps)
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/error.h"

namespace segue::builder {

inline constexpr std::size_t kMaxNoticeBytes = 4'096;
inline constexpr std::size_t kMaxRefBytes = 1'024;

struct Notice {
  std::string repository;  // its name in the builder's configuration
  std::string ref;         // empty: any
  std::string commit;      // empty: whatever the refs point at

  friend bool operator==(const Notice&, const Notice&) = default;
};

// 40 or 64 hexadecimal digits in lower case.
bool is_commit(std::string_view text);
// What a push that deletes a ref names instead of a commit.
bool is_no_commit(std::string_view text);
// As git-check-ref-format(1) has it, below refs/.
bool is_ref(std::string_view text);
// `pattern` is a ref, or ends with '*', which stands for anything.
bool matches(std::string_view pattern, std::string_view ref);

// invalid_argument says which part is not what it should be.
base::Result<void> check(const Notice& notice);
std::string encode(const Notice& notice);
base::Result<Notice> parse_notice(std::string_view bytes);

}  // namespace segue::builder
