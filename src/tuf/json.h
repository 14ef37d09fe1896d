// SPDX-License-Identifier: Apache-2.0
// JSON as TUF metadata uses it (RFC 8259, narrower): objects without repeated names, integers of 64
// bits, no fractions, nothing that nests deeper than kMaxJsonDepth; and its canonical form, over
// which signatures and key ids are made.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/error.h"

namespace segue::tuf {

using Json = nlohmann::json;

inline constexpr std::size_t kMaxJsonDepth = 32;

// data_loss says what is wrong, and at which byte where that is known.
base::Result<Json> parse_json(std::string_view bytes);

// Canonical JSON: names sorted by their bytes, no white space, only '"' and '\' escaped.
// invalid_argument: a fraction, a string that is not UTF-8, or too deep.
// http://wiki.laptop.org/go/Canonical_JSON
base::Result<std::string> canonical_json(const Json& value);

}  // namespace segue::tuf
