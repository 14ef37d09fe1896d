// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace segue::server {

// protocol/openapi.json, which describes the HTTP interface
// (https://spec.openapis.org/oas/v3.1.0), as it was when this program was built.
std::string_view openapi_document();

}  // namespace segue::server
