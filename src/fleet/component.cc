// SPDX-License-Identifier: Apache-2.0
#include "fleet/component.h"

#include "fleet/words.h"

namespace segue::fleet {
namespace {

constexpr Words<Driver, 2> kDrivers = {
    {{Driver::process, "process"}, {Driver::container, "container"}}};

constexpr Words<Network, 3> kNetworks = {
    {{Network::host, "host"}, {Network::bridge, "bridge"}, {Network::none, "none"}}};

}  // namespace

std::string_view to_string(Driver driver) {
  return word_of(kDrivers, driver);
}
std::optional<Driver> driver_of(std::string_view word) {
  return value_of(kDrivers, word);
}

std::string_view to_string(Network network) {
  return word_of(kNetworks, network);
}
std::optional<Network> network_of(std::string_view word) {
  return value_of(kNetworks, word);
}

}  // namespace segue::fleet
