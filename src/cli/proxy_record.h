// SPDX-License-Identifier: Apache-2.0
// What a component's canary is to get of HAProxy, and what was counted since, as it is written down
// in the component's state folder.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "traffic/haproxy_meter.h"

namespace segue::cli {

struct ProxyRecord {
  std::string socket;
  traffic::ProxyWanted wanted;
  std::string set_at;  // UTC
  traffic::ProxyMeter::State meter;
};

std::string to_json(const ProxyRecord& record);
// data_loss: damaged, or of another version.
base::Result<ProxyRecord> parse_proxy_record(const std::string& text);

// Of the component with this state folder; nullopt: none was ever written.
base::Result<std::optional<ProxyRecord>> read_proxy_record(const std::string& folder);
bool has_proxy_record(const std::string& folder);
// Makes the folder where it is missing: HAProxy's host may run no slot.
base::Result<void> write_proxy_record(const std::string& folder, const ProxyRecord& record);
void remove_proxy_record(const std::string& folder);

}  // namespace segue::cli
