// SPDX-License-Identifier: Apache-2.0
#include "control/contract.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "control/option_rows.h"

namespace segue::control {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::uint32_t kDayMs = 86'400'000;
constexpr std::size_t kMaxListen = 64;
constexpr std::size_t kMaxListenerNameBytes = 63;  // of libsegue
constexpr std::size_t kMaxListenNameBytes = 255;   // as systemd's FDNAME

constexpr std::array<std::string_view, 6> kContracts = {"auto",    "libsegue", "listeners",
                                                        "fdstore", "signal",   "restart"};
constexpr std::array<std::string_view, 5> kReady = {"auto", "notify", "accepting", "health",
                                                    "started"};
constexpr std::array<std::string_view, 3> kKinds = {"tcp", "udp", "unix"};
constexpr std::string_view kGroup = ",group";

template <class Enum, std::size_t count>
Result<Enum> parse_word(const std::array<std::string_view, count>& words, std::string_view what,
                        std::string_view text) {
  const auto found = std::find(words.begin(), words.end(), text);
  if (found != words.end()) return static_cast<Enum>(found - words.begin());
  std::string all;
  for (const auto word : words) all.append(all.empty() ? "" : ", ").append(word);
  return fail(ErrorCode::invalid_argument, "{}: '{}' is none of {}", what, text.substr(0, 40), all);
}

using ContractRow = Row<ContractOptions>;
const std::array kContractRows = {
    ContractRow{"upgrade", &ContractOptions::upgrade},
    ContractRow{"ready", &ContractOptions::ready},
    ContractRow{"stop-signal", &ContractOptions::stop_signal},
    ContractRow{"drain-ms", &ContractOptions::drain_ms, 0, kDayMs},
    ContractRow{"reconnect-per-second", &ContractOptions::reconnect_per_second, 0, 1'000'000},
    ContractRow{"fd-store-max", &ContractOptions::fd_store_max, 0, 4'096},
    ContractRow{"watchdog-ms", &ContractOptions::watchdog_ms, 0, kDayMs},
    ContractRow{"nonblocking", &ContractOptions::nonblocking},
    ContractRow{"upgrade-signal", &ContractOptions::upgrade_signal},
    ContractRow{"new-pid", &ContractOptions::new_pid},
    ContractRow{"retire-signal", &ContractOptions::retire_signal},
    ContractRow{"resume-signal", &ContractOptions::resume_signal},
    ContractRow{"then-signal", &ContractOptions::then_signal},
};

bool is_listen_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxListenNameBytes &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return c > ' ' && c < 0x7F && c != ':' && c != '=' && c != '{' && c != '}';
         });
}

// A numeric address: the keeper asks no name server.
bool is_numeric(const std::string& host) {
  in6_addr room{};
  return ::inet_pton(AF_INET, host.c_str(), &room) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), &room) == 1;
}

Result<void> parse_host_and_port(const std::string& text, const std::string& rest, Listen& listen) {
  const std::size_t colon = rest.rfind(':');
  listen.host = rest.substr(0, colon == std::string::npos ? 0 : colon);
  if (listen.host.starts_with('[') && listen.host.ends_with(']')) {
    listen.host = listen.host.substr(1, listen.host.size() - 2);
  }
  if (colon == std::string::npos || !is_numeric(listen.host)) {
    return fail(ErrorCode::invalid_argument,
                "listen: '{}' has no numeric address: write NAME=tcp:127.0.0.1:8080, "
                "NAME=tcp:[::1]:8080, NAME=udp:… or NAME=unix:/PATH",
                text);
  }
  SEGUE_ASSIGN(listen.port,
               parse_number<std::uint16_t>("listen", rest.substr(colon + 1), 1, 65535));
  return {};
}

Result<void> check_signals(const ContractOptions& options) {
  const std::pair<const char*, const std::string*> named[] = {
      {"stop-signal", &options.stop_signal},
      {"upgrade-signal", &options.upgrade_signal},
      {"retire-signal", &options.retire_signal},
      {"resume-signal", &options.resume_signal},
      {"then-signal", &options.then_signal}};
  for (const auto& [option, text] : named) {
    if (text->empty()) continue;
    if (const auto signal = parse_signal(*text); !signal) {
      return fail(ErrorCode::invalid_argument, "{}: {}", option, signal.error().message());
    }
  }
  return {};
}

// libsegue's own rules for a listener that its program asks for by name.
Result<void> check_listener(const Listen& listen) {
  const bool is_name = std::all_of(listen.name.begin(), listen.name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-';
  });
  if (is_name && listen.name.size() <= kMaxListenerNameBytes) return {};
  return fail(ErrorCode::invalid_argument,
              "listen: '{}' is no name of a listener of libsegue: 1 to {} of [A-Za-z0-9._-]",
              listen.name, kMaxListenerNameBytes);
}

}  // namespace

std::string_view to_string(Contract contract) {
  return kContracts.at(static_cast<std::size_t>(contract));
}

Result<Contract> parse_contract(std::string_view text) {
  return parse_word<Contract>(kContracts, "upgrade", text);
}

std::string_view to_string(Ready ready) {
  return kReady.at(static_cast<std::size_t>(ready));
}

Result<Ready> parse_ready(std::string_view text) {
  return parse_word<Ready>(kReady, "ready", text);
}

Result<Listen> parse_listen(const std::string& text) {
  const std::size_t equals = text.find('=');
  Listen listen;
  listen.name = text.substr(0, equals == std::string::npos ? 0 : equals);
  if (!is_listen_name(listen.name)) {
    return fail(ErrorCode::invalid_argument,
                "listen: '{}' is not NAME=ADDRESS, with a NAME of printable characters without "
                "':', '=', '{{', '}}' and spaces",
                text);
  }
  const std::string address = text.substr(equals + 1);
  const std::size_t colon = address.find(':');
  SEGUE_ASSIGN(listen.kind,
               parse_word<Listen::Kind>(kKinds, "listen " + listen.name, address.substr(0, colon)));
  std::string rest = colon == std::string::npos ? "" : address.substr(colon + 1);
  if (listen.kind != Listen::Kind::unix_stream) {
    listen.group = rest.ends_with(kGroup);
    if (listen.group) rest.resize(rest.size() - kGroup.size());
    if (listen.group && listen.kind != Listen::Kind::tcp) {
      return fail(ErrorCode::invalid_argument, "listen: '{}': only tcp sockets make a group", text);
    }
    SEGUE_TRY(parse_host_and_port(text, rest, listen));
    return listen;
  }
  if (!rest.starts_with('/') || rest.size() >= sizeof(sockaddr_un::sun_path)) {
    return fail(ErrorCode::invalid_argument,
                "listen: '{}' is not an absolute path of at most {} bytes", rest,
                sizeof(sockaddr_un::sun_path) - 1);
  }
  listen.host = rest;
  return listen;
}

std::string to_string(const Listen& listen) {
  const auto kind = kKinds.at(static_cast<std::size_t>(listen.kind));
  if (listen.kind == Listen::Kind::unix_stream) {
    return fmt::format("{}={}:{}", listen.name, kind, listen.host);
  }
  const bool v6 = listen.host.find(':') != std::string::npos;
  return fmt::format("{}={}:{}{}{}:{}{}", listen.name, kind, v6 ? "[" : "", listen.host,
                     v6 ? "]" : "", listen.port, listen.group ? kGroup : "");
}

Result<int> parse_signal(std::string_view text) {
  std::string_view name = text;
  if (name.starts_with("SIG")) name.remove_prefix(3);
  for (int signal = 1; signal < NSIG; ++signal) {
    const char* known = ::sigabbrev_np(signal);
    if ((known != nullptr && name == known) || text == fmt::to_string(signal)) return signal;
  }
  return fail(ErrorCode::invalid_argument, "'{}' is not a signal, as TERM, QUIT or USR2",
              text.substr(0, 40));
}

void append_options(Request& request, const ContractOptions& options) {
  append_rows(kContractRows, options, request);
  for (const auto& listen : options.listen) {
    request.options.push_back({"listen", to_string(listen)});
  }
}

Result<bool> assign_contract_option(const Request::Option& option, ContractOptions& options) {
  if (option.key != "listen") return assign_known(kContractRows, option, options);
  SEGUE_ASSIGN(auto listen, parse_listen(option.value));
  options.listen.push_back(std::move(listen));
  return true;
}

Result<void> check_contract(const ContractOptions& options) {
  SEGUE_ASSIGN(const Contract contract, parse_contract(options.upgrade));
  SEGUE_TRY(parse_ready(options.ready));
  SEGUE_TRY(check_signals(options));
  if (options.listen.size() > kMaxListen) {
    return fail(ErrorCode::invalid_argument, "listen: more than {} sockets", kMaxListen);
  }
  for (auto one = options.listen.begin(); one != options.listen.end(); ++one) {
    const auto same = [&](const Listen& other) { return other.name == one->name; };
    if (std::any_of(options.listen.begin(), one, same)) {
      return fail(ErrorCode::invalid_argument, "listen: there are two sockets '{}'", one->name);
    }
  }
  if (contract == Contract::libsegue) {
    for (const auto& listen : options.listen) SEGUE_TRY(check_listener(listen));
  }
  if (contract == Contract::listeners && options.listen.empty()) {
    return fail(ErrorCode::invalid_argument,
                "upgrade listeners: name what the program listens on, as --listen "
                "web=tcp:127.0.0.1:8080");
  }
  if (contract != Contract::signal) return {};
  if (options.upgrade_signal.empty() || options.new_pid.empty()) {
    return fail(ErrorCode::invalid_argument,
                "upgrade signal: name the signal that starts the new binary, and where its pid "
                "shows, as --upgrade-signal USR2 --new-pid /run/nginx.pid (or MAINPID)");
  }
  if (options.new_pid != "MAINPID" && !options.new_pid.starts_with('/')) {
    return fail(ErrorCode::invalid_argument,
                "new-pid: '{}' is neither MAINPID nor an absolute path", options.new_pid);
  }
  return {};
}

}  // namespace segue::control
