// SPDX-License-Identifier: Apache-2.0
#include "fleet/servers.h"

#include <algorithm>

#include "base/assert.h"
#include "tuf/fields.h"
#include "tuf/json.h"

namespace segue::fleet {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxBytes = std::size_t{16} << 10;
constexpr const char* kFormat = "segue_servers";

}  // namespace

bool is_server_address(std::string_view text) {
  const auto colon = text.rfind(':');
  return text.size() <= kMaxServerAddressBytes && colon != std::string_view::npos && colon != 0 &&
         text.find_first_of(", \n") == std::string_view::npos;
}

std::string write_servers(const std::vector<std::string>& addresses) {
  SEGUE_ASSERT(addresses.size() <= kMaxServers);
  return tuf::Json{{kFormat, 1}, {"agents", addresses}}.dump();
}

Result<std::vector<std::string>> read_servers(std::string_view bytes) {
  if (bytes.size() > kMaxBytes) {
    return fail(ErrorCode::data_loss, "a list of servers of {} bytes", bytes.size());
  }
  SEGUE_ASSIGN(tuf::Json json, tuf::parse_json(bytes));
  SEGUE_ASSIGN(auto fields, tuf::Fields::of(std::move(json), "a list of servers"));
  SEGUE_TRY(fields.number(kFormat, 1));
  SEGUE_ASSIGN(auto addresses, fields.strings("agents"));
  if (!addresses.empty() && addresses.size() <= kMaxServers &&
      std::ranges::all_of(addresses, &is_server_address)) {
    return addresses;
  }
  return fail(ErrorCode::data_loss, "a list of servers that names none, too many, or no HOST:PORT");
}

}  // namespace segue::fleet
