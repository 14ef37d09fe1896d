// SPDX-License-Identifier: Apache-2.0
#include "cli/share_record.h"

#include <nlohmann/json.hpp>

#include "os/files.h"

namespace segue::cli {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using Json = nlohmann::json;

constexpr std::size_t kMaxRecordBytes = std::size_t{1} << 20;
constexpr int kVersion = 1;

std::string path_in(const std::string& folder) {
  return folder + "/share.json";
}

template <class T>
std::optional<T> unsigned_at(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_unsigned()) return std::nullopt;
  const auto number = found->get<std::uint64_t>();
  if (number > std::numeric_limits<T>::max()) return std::nullopt;
  return static_cast<T>(number);
}

std::optional<traffic::KnownGroup> group_of(const Json& object) {
  if (!object.is_object()) return std::nullopt;
  const auto stable_cookie = unsigned_at<std::uint64_t>(object, "stable_cookie");
  const auto canary_cookie = unsigned_at<std::uint64_t>(object, "canary_cookie");
  const auto stable = unsigned_at<std::uint32_t>(object, "stable_index");
  const auto canary = unsigned_at<std::uint32_t>(object, "canary_index");
  if (!stable_cookie || !canary_cookie || !stable || !canary) return std::nullopt;
  return traffic::KnownGroup{*stable_cookie, *canary_cookie, {*stable, *canary}};
}

}  // namespace

std::string to_json(const ShareRecord& record) {
  Json groups = Json::object();
  for (const auto& [name, known] : record.groups) {
    groups[name] = {{"stable_cookie", known.stable_cookie},
                    {"canary_cookie", known.canary_cookie},
                    {"stable_index", known.members.stable},
                    {"canary_index", known.members.canary}};
  }
  return Json{{"version", kVersion},
              {"share_ppm", record.rule.share_ppm},
              {"pick", std::string(to_string(record.rule.pick))},
              {"salt", record.rule.salt},
              {"set_at", record.set_at},
              {"boot_id", record.boot_id},
              {"groups", groups}}
             .dump() +
         "\n";
}

Result<ShareRecord> parse_share_record(const std::string& text) {
  const auto refuse = [] {
    return fail(ErrorCode::data_loss, "it is damaged: set the share again");
  };
  const Json object = Json::parse(text, nullptr, false);
  if (!object.is_object() || unsigned_at<int>(object, "version") != kVersion) return refuse();
  const auto share_ppm = unsigned_at<std::uint32_t>(object, "share_ppm");
  const auto salt = unsigned_at<std::uint32_t>(object, "salt");
  const auto groups = object.find("groups");
  for (const char* key : {"pick", "set_at", "boot_id"}) {
    if (!object.contains(key) || !object.at(key).is_string()) return refuse();
  }
  const auto pick = traffic::parse_pick(object.at("pick").get<std::string>());
  if (!share_ppm || *share_ppm > traffic::kWholePpm || !salt || !pick || groups == object.end() ||
      !groups->is_object()) {
    return refuse();
  }
  ShareRecord record{{*share_ppm, *pick, *salt},
                     object.at("set_at").get<std::string>(),
                     object.at("boot_id").get<std::string>(),
                     {}};
  for (const auto& [name, value] : groups->items()) {
    const auto known = group_of(value);
    if (!known) return refuse();
    record.groups[name] = *known;
  }
  return record;
}

Result<std::optional<ShareRecord>> read_share_record(const std::string& folder) {
  const std::string path = path_in(folder);
  const auto text = os::read_file(path, kMaxRecordBytes);
  if (!text && text.error().code() == ErrorCode::not_found) return std::nullopt;
  if (!text) return fail(text.error());
  auto record = parse_share_record(*text);
  if (!record) return fail(std::move(record).error().with(path));
  return *std::move(record);
}

Result<void> write_share_record(const std::string& folder, const ShareRecord& record) {
  return os::write_file_atomically(path_in(folder), to_json(record));
}

}  // namespace segue::cli
