// SPDX-License-Identifier: Apache-2.0
#include "fleet/component_document.h"

#include <utility>
#include <vector>

#include "fleet/component_check.h"
#include "fleet/members.h"

namespace segue::fleet {

using base::ErrorCode;
using base::fail;
using base::Result;

template <>
struct Members<ReleaseSource> {
  static constexpr auto kRows = std::tuple(
      Member("library", &ReleaseSource::library), Member("component", &ReleaseSource::component),
      Member("version", &ReleaseSource::version), Member("root", &ReleaseSource::root),
      Member("registry", &ReleaseSource::registry));
};

template <>
struct Members<Volume> {
  static constexpr auto kRows =
      std::tuple(Member("source", &Volume::source), Member("target", &Volume::target),
                 Member("read_only", &Volume::read_only));
};

template <>
struct Members<Secret> {
  static constexpr auto kRows =
      std::tuple(Member("name", &Secret::name), Member("file", &Secret::file));
};

template <>
struct Members<PublishedPort> {
  static constexpr auto kRows = std::tuple(Member("host", &PublishedPort::host),
                                           Member("host_port", &PublishedPort::host_port),
                                           Member("port", &PublishedPort::port));
};

template <>
struct Members<Limits> {
  static constexpr auto kRows = std::tuple(Member("memory_bytes", &Limits::memory_bytes),
                                           Member("cpu_thousandths", &Limits::cpu_thousandths),
                                           Member("processes", &Limits::processes),
                                           Member("descriptors", &Limits::descriptors));
};

template <>
struct Members<HealthCheck> {
  static constexpr auto kRows =
      std::tuple(Member("kind", &HealthCheck::kind), Member("target", &HealthCheck::target),
                 Member("interval_ms", &HealthCheck::interval_ms),
                 Member("timeout_ms", &HealthCheck::timeout_ms),
                 Member("good_in_row", &HealthCheck::good_in_row),
                 Member("bad_in_row", &HealthCheck::bad_in_row));
};

template <>
struct Members<Sharing> {
  static constexpr auto kRows = std::tuple(
      Member("kind", &Sharing::kind), Member("pick", &Sharing::pick),
      Member("proxy_host", &Sharing::proxy_host), Member("proxy_socket", &Sharing::proxy_socket),
      Member("backend", &Sharing::backend), Member("stable_server", &Sharing::stable_server),
      Member("canary_server", &Sharing::canary_server), Member("map", &Sharing::map),
      Member("routed", &Sharing::routed), Member("map_value", &Sharing::map_value));
};

template <>
struct Members<HostSelector> {
  static constexpr auto kRows =
      std::tuple(Member("names", &HostSelector::names), Member("sites", &HostSelector::sites),
                 Member("labels", &HostSelector::labels));
};

template <>
struct Members<ComponentSpec> {
  static constexpr auto kRows = std::tuple(
      Member("service", &ComponentSpec::service), Member("name", &ComponentSpec::name),
      Member("driver", &ComponentSpec::driver), Member("release", &ComponentSpec::release),
      Member("command", &ComponentSpec::command),
      Member("environment", &ComponentSpec::environment),
      Member("secrets", &ComponentSpec::secrets), Member("volumes", &ComponentSpec::volumes),
      Member("network", &ComponentSpec::network), Member("ports", &ComponentSpec::ports),
      Member("capabilities", &ComponentSpec::capabilities),
      Member("limits", &ComponentSpec::limits), Member("health", &ComponentSpec::health),
      Member("sharing", &ComponentSpec::sharing), Member("hosts", &ComponentSpec::hosts),
      Member("contract", &ComponentSpec::contract), Member("run", &ComponentSpec::run),
      Member("attempt", &ComponentSpec::attempt));
};

namespace {

constexpr const char* kFormatName = "segue_component";

Result<void> check_format(const tuf::Json& json) {
  std::uint64_t format = 0;
  std::vector<std::string> features;
  const auto named = json.find(kFormatName);
  if (named == json.end()) {
    return fail(ErrorCode::data_loss, "not a component: it has no '{}'", kFormatName);
  }
  SEGUE_TRY(MemberReader::read(*named, kFormatName, format));
  if (format != kComponentFormat) {
    return fail(ErrorCode::failed_precondition,
                "the component is of format {}, and this program knows {}: upgrade it", format,
                kComponentFormat);
  }
  if (const auto required = json.find("requires"); required != json.end()) {
    SEGUE_TRY(MemberReader::read(*required, "requires", features));
  }
  if (features.empty()) return {};  // none has been needed yet
  return fail(ErrorCode::failed_precondition,
              "the component requires '{}', which this program does not know: upgrade it",
              features.front().substr(0, 40));
}

}  // namespace

std::string write_component(const ComponentSpec& spec) {
  base::JsonWriter json;
  json.begin_object().field(kFormatName, kComponentFormat);
  MemberWriter(json).write_members(spec);
  json.end();
  return std::move(json).take();
}

Result<ComponentSpec> read_component(std::string_view bytes) {
  if (bytes.size() > kMaxComponentBytes) {
    return fail(ErrorCode::data_loss, "a component has at most {} bytes", kMaxComponentBytes);
  }
  SEGUE_ASSIGN(const tuf::Json json, tuf::parse_json(bytes));
  if (!json.is_object()) return fail(ErrorCode::data_loss, "not a component: no object");
  SEGUE_TRY(check_format(json));
  ComponentSpec spec;
  SEGUE_TRY(MemberReader::read(json, "", spec));
  SEGUE_TRY(check_component(spec));
  return spec;
}

std::optional<std::string> unknown_member_of(const tuf::Json& component) {
  if (!component.is_object()) return std::nullopt;
  tuf::Json members = component;
  members.erase(kFormatName);
  members.erase("requires");
  return unknown_member<ComponentSpec>(members, "");
}

}  // namespace segue::fleet
