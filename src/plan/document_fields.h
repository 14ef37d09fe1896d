// SPDX-License-Identifier: Apache-2.0
// What the documents of this library have in common.
#pragma once

#include <string>

#include "plan/zones.h"
#include "tuf/fields.h"

namespace segue::plan {

base::Result<Instant> take_time(tuf::Fields& fields, const std::string& name);  // RFC 3339 with Z
base::Result<seconds> take_seconds(tuf::Fields& fields, const std::string& name);
base::Result<bool> take_truth(tuf::Fields& fields, const std::string& name);
base::Result<tuf::Json> take_list(tuf::Fields& fields, const std::string& name,
                                  std::size_t max_size);
// That every member was taken.
base::Result<void> nothing_else(tuf::Fields fields);
// One line, with its end.
std::string line_of(const tuf::Json& json);

}  // namespace segue::plan
