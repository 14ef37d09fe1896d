// SPDX-License-Identifier: Apache-2.0
#include "agent/places_file.h"

#include <array>
#include <set>
#include <utility>

#include "control/name.h"
#include "control/options.h"
#include "health/http_answer.h"
#include "plan/document_fields.h"
#include "tuf/json.h"

namespace segue::agent {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using control::PlaceOptions;
using tuf::Fields;
using tuf::Json;

constexpr std::uint32_t kMaxLimitS = 86'400;
constexpr std::size_t kMaxTextBytes = 4'096;

Result<PlaceOptions> read_place(Json json) {
  SEGUE_ASSIGN(Fields fields, Fields::of(std::move(json), "a place"));
  PlaceOptions place;
  const std::array<std::pair<const char*, std::string*>, 11> texts = {
      {{"component", &place.component},
       {"place", &place.place},
       {"site", &place.site},
       {"library", &place.library},
       {"root", &place.root},
       {"stop", &place.stop},
       {"start", &place.start},
       {"upgrade", &place.upgrade},
       {"health_command", &place.health_command},
       {"health_tcp", &place.health_tcp},
       {"health_http", &place.health_http}}};
  for (const auto& [name, text] : texts) {
    const Json member = fields.take_if_any(name);
    if (member.is_null()) continue;
    if (!member.is_string()) {
      return fail(ErrorCode::data_loss, "'{}' of a place is not a text", name);
    }
    *text = member.get<std::string>();
  }
  const std::array<std::pair<const char*, std::uint32_t*>, 3> numbers = {
      {{"health_within_s", &place.health_within_s},
       {"health_good_in_row", &place.health_good_in_row},
       {"step_limit_s", &place.step_limit_s}}};
  for (const auto& [name, number] : numbers) {
    SEGUE_ASSIGN(const auto value, fields.number_if_any(name));
    if (value && *value > kMaxLimitS) {
      return fail(ErrorCode::data_loss, "'{}' of a place is more than {}", name, kMaxLimitS);
    }
    if (value) *number = static_cast<std::uint32_t>(*value);
  }
  SEGUE_ASSIGN(auto stage_options, fields.strings_if_any("stage_options"));
  if (stage_options) place.stage_options = *std::move(stage_options);
  SEGUE_ASSIGN(const auto undo, fields.boolean_if_any("undo"));
  place.undoes = undo.value_or(true);
  SEGUE_TRY(plan::nothing_else(std::move(fields)));
  return place;
}

}  // namespace

Result<std::vector<PlaceOptions>> read_places(std::string_view bytes) {
  if (bytes.size() > kMaxPlacesBytes) {
    return fail(ErrorCode::data_loss, "has more than {} bytes", kMaxPlacesBytes);
  }
  SEGUE_ASSIGN(Json json, tuf::parse_json(bytes));
  SEGUE_ASSIGN(Fields fields, Fields::of(std::move(json), "the file of places"));
  SEGUE_ASSIGN(const std::uint64_t format, fields.number("segue_places", 1));
  if (format != 1) {
    return fail(ErrorCode::failed_precondition, "is of format {}, and this program knows 1",
                format);
  }
  SEGUE_ASSIGN(Json list, plan::take_list(fields, "places", kMaxPlaces));
  SEGUE_TRY(plan::nothing_else(std::move(fields)));
  std::vector<PlaceOptions> places;
  for (auto& one : list) {
    SEGUE_ASSIGN(PlaceOptions place, read_place(std::move(one)));
    places.push_back(std::move(place));
  }
  SEGUE_TRY(check_places(places));
  return places;
}

Result<void> check_place(const PlaceOptions& place) {
  SEGUE_TRY(control::check_name(place.component));
  SEGUE_TRY(control::check_name(place.site));
  if (!place.place.starts_with('/')) {
    return fail(ErrorCode::invalid_argument, "the place of {} has to be an absolute path",
                place.component);
  }
  if (place.library.empty() || place.library.starts_with('-')) {
    return fail(ErrorCode::invalid_argument, "{} has no library to fetch releases from",
                place.component);
  }
  if (place.root.starts_with('-')) {
    return fail(ErrorCode::invalid_argument, "the root of {} is not a file", place.component);
  }
  for (const auto* text : {&place.place, &place.library, &place.root, &place.stop, &place.start,
                           &place.upgrade, &place.health_command}) {
    if (text->size() > kMaxTextBytes || text->find('\0') != std::string::npos) {
      return fail(ErrorCode::invalid_argument, "{} has a text that is too long, or has a zero byte",
                  place.component);
    }
  }
  for (const auto& option : place.stage_options) {
    if (option.starts_with("--") && option.size() <= kMaxTextBytes) continue;
    return fail(ErrorCode::invalid_argument, "'{}' of {} is not an option of `segue stage`",
                option.substr(0, 40), place.component);
  }
  if (!place.upgrade.empty() && (!place.stop.empty() || !place.start.empty())) {
    return fail(ErrorCode::invalid_argument,
                "{} has both an upgrade command and commands to stop or start: one of the two ways "
                "is needed",
                place.component);
  }
  if (!place.stop.empty() && place.start.empty()) {
    return fail(ErrorCode::invalid_argument, "{} has a command to stop and none to start",
                place.component);
  }
  if (!place.health_tcp.empty()) SEGUE_TRY(control::parse_host_port(place.health_tcp));
  if (!place.health_http.empty()) SEGUE_TRY(health::parse_http_target(place.health_http));
  if (place.health_within_s == 0 || place.health_good_in_row == 0 || place.step_limit_s == 0) {
    return fail(ErrorCode::invalid_argument, "{} has a limit of 0", place.component);
  }
  return {};
}

Result<void> check_places(const std::vector<PlaceOptions>& places) {
  if (places.empty()) return fail(ErrorCode::invalid_argument, "there is no place");
  std::set<std::string> components;
  std::set<std::string> directories;
  for (const auto& place : places) {
    SEGUE_TRY(check_place(place));
    if (!components.insert(place.component).second || !directories.insert(place.place).second) {
      return fail(ErrorCode::invalid_argument, "{} or its directory stands twice", place.component);
    }
  }
  return {};
}

}  // namespace segue::agent
