// SPDX-License-Identifier: Apache-2.0
#include "fleet/component.h"

#include "fleet/words.h"

namespace segue::fleet {
namespace {

constexpr Words<Driver, 2> kDrivers = {
    {{Driver::process, "process"}, {Driver::container, "container"}}};

constexpr Words<Network, 3> kNetworks = {
    {{Network::host, "host"}, {Network::bridge, "bridge"}, {Network::none, "none"}}};

constexpr Words<HealthCheck::Kind, 5> kHealthKinds = {{{HealthCheck::Kind::none, "none"},
                                                       {HealthCheck::Kind::http, "http"},
                                                       {HealthCheck::Kind::tcp, "tcp"},
                                                       {HealthCheck::Kind::exec, "exec"},
                                                       {HealthCheck::Kind::grpc, "grpc"}}};

constexpr Words<Sharing::Kind, 3> kSharingKinds = {{{Sharing::Kind::none, "none"},
                                                    {Sharing::Kind::kernel, "kernel"},
                                                    {Sharing::Kind::haproxy, "haproxy"}}};

constexpr Words<Sharing::Pick, 2> kSharingPicks = {
    {{Sharing::Pick::random, "random"}, {Sharing::Pick::source, "source"}}};

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

std::string_view to_string(HealthCheck::Kind kind) {
  return word_of(kHealthKinds, kind);
}

std::string_view to_string(Sharing::Kind kind) {
  return word_of(kSharingKinds, kind);
}

std::string_view to_string(Sharing::Pick pick) {
  return word_of(kSharingPicks, pick);
}

}  // namespace segue::fleet
