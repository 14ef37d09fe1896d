// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"

namespace segue::control {

struct ListenAddress {
  std::string address;     // without the brackets of IPv6
  std::uint16_t port = 0;  // 0: any that is free
};

// ADDRESS:PORT or [ADDRESS]:PORT. invalid_argument names `option` and shows what would be right.
base::Result<ListenAddress> parse_listen_address(const std::string& option,
                                                 const std::string& text);

}  // namespace segue::control
