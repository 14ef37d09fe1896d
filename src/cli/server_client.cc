// SPDX-License-Identifier: Apache-2.0
#include "cli/server_client.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "fetch/api_client.h"
#include "os/files.h"
#include "os/paths.h"

namespace segue::cli {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using control::ExitCode;

constexpr std::size_t kMaxProfileBytes = std::size_t{64} << 10;

ErrorCode code_of(long status) {
  switch (status) {
    case 400:
    case 413:
    case 422:
      return ErrorCode::invalid_argument;
    case 401:
    case 403:
      return ErrorCode::permission_denied;
    case 404:
    case 405:
      return ErrorCode::not_found;
    case 409:
      return ErrorCode::failed_precondition;
    case 429:
      return ErrorCode::resource_exhausted;
    default:
      return ErrorCode::unavailable;
  }
}

}  // namespace

Result<ServerClient> ServerClient::open(const FleetOptions& options) {
  std::string path = options.profile;
  const char* named = std::getenv("SEGUE_PROFILE");  // NOLINT(concurrency-mt-unsafe)
  if (path.empty() && named != nullptr) path = named;
  if (path.empty()) {
    SEGUE_ASSIGN(const auto directories, os::directories());
    path = directories.state + "/server/admin.json";
  }
  auto text = os::read_file(path, kMaxProfileBytes);
  if (!text) {
    return fail(text.error().with(
        fmt::format("no server is known: {} cannot be read; name one with --profile", path)));
  }
  const Json json = Json::parse(*text, nullptr, false);
  ServerClient server;
  std::string url;
  for (const auto& [name, place] :
       {std::pair{"url", &url}, {"token", &server.token_}, {"authority", &server.authority_}}) {
    const auto found = json.is_object() ? json.find(name) : json.end();
    if (found == json.end() || !found->is_string()) {
      return fail(ErrorCode::invalid_argument, "{} is no profile: '{}' is missing", path, name);
    }
    *place = found->get<std::string>();
  }
  const Json urls = json.value("urls", Json::array());
  if (!urls.is_array() || !std::ranges::all_of(urls, &Json::is_string)) {
    return fail(ErrorCode::invalid_argument, "{} is no profile: 'urls' is no list of texts", path);
  }
  server.urls_ = urls.get<std::vector<std::string>>();
  if (server.urls_.empty()) server.urls_.push_back(url);
  return server;
}

Result<Json> ServerClient::ask(const std::string& method, const std::string& path, const Json& body,
                               std::function<bool()> is_over) const {
  SEGUE_ASSIGN(const auto answer, fetch::call_api({.method = method,
                                                   .servers = urls_,
                                                   .path = path,
                                                   .bearer = token_,
                                                   .authority_pem = authority_,
                                                   .body = body.is_null() ? "" : body.dump(),
                                                   .is_over = std::move(is_over)}));
  const auto place = std::ranges::find(urls_, answer.server);
  std::rotate(urls_.begin(), place, urls_.end());
  Json json = Json::parse(answer.body, nullptr, false);
  if (answer.status / 100 == 2 && json.is_object()) return json;
  const std::string text =
      json.is_object() ? json.value("error", "") : fmt::format("status {}", answer.status);
  return fail(code_of(answer.status), "{}", text);
}

Result<void> ServerClient::follow(const std::string& path,
                                  const std::function<bool(std::string_view bytes)>& sink) const {
  return fetch::follow_api({.servers = urls_,
                            .path = path,
                            .bearer = token_,
                            .authority_pem = authority_,
                            .limit = base::Duration(0)},
                           sink);
}

std::string ServerClient::profile_of(const std::string& token) const {
  return Json{{"segue_profile", 1},
              {"url", urls_.front()},
              {"urls", urls_},
              {"token", token},
              {"authority", authority_}}
             .dump(2) +
         "\n";
}

std::string text_of(const Json& json, const char* name) {
  const auto found = json.find(name);
  if (found == json.end()) return "";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

std::string time_text(std::uint64_t time_ms) {
  if (time_ms == 0) return "";
  return fmt::format("{:%F %T} UTC", fmt::gmtime(static_cast<std::time_t>(time_ms / 1'000)));
}

ExitCode show(Output& output, const Json& json, const std::vector<std::string>& lines) {
  if (output.json()) {
    Json object = json;
    object["done"] = true;
    object["exit"] = 0;
    return output.finish(object);
  }
  for (const auto& line : lines) output.print(line);
  return ExitCode::done;
}

// RFC 3986, section 2.3.
std::string url_escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    const bool is_plain = std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                          std::string_view("-._~").find(c) != std::string_view::npos;
    escaped += is_plain
                   ? std::string(1, c)
                   : fmt::format("%{:02X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
  }
  return escaped;
}

}  // namespace segue::cli
