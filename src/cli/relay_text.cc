// SPDX-License-Identifier: Apache-2.0
#include "cli/relay_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "control/text.h"
#include "tree/beneath.h"

namespace segue::cli {
namespace {

using control::bytes_text;

// What another host says is not printed as it is.
std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? tree::shown(found->get<std::string>()) : "";
}

std::uint64_t count_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

bool has(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && !found->is_null();
}

std::string rate_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  const double rate = found != object.end() && found->is_number() ? found->get<double>() : 0;
  return bytes_text(static_cast<std::uint64_t>(std::clamp(rate, 0.0, 1e12))) + "/s";
}

std::string eta_text(std::uint64_t seconds) {
  if (seconds < 120) return fmt::format("{} s", seconds);
  if (seconds < 7'200) return fmt::format("{} min", seconds / 60);
  return fmt::format("{} h", seconds / 3'600);
}

bool truth_of(const Json& object, const char* key, bool otherwise) {
  const auto found = object.find(key);
  return found != object.end() && found->is_boolean() ? found->get<bool>() : otherwise;
}

Json list_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_array() ? *found : Json::array();
}

std::string line_text(const Json& line) {
  return fmt::format(
      "{} now{}, {} today, {} in all", rate_of(line, "bytes_per_s"),
      has(line, "limit_bytes_per_s") ? " of " + rate_of(line, "limit_bytes_per_s") : std::string(),
      bytes_text(count_of(line, "bytes_today")), bytes_text(count_of(line, "bytes_total")));
}

std::string host_text(const Json& host) {
  std::string text = fmt::format("  {}  {}  {} at {}", text_of(host, "host"), text_of(host, "task"),
                                 bytes_text(count_of(host, "bytes")), rate_of(host, "bytes_per_s"));
  if (has(host, "left_bytes")) text += ", " + bytes_text(count_of(host, "left_bytes")) + " left";
  if (has(host, "eta_s")) text += ", " + eta_text(count_of(host, "eta_s"));
  return text + "  by " + text_of(host, "relay");
}

}  // namespace

std::vector<std::string> relay_lines(const Json& state) {
  const std::string leader = text_of(state, "leader");
  std::vector<std::string> lines = {
      fmt::format("site {}: {}", text_of(state, "site"),
                  leader.empty() ? "it is not known yet who leads" : leader + " leads")};
  lines.emplace_back("relays:");
  for (const Json& member : list_of(state, "members")) {
    if (!member.is_object()) continue;
    const bool is_alive = truth_of(member, "alive", false);
    std::string line =
        fmt::format("  {}  {}", text_of(member, "name"), is_alive ? "answers" : "does not answer");
    if (!truth_of(member, "trusted", true)) line += ", not trusted for a while";
    if (is_alive && has(member, "line") && member["line"].is_object()) {
      line += "  line: " + line_text(member["line"]);
    }
    lines.push_back(std::move(line));
  }
  const Json transfers = list_of(state, "transfers");
  lines.push_back(fmt::format("transfers of {}: {}", text_of(state, "name"), transfers.size()));
  for (const Json& transfer : transfers) {
    if (!transfer.is_object()) continue;
    const std::string source = text_of(transfer, "source");
    lines.push_back(fmt::format(
        "  {:.12}  {}{}  {}", text_of(transfer, "object"), bytes_text(count_of(transfer, "bytes")),
        has(transfer, "of") ? " of " + bytes_text(count_of(transfer, "of")) : std::string(),
        source.empty() ? "waits" : "from " + source));
  }
  const Json hosts = list_of(state, "site_hosts");
  lines.push_back(fmt::format("hosts: {}", hosts.size()));
  for (const Json& host : hosts) {
    if (host.is_object()) lines.push_back(host_text(host));
  }
  return lines;
}

}  // namespace segue::cli
