// SPDX-License-Identifier: Apache-2.0
// Well-formed UTF-8 (Unicode 15, table 3-7): no overlong forms, no surrogates, nothing above
// U+10FFFF.
#pragma once

#include <cstddef>
#include <string_view>

namespace segue::base {

// Of the sequence that `text`, which is not empty, begins with, in bytes; 0: it is none.
std::size_t utf8_length(std::string_view text);
// How many bytes there are before the first that belongs to no sequence; all of them: it is UTF-8.
std::size_t utf8_prefix(std::string_view text);

}  // namespace segue::base
