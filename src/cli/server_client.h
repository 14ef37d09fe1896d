// SPDX-License-Identifier: Apache-2.0
// How commands ask the server of the fleet.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "cli/fleet_options.h"
#include "cli/output.h"

namespace segue::cli {

class ServerClient {
 public:
  // By the profile that is named, that of $SEGUE_PROFILE, or that of a server on this host: a file
  // {"segue_profile": 1, "url": …, "urls": […], "token": …, "authority": PEM}, `urls` being those
  // of several servers, of which one leads.
  static base::Result<ServerClient> open(const FleetOptions& options);

  // The answer's object. Its own error otherwise; unavailable: nothing answered, and what is not a
  // GET may have been done. `is_over` ends it within a second, as if nothing had answered.
  [[nodiscard]] base::Result<Json> ask(const std::string& method, const std::string& path,
                                       const Json& body = nullptr,
                                       std::function<bool()> is_over = nullptr) const;
  // Bytes of an answer that goes on, as they come; false ends it.
  [[nodiscard]] base::Result<void> follow(
      const std::string& path, const std::function<bool(std::string_view bytes)>& sink) const;

  // As PEM: the certificate of the fleet's authority.
  [[nodiscard]] const std::string& authority() const { return authority_; }
  // The profile of somebody else at the same servers.
  [[nodiscard]] std::string profile_of(const std::string& token) const;

 private:
  // https://HOST:PORT; first the one that has answered last.
  mutable std::vector<std::string> urls_;
  std::string token_;
  std::string authority_;
};

// A member for people; empty where it is not there.
std::string text_of(const Json& json, const char* name);
// 2026-11-22 01:15:07 UTC; "" for 0.
std::string time_text(std::uint64_t time_ms);
// The answer with --json, these lines otherwise.
control::ExitCode show(Output& output, const Json& json, const std::vector<std::string>& lines);
// What may stand in a URL's query.
std::string url_escaped(std::string_view text);

}  // namespace segue::cli
