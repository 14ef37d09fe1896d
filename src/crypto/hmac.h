// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace segue::crypto {

// HMAC-SHA-256 (RFC 2104, FIPS 198-1): 32 bytes.
[[nodiscard]] std::string hmac_sha256(std::string_view key, std::string_view message);

// In a time that depends on the lengths alone.
[[nodiscard]] bool equal_secrets(std::string_view a, std::string_view b);

}  // namespace segue::crypto
