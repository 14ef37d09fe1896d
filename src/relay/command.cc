// SPDX-License-Identifier: Apache-2.0
#include "relay/command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>

#include "base/json_writer.h"
#include "os/files.h"
#include "os/paths.h"
#include "os/process.h"
#include "plans/system_zones.h"
#include "relay/relay.h"

namespace segue::relay {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxMembersFileBytes = std::size_t{64} << 10;
constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
constexpr const char* kListen = "127.0.0.1:7411";

std::string host_name() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "";
  return name.data();
}

// Those of the file, one NAME=URL per line; empty lines and what follows a '#' do not count.
Result<std::vector<std::string>> read_members(const std::string& path) {
  SEGUE_ASSIGN(const std::string text, os::read_file(path, kMaxMembersFileBytes));
  std::vector<std::string> words;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    line.resize(std::min(line.find('#'), line.size()));
    const auto is_blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
    std::erase_if(line, is_blank);
    if (!line.empty()) words.push_back(std::move(line));
    begin = end + 1;
  }
  return words;
}

Result<void> set_members(const control::RelayOptions& options, RelaySettings& settings) {
  std::vector<std::string> words = options.members;
  if (!options.members_file.empty()) {
    SEGUE_ASSIGN(const auto more, read_members(options.members_file));
    words.insert(words.end(), more.begin(), more.end());
  }
  SEGUE_ASSIGN(settings.members, parse_members(words));
  if (words.empty()) settings.members.push_back({.name = settings.name, .url = {}});
  if (std::ranges::find(settings.members, settings.name, &Member::name) != settings.members.end()) {
    return {};
  }
  return fail(ErrorCode::invalid_argument,
              "this relay is '{}', and no --member has that name: name this one too, as the others "
              "see it, or say --name",
              settings.name);
}

Result<RelaySettings> settings_of(const control::RelayOptions& options) {
  RelaySettings settings;
  if (options.origin.empty()) {
    return fail(ErrorCode::invalid_argument,
                "--origin is missing: the URL of the release library, over the line");
  }
  SEGUE_ASSIGN(settings.origin, parse_source_url(options.origin));
  settings.site = options.site;
  settings.name = options.name.empty() ? host_name() : options.name;
  SEGUE_TRY(check_name("site", settings.site));
  SEGUE_TRY(check_name("name", settings.name));
  SEGUE_TRY(set_members(options, settings));
  for (const std::string& listen : options.listen) {
    SEGUE_ASSIGN(auto address, control::parse_listen_address("--listen", listen));
    settings.listen.push_back(std::move(address));
  }
  if (settings.listen.empty()) {
    SEGUE_ASSIGN(auto address, control::parse_listen_address("--listen", kListen));
    settings.listen.push_back(std::move(address));
  }
  settings.cache = options.cache;
  if (settings.cache.empty()) {
    SEGUE_ASSIGN(const os::Directories directories, os::directories());
    settings.cache = directories.state + "/relay";
  }
  SEGUE_ASSIGN(settings.line_rates, LineRates::parse(options.line_rates));
  settings.zone = options.zone;
  if (settings.zone.empty()) {
    SEGUE_ASSIGN(settings.zone, plans::SystemZones::own_zone());
  }
  settings.cache_max_bytes = options.cache_max_mib * kMiB;
  settings.object_max_bytes = options.object_max_mib * kMiB;
  settings.metadata_max_age = std::chrono::seconds(options.metadata_max_age_s);
  settings.max_connections = options.max_connections;
  return settings;
}

void say_listening(const RelaySettings& settings, const Relay& relay,
                   const control::SayRelay& say) {
  base::JsonWriter object;
  object.begin_object()
      .field("event", "listening")
      .field("site", settings.site)
      .field("name", settings.name)
      .field("origin", "http://" + settings.origin.authority() + settings.origin.path);
  object.key("listen").begin_array();
  std::string text;
  const auto ports = relay.ports();
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const std::string address = fmt::format("{}:{}", settings.listen[i].address, ports[i]);
    object.value(address);
    text += (i > 0 ? ", " : "") + address;
  }
  object.end().end();
  say(fmt::format("relaying {} for site {} on {}", settings.origin.authority(), settings.site,
                  text),
      std::move(object).take());
}

}  // namespace

Result<control::RelayEnd> run_command(const control::RelayOptions& options,
                                      const control::SayRelay& say) {
  SEGUE_ASSIGN(const RelaySettings settings, settings_of(options));
  const os::SystemClock clock;
  const plans::SystemZones zones;
  const base::Log log({.now = [&clock] { return clock.realtime_now(); }});
  SEGUE_ASSIGN(const auto relay, Relay::open(settings, clock, zones, log));
  if (options.dry_run) {
    return control::RelayEnd{.text = fmt::format("{} would be relayed, with {} members and {}",
                                                 settings.origin.authority(),
                                                 settings.members.size(), settings.cache)};
  }
  os::raise_descriptor_limit();
  say_listening(settings, *relay, say);
  relay->run(true);
  const RelayState state = relay->state();
  return control::RelayEnd{.text = fmt::format("{} bytes came over the line, {} were served",
                                               state.line.bytes_total, relay->served_bytes())};
}

}  // namespace segue::relay
