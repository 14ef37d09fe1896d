// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "base/error.h"

namespace segue::fleet {

// [HOST[:PORT]/]NAME[/NAME…][:TAG][@sha256:DIGEST], at most 500 bytes, as in
// https://github.com/distribution/reference. invalid_argument says what is wrong.
base::Result<void> check_image_name(std::string_view text);

}  // namespace segue::fleet
