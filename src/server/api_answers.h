// SPDX-License-Identifier: Apache-2.0
// How the interface's answers look.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/error.h"
#include "server/http_listener.h"

namespace segue::server {

HttpAnswer json_answer(const nlohmann::json& json, unsigned status = 200);
// {"error": …, "code": …} with the status that fits.
HttpAnswer answer_of(const base::Error& error);
// A number of the query; 0 where it is not there. invalid_argument: it is none.
base::Result<std::uint64_t> number_asked(const HttpRequest& request, const char* name);
// Empty where it is not there.
std::string text_asked(const HttpRequest& request, const char* name);

}  // namespace segue::server
