// SPDX-License-Identifier: Apache-2.0
#include "builder/record.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "builder/notice.h"

namespace segue::builder {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using Json = nlohmann::json;

constexpr std::array<std::pair<Stage, std::string_view>, 8> kStages = {{
    {Stage::queued, "queued"},
    {Stage::preparing, "preparing"},
    {Stage::building, "building"},
    {Stage::testing, "testing"},
    {Stage::publishing, "publishing"},
    {Stage::confirming, "confirming"},
    {Stage::held, "held"},
    {Stage::ended, "ended"},
}};
constexpr std::array<std::pair<Verdict, std::string_view>, 4> kVerdicts = {{
    {Verdict::none, "none"},
    {Verdict::published, "published"},
    {Verdict::passed, "passed"},
    {Verdict::failed, "failed"},
}};

template <class Enum, std::size_t N>
std::optional<Enum> find(const std::array<std::pair<Enum, std::string_view>, N>& names,
                         std::string_view name) {
  const auto found =
      std::ranges::find_if(names, [&](const auto& one) { return one.second == name; });
  if (found == names.end()) return std::nullopt;
  return found->first;
}

std::string text_of(const Json& object, const char* key) {
  return object.at(key).get<std::string>();
}

// Throws what nlohmann-json does where a key is missing or of another type.
Record read(const Json& object) {
  Record record;
  record.id = object.at("id").get<std::uint64_t>();
  record.repository = text_of(object, "repository");
  record.ref = text_of(object, "ref");
  record.commit = text_of(object, "commit");
  record.component = text_of(object, "component");
  record.version = text_of(object, "version");
  record.stage = find(kStages, text_of(object, "stage")).value();
  record.verdict = find(kVerdicts, text_of(object, "verdict")).value();
  record.why = text_of(object, "why");
  record.attempts = object.at("attempts").get<std::uint32_t>();
  record.queued_s = object.at("queued_s").get<std::int64_t>();
  record.began_s = object.at("began_s").get<std::int64_t>();
  record.ended_s = object.at("ended_s").get<std::int64_t>();
  record.noted = text_of(object, "noted");
  record.told = text_of(object, "told");
  return record;
}

}  // namespace

std::string_view to_string(Stage stage) {
  return kStages.at(static_cast<std::size_t>(stage)).second;
}

std::string_view to_string(Verdict verdict) {
  return kVerdicts.at(static_cast<std::size_t>(verdict)).second;
}

std::string_view to_string(Status status) {
  switch (status) {
    case Status::pending:
      return "pending";
    case Status::success:
      return "success";
    case Status::failure:
      return "failure";
  }
  return "failure";
}

Status status_of(const Record& record) {
  if (record.stage != Stage::ended) return Status::pending;
  return record.verdict == Verdict::failed ? Status::failure : Status::success;
}

std::string describe(const Record& record) {
  if (record.stage == Stage::held) return fmt::format("held: {}", record.why);
  if (record.stage != Stage::ended) return std::string(to_string(record.stage));
  switch (record.verdict) {
    case Verdict::published:
      return fmt::format("published {} {}", record.component, record.version);
    case Verdict::passed:
      return fmt::format("{} {} passed; this ref is not published", record.component,
                         record.version);
    default:
      return record.why;
  }
}

std::string encode(const Record& record) {
  const Json object = {{"format", kRecordFormat},
                       {"id", record.id},
                       {"repository", record.repository},
                       {"ref", record.ref},
                       {"commit", record.commit},
                       {"component", record.component},
                       {"version", record.version},
                       {"stage", to_string(record.stage)},
                       {"verdict", to_string(record.verdict)},
                       {"why", record.why},
                       {"attempts", record.attempts},
                       {"queued_s", record.queued_s},
                       {"began_s", record.began_s},
                       {"ended_s", record.ended_s},
                       {"noted", record.noted},
                       {"told", record.told}};
  return object.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<Record> parse_record(std::string_view bytes) {
  try {
    if (bytes.size() > kMaxRecordBytes) return fail(ErrorCode::data_loss, "it is too long");
    const Json object = Json::parse(bytes);
    if (object.at("format").get<std::uint32_t>() != kRecordFormat) {
      return fail(ErrorCode::data_loss, "it is of another version");
    }
    Record record = read(object);
    const bool ended = record.stage == Stage::ended;
    if (record.id == 0 || !is_commit(record.commit) || ended == (record.verdict == Verdict::none)) {
      return fail(ErrorCode::data_loss, "what it says does not fit together");
    }
    return record;
  } catch (const std::exception& error) {  // nlohmann::json, std::optional
    return fail(ErrorCode::data_loss, "it is not the record of a build: {}", error.what());
  }
}

}  // namespace segue::builder
