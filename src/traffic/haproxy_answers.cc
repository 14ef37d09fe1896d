// SPDX-License-Identifier: Apache-2.0
#include "traffic/haproxy_answers.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>

namespace segue::traffic {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxColumns = 512;
constexpr std::size_t kMaxShownBytes = 120;
constexpr std::uint32_t kMaxWeight = 256;
constexpr std::string_view kRunningState = "2";  // SRV_ST_RUNNING
constexpr std::string_view kStateFormat = "1";

struct Refusal {
  std::string_view says;  // somewhere in the answer
  ErrorCode code;
  std::string_view remedy;
};
constexpr std::array<Refusal, 12> kRefusals = {{
    {"Permission denied", ErrorCode::permission_denied,
     "its socket needs `level admin` in haproxy.cfg (stats socket … level admin)"},
    {"Unknown command", ErrorCode::failed_precondition, "this HAProxy is too old for it"},
    {"Can't find backend", ErrorCode::not_found, "name a backend of haproxy.cfg"},
    {"No such backend", ErrorCode::not_found, "name a backend of haproxy.cfg"},
    {"No such proxy", ErrorCode::not_found, "name a backend of haproxy.cfg"},
    {"No such server", ErrorCode::not_found, "name a server of that backend"},
    {"Unknown map identifier", ErrorCode::not_found,
     "name a file that haproxy.cfg uses in map(…), as it stands there"},
    {"static LB algorithm", ErrorCode::failed_precondition,
     "its balance algorithm has no weights that can change: use roundrobin, leastconn, or "
     "hash-type consistent"},
    {"dynamic load balancing", ErrorCode::failed_precondition,
     "servers are added only to a backend with roundrobin, leastconn, random or hash-type "
     "consistent"},
    {"experimental", ErrorCode::failed_precondition, "this HAProxy is too old for it"},
    {"maintenance mode can be deleted", ErrorCode::failed_precondition,
     "it has to be in maintenance first"},
    {"still has connections", ErrorCode::unavailable, "wait until they end"},
}};

std::optional<std::uint64_t> number_of(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

template <class T>
std::optional<T> number_up_to(std::string_view text, std::uint64_t max) {
  const auto number = number_of(text);
  if (!number || *number > max) return std::nullopt;
  return static_cast<T>(*number);
}

// Takes a line, without its end; false: there is none left.
bool take_line(std::string_view& rest, std::string_view& line) {
  if (rest.empty()) return false;
  const std::size_t end = rest.find('\n');
  line = rest.substr(0, end);
  if (line.ends_with('\r')) line.remove_suffix(1);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return true;
}

std::vector<std::string_view> split(std::string_view line, char separator) {
  std::vector<std::string_view> parts;
  while (parts.size() < kMaxColumns) {
    const std::size_t end = line.find(separator);
    parts.push_back(line.substr(0, end));
    if (end == std::string_view::npos) break;
    line.remove_prefix(end + 1);
  }
  return parts;
}

// What the columns of a table are called; their order differs between versions.
class Columns {
 public:
  Columns(std::string_view header, char separator) : separator_(separator) {
    const auto names = split(header, separator);
    for (std::size_t i = 0; i < names.size(); ++i) places_.emplace(names[i], i);
  }
  [[nodiscard]] bool have(std::string_view name) const { return places_.contains(name); }

  class Row {
   public:
    Row(const Columns& columns, std::string_view line)
        : columns_(columns), cells_(split(line, columns.separator_)) {}
    // Empty where the row is too short.
    [[nodiscard]] std::string_view operator[](std::string_view name) const {
      const auto place = columns_.places_.find(name);
      if (place == columns_.places_.end() || place->second >= cells_.size()) return {};
      return cells_[place->second];
    }

   private:
    const Columns& columns_;
    std::vector<std::string_view> cells_;
  };

 private:
  char separator_;
  std::map<std::string_view, std::size_t> places_;
};

tl::unexpected<base::Error> not_understood(std::string_view what, std::string_view line) {
  return fail(ErrorCode::data_loss, "HAProxy's {} was not understood: '{}'", what,
              line.substr(0, kMaxShownBytes));
}

Result<Columns> header_of(std::string_view& rest, std::string_view what, char separator,
                          std::initializer_list<std::string_view> needed) {
  std::string_view line;
  if (!take_line(rest, line) || !line.starts_with("# ")) return not_understood(what, line);
  Columns columns(line.substr(2), separator);
  for (const auto name : needed) {
    if (!columns.have(name)) return not_understood(what, line);
  }
  return columns;
}

std::optional<ProxyServer> server_of(const Columns::Row& row) {
  ProxyServer server;
  server.name = row["srv_name"];
  server.address = row["srv_addr"];
  const auto backend = number_up_to<std::uint32_t>(row["be_id"], 0xFFFF'FFFF);
  const auto port = number_up_to<std::uint16_t>(row["srv_port"], 65'535);
  const auto weight = number_up_to<std::uint32_t>(row["srv_uweight"], kMaxWeight);
  const auto configured = number_up_to<std::uint32_t>(row["srv_iweight"], kMaxWeight);
  const auto admin = number_up_to<std::uint32_t>(row["srv_admin_state"], 0xFFFF);
  if (server.name.empty() || !backend || !port || !weight || !configured || !admin) {
    return std::nullopt;
  }
  server.backend_id = *backend;
  server.port = *port;
  server.weight = *weight;
  server.configured_weight = *configured;
  server.admin_state = *admin;
  server.is_running = row["srv_op_state"] == kRunningState;
  return server;
}

}  // namespace

Result<ProxyProcess> parse_process(std::string_view answer) {
  ProxyProcess process;
  std::optional<std::uint64_t> pid;
  std::optional<std::uint64_t> start;
  std::string_view rest = answer;
  for (std::string_view line; take_line(rest, line);) {
    const std::size_t colon = line.find(": ");
    if (colon == std::string_view::npos) continue;
    const std::string_view value = line.substr(colon + 2);
    const std::string_view name = line.substr(0, colon);
    if (name == "Version") process.version = value;
    if (name == "Pid") pid = number_of(value);
    if (name == "Start_time_sec") start = number_of(value);
  }
  const auto parts = split(process.version, '.');
  const auto major = number_up_to<std::uint32_t>(parts.front(), 1'000);
  const auto minor = number_up_to<std::uint32_t>(
      parts.size() > 1 ? parts[1].substr(0, parts[1].find_first_not_of("0123456789")) : "", 1'000);
  if (!major || !minor || !pid) return not_understood("show info", answer);
  process.major = *major;
  process.minor = *minor;
  process.pid = *pid;
  process.start_s = start.value_or(0);
  return process;
}

Result<std::vector<ProxyServer>> parse_servers(std::string_view answer) {
  constexpr std::string_view kWhat = "show servers state";
  std::string_view line;
  if (!take_line(answer, line) || line != kStateFormat) return not_understood(kWhat, line);
  SEGUE_ASSIGN(const Columns columns,
               header_of(answer, kWhat, ' ',
                         {"be_id", "srv_name", "srv_addr", "srv_port", "srv_op_state",
                          "srv_admin_state", "srv_uweight", "srv_iweight"}));
  std::vector<ProxyServer> servers;
  while (take_line(answer, line)) {
    if (line.empty()) continue;
    if (servers.size() >= kMaxProxyServers) {
      return fail(ErrorCode::resource_exhausted, "the backend has more than {} servers",
                  kMaxProxyServers);
    }
    auto server = server_of(Columns::Row(columns, line));
    if (!server) return not_understood(kWhat, line);
    servers.push_back(*std::move(server));
  }
  return servers;
}

Result<ProxyFigures> parse_figures(std::string_view answer) {
  constexpr std::string_view kWhat = "show stat";
  SEGUE_ASSIGN(const Columns columns,
               header_of(answer, kWhat, ',', {"pxname", "svname", "scur", "stot", "bck"}));
  ProxyFigures figures;
  for (std::string_view line; take_line(answer, line);) {
    if (line.empty()) continue;
    const Columns::Row row(columns, line);
    if (row["svname"] == "FRONTEND") continue;
    if (row["svname"] == "BACKEND") {
      figures.mode = row["mode"];
      figures.algorithm = row["algo"];
      continue;
    }
    const auto sessions = number_of(row["stot"]);
    const auto current = number_of(row["scur"]);
    if (row["svname"].empty() || !sessions || !current) return not_understood(kWhat, line);
    if (figures.servers.size() >= kMaxProxyServers) {
      return fail(ErrorCode::resource_exhausted, "the backend has more than {} servers",
                  kMaxProxyServers);
    }
    figures.servers[std::string(row["svname"])] = {*sessions, *current, row["bck"] == "1"};
  }
  return figures;
}

Result<ProxyMap> parse_map(std::string_view answer) {
  ProxyMap map;
  for (std::string_view line; take_line(answer, line);) {
    if (line.empty()) continue;
    const std::size_t first = line.find(' ');
    const std::size_t second = first == std::string_view::npos ? first : line.find(' ', first + 1);
    if (!line.starts_with("0x") || second == std::string_view::npos) {
      return not_understood("show map", line);
    }
    if (map.size() >= kMaxProxyMapEntries) {
      return fail(ErrorCode::resource_exhausted, "the map has more than {} entries",
                  kMaxProxyMapEntries);
    }
    // The first of two equal keys is the one that is found.
    map.emplace(line.substr(first + 1, second - first - 1), line.substr(second + 1));
  }
  return map;
}

Result<std::uint32_t> parse_map_version(std::string_view answer) {
  constexpr std::string_view kHead = "New version created: ";
  std::string_view line;
  if (take_line(answer, line) && line.starts_with(kHead)) {
    const auto version = number_up_to<std::uint32_t>(line.substr(kHead.size()),
                                                     std::numeric_limits<std::uint32_t>::max());
    if (version) return *version;
  }
  return not_understood("prepare map", line);
}

Result<void> check_refusal(std::string_view command, std::string_view answer) {
  const std::string_view line = answer.substr(0, answer.find('\n'));
  for (const auto& refusal : kRefusals) {
    if (line.find(refusal.says) == std::string_view::npos) continue;
    return fail(refusal.code, "HAProxy refused '{}': {} ({})", command.substr(0, kMaxShownBytes),
                refusal.remedy, line.substr(0, kMaxShownBytes));
  }
  return {};
}

Result<void> check_done(std::string_view command, std::string_view answer,
                        const std::vector<std::string>& done) {
  SEGUE_TRY(check_refusal(command, answer));
  const bool is_silent = answer.find_first_not_of("\r\n ") == std::string_view::npos;
  if (is_silent || std::any_of(done.begin(), done.end(),
                               [&](const std::string& one) { return answer.starts_with(one); })) {
    return {};
  }
  return fail(ErrorCode::failed_precondition, "HAProxy refused '{}': {}",
              command.substr(0, kMaxShownBytes),
              answer.substr(0, std::min(answer.find('\n'), kMaxShownBytes)));
}

Result<void> check_proxy_word(std::string_view what, std::string_view word) {
  constexpr std::size_t kMaxWordBytes = 1'024;
  const bool fine = !word.empty() && word.size() <= kMaxWordBytes &&
                    std::all_of(word.begin(), word.end(), [](char c) {
                      return c > ' ' && c != 0x7F && c != ';' && c != '\\' && c != '#';
                    });
  if (fine) return {};
  return fail(ErrorCode::invalid_argument,
              "{}: '{}' cannot be said to HAProxy: 1 to {} characters, no blanks, ';', '\\' or "
              "'#'",
              what, word.substr(0, kMaxShownBytes), kMaxWordBytes);
}

}  // namespace segue::traffic
