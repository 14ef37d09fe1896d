// SPDX-License-Identifier: Apache-2.0
// RFC 4648, section 4, with padding.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace segue::base {

[[nodiscard]] std::string to_base64(std::string_view bytes);
// Nothing where it is none.
[[nodiscard]] std::optional<std::string> from_base64(std::string_view text);

}  // namespace segue::base
