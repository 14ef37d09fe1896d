// SPDX-License-Identifier: Apache-2.0
#include "cli/proxy_record.h"

#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "os/files.h"

namespace segue::traffic {

// By the names of members, as nlohmann-json looks for them.
NLOHMANN_JSON_SERIALIZE_ENUM(ServerDuty, {{ServerDuty::serve, "serve"},
                                          {ServerDuty::drain, "drain"},
                                          {ServerDuty::maintain, "maintain"},
                                          {ServerDuty::leave, "leave"}})
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(WantedServer, name, is_canary, duty, address, port, is_checked)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ProxyWanted, backend, share_ppm, servers, maps)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ProxyProcess, major, minor, version, pid, start_s)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(MovedShare, stable, canary, stable_current, canary_current,
                                   restarts)

}  // namespace segue::traffic

namespace segue::cli {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using Json = nlohmann::json;

constexpr std::size_t kMaxRecordBytes = std::size_t{64} << 20;
constexpr int kVersion = 1;

std::string path_in(const std::string& folder) {
  return folder + "/share-haproxy.json";
}

ProxyRecord record_of(const Json& object) {
  ProxyRecord record;
  object.at("socket").get_to(record.socket);
  object.at("wanted").get_to(record.wanted);
  object.at("set_at").get_to(record.set_at);
  const Json& meter = object.at("meter");
  if (meter.contains("process")) record.meter.process = meter.at("process");
  meter.at("last").get_to(record.meter.last);
  meter.at("moved").get_to(record.meter.moved);
  return record;
}

}  // namespace

std::string to_json(const ProxyRecord& record) {
  Json meter{{"last", record.meter.last}, {"moved", record.meter.moved}};
  if (record.meter.process) meter["process"] = *record.meter.process;
  return Json{{"version", kVersion},
              {"socket", record.socket},
              {"wanted", record.wanted},
              {"set_at", record.set_at},
              {"meter", std::move(meter)}}
             .dump() +
         "\n";
}

Result<ProxyRecord> parse_proxy_record(const std::string& text) {
  const Json object = Json::parse(text, nullptr, false);
  try {
    if (object.is_object() && object.at("version") == kVersion) return record_of(object);
  } catch (const Json::exception&) {
    // Said below: which member it is helps nobody.
  }
  return fail(ErrorCode::data_loss, "it is damaged: set the share again, with --haproxy");
}

Result<std::optional<ProxyRecord>> read_proxy_record(const std::string& folder) {
  const std::string path = path_in(folder);
  const auto text = os::read_file(path, kMaxRecordBytes);
  if (!text && text.error().code() == ErrorCode::not_found) return std::nullopt;
  if (!text) return fail(text.error());
  auto record = parse_proxy_record(*text);
  if (!record) return fail(std::move(record).error().with(path));
  return *std::move(record);
}

bool has_proxy_record(const std::string& folder) {
  return ::access(path_in(folder).c_str(), F_OK) == 0;
}

Result<void> write_proxy_record(const std::string& folder, const ProxyRecord& record) {
  SEGUE_TRY(os::ensure_private_directory(folder));
  return os::write_file_atomically(path_in(folder), to_json(record));
}

void remove_proxy_record(const std::string& folder) {
  ::unlink(path_in(folder).c_str());
}

}  // namespace segue::cli
