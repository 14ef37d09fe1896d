// SPDX-License-Identifier: Apache-2.0
#include "store/location.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>
#include <utility>
#include <vector>

#include "store/etcd_store.h"
#include "store/memory_store.h"
#include "store/sqlite_store.h"

namespace segue::store {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxMembers = 16;
constexpr std::size_t kMaxRootBytes = 128;
constexpr std::string_view kHelp =
    "write sqlite:/DIRECTORY, etcd://HOST:PORT,HOST:PORT/PREFIX, "
    "etcds://HOST:PORT/PREFIX?ca=FILE&cert=FILE&key=FILE, or memory:";

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == text.npos) return parts;
    text.remove_prefix(end + 1);
  }
}

bool is_host(std::string_view host) {
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    return !host.empty() && host.find_first_not_of("0123456789abcdefABCDEF:.") == host.npos;
  }
  return !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
  });
}

bool is_port(std::string_view text) {
  unsigned port = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), port);
  return problem == std::errc() && end == text.data() + text.size() && port > 0 && port < 65536;
}

Result<void> add_members(std::string_view text, std::string_view scheme, EtcdSettings& settings) {
  std::set<std::string_view> seen;
  for (const std::string_view member : split(text, ',')) {
    const std::size_t colon = member.rfind(':');
    if (colon == member.npos || !is_host(member.substr(0, colon)) ||
        !is_port(member.substr(colon + 1))) {
      return fail(ErrorCode::invalid_argument, "'{}' is not HOST:PORT of a member of etcd; {}",
                  member, kHelp);
    }
    if (!seen.insert(member).second) {
      return fail(ErrorCode::invalid_argument, "member {} is named twice", member);
    }
    settings.members.push_back(fmt::format("{}{}", scheme, member));
  }
  if (settings.members.size() > kMaxMembers) {
    return fail(ErrorCode::invalid_argument, "{} members of etcd, {} are allowed",
                settings.members.size(), kMaxMembers);
  }
  return {};
}

Result<void> set_files(std::string_view text, fetch::TlsFiles& files) {
  const std::array<std::pair<std::string_view, std::string*>, 3> names{
      {{"ca", &files.authority}, {"cert", &files.certificate}, {"key", &files.key}}};
  for (const std::string_view part : split(text, '&')) {
    const std::size_t equals = part.find('=');
    const auto found = std::find_if(names.begin(), names.end(), [&](const auto& row) {
      return row.first == part.substr(0, equals);
    });
    if (equals == part.npos || found == names.end() || !found->second->empty()) {
      return fail(ErrorCode::invalid_argument, "'{}' is none of ca=FILE, cert=FILE, key=FILE; {}",
                  part, kHelp);
    }
    *found->second = part.substr(equals + 1);
  }
  if (files.certificate.empty() == files.key.empty()) return {};
  return fail(ErrorCode::invalid_argument, "cert and key belong together; {}", kHelp);
}

Result<Location> parse_etcd(std::string_view text, bool is_tls) {
  EtcdSettings settings;
  const std::size_t question = text.find('?');
  if (question != text.npos && !is_tls) {
    return fail(ErrorCode::invalid_argument, "certificates are for etcds://; {}", kHelp);
  }
  if (question != text.npos) SEGUE_TRY(set_files(text.substr(question + 1), settings.tls));
  text = text.substr(0, question);
  const std::size_t slash = text.find('/');
  SEGUE_TRY(add_members(text.substr(0, slash), is_tls ? "https://" : "http://", settings));
  if (slash == text.npos || slash + 1 == text.size()) return settings;
  settings.root = text.substr(slash);
  if (!settings.root.ends_with('/')) settings.root += '/';
  if (settings.root.size() > kMaxRootBytes) {
    return fail(ErrorCode::invalid_argument, "the prefix has {} bytes, {} are allowed",
                settings.root.size(), kMaxRootBytes);
  }
  return settings;
}

}  // namespace

Result<Location> parse_location(std::string_view text) {
  constexpr std::string_view kSqlite = "sqlite:";
  constexpr std::string_view kEtcd = "etcd://";
  constexpr std::string_view kEtcdTls = "etcds://";
  if (text == "memory:") return MemoryLocation{};
  if (text.starts_with(kEtcd)) return parse_etcd(text.substr(kEtcd.size()), false);
  if (text.starts_with(kEtcdTls)) return parse_etcd(text.substr(kEtcdTls.size()), true);
  if (text.starts_with(kSqlite) && text.substr(kSqlite.size()).starts_with('/')) {
    return SqliteLocation{.directory = std::string(text.substr(kSqlite.size()))};
  }
  return fail(ErrorCode::invalid_argument, "'{}' does not name a store: {}", text, kHelp);
}

Result<std::unique_ptr<Store>> open_store(const Location& location, LoopScheduler& scheduler,
                                          os::EpollLoop& loop, const os::Clock& clock) {
  if (const auto* sqlite = std::get_if<SqliteLocation>(&location)) {
    SEGUE_ASSIGN(std::unique_ptr<Store> store, SqliteStore::open(sqlite->directory, scheduler));
    return store;
  }
  if (const auto* settings = std::get_if<EtcdSettings>(&location)) {
    return std::make_unique<EtcdStore>(*settings, scheduler, loop, clock);
  }
  return std::make_unique<MemoryStore>(std::make_shared<MemoryDatabase>(scheduler), scheduler);
}

}  // namespace segue::store
