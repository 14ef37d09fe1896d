// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "command.h"
#include "glob.h"
#include "number.h"
#include "version.h"

namespace respkv {
namespace {

void info(Call& call) {
  const Engine& engine = call.engine;
  const Statistics& statistics = engine.statistics;
  std::string text =
      fmt::format("# Server\r\nredis_version:{}\r\nredis_mode:standalone\r\nrespkv_version:{}\r\n",
                  kRedisVersion, kVersion);
  text += engine.host.information();
  text += fmt::format(
      "# Clients\r\nconnected_clients:{}\r\nblocked_clients:{}\r\n\r\n"
      "# Stats\r\ntotal_connections_received:{}\r\ntotal_commands_processed:{}\r\n"
      "expired_keys:{}\r\nkeyspace_hits:{}\r\nkeyspace_misses:{}\r\n"
      "pubsub_channels:{}\r\npubsub_patterns:{}\r\nclosed_over_limit:{}\r\n"
      "segue_handoffs:{}\r\nsegue_closed_on_reclaim:{}\r\n\r\n# Keyspace\r\n",
      engine.registry.sessions().size(), engine.registry.blocked_count(), statistics.connections,
      statistics.commands, engine.keys.expired_keys, statistics.keyspace_hits,
      statistics.keyspace_misses, engine.registry.channels().size(),
      engine.registry.patterns().size(), statistics.closed_over_limit, statistics.handoffs,
      statistics.closed_on_reclaim);
  if (engine.keys.size() > 0) {
    text += fmt::format("db0:keys={},expires={},avg_ttl=0\r\n", engine.keys.size(),
                        engine.keys.expiring());
  }
  call.engine.host.note(Note::information, text);
  call.reply.bulk(text);
}

void time(Call& call) {
  const std::uint64_t now_ms = call.keys().now_ms();
  call.reply.array(2);
  call.reply.bulk(std::to_string(now_ms / 1000));
  call.reply.bulk(std::to_string(now_ms % 1000 * 1000));
}

constexpr std::pair<std::string_view, std::string_view> kConfiguration[] = {
    {"appendonly", "no"}, {"databases", "1"},
    {"maxmemory", "0"},   {"proto-max-bulk-len", "536870912"},
    {"save", ""},         {"timeout", "0"},
};

void config_get(Call& call) {
  std::vector<const std::pair<std::string_view, std::string_view>*> found;
  for (const auto& setting : kConfiguration) {
    const auto patterns = call.arguments.subspan(2);
    if (std::any_of(patterns.begin(), patterns.end(), [&](std::string_view pattern) {
          return glob_matches(pattern, setting.first);
        })) {
      found.push_back(&setting);
    }
  }
  call.reply.map(found.size());
  for (const auto* setting : found) {
    call.reply.bulk(setting->first);
    call.reply.bulk(setting->second);
  }
}

void config_set(Call& call) {
  call.reply.error("ERR respkv has no settings that can be changed");
}

void config_resetstat(Call& call) {
  call.engine.statistics = Statistics{};
  call.engine.keys.expired_keys = 0;
  call.reply.ok();
}

constexpr Command kConfigCommands[] = {
    {"config|get", config_get, -3},
    {"config|set", config_set, -4},
    {"config|resetstat", config_resetstat, 2},
};

void debug_sleep(Call& call) {
  constexpr long double kLongestSeconds = 60;
  const auto seconds = parse_float(call[2]);
  if (!seconds || *seconds < 0 || *seconds > kLongestSeconds) {
    return call.reply.error("ERR DEBUG SLEEP takes 0 to 60 seconds");
  }
  call.engine.host.sleep(static_cast<double>(*seconds));
  call.reply.ok();
}

constexpr Command kDebugCommands[] = {{"debug|sleep", debug_sleep, 3}};

void describe(Reply& reply, const Command& command) {
  const bool writes = (command.flags & kWrites) != 0;
  reply.array(6);
  reply.bulk(command.name);
  reply.integer(command.arity);
  reply.set(1);
  reply.simple(writes ? "write" : "readonly");
  reply.integer(command.first_key);
  reply.integer(command.last_key);
  reply.integer(command.key_step);
}

void command(Call& call) {
  call.reply.array(all_commands().size());
  for (const Command& each : all_commands()) describe(call.reply, each);
}

void command_count(Call& call) {
  call.reply.integer(static_cast<std::int64_t>(all_commands().size()));
}

void command_docs(Call& call) {
  call.reply.map(0);
}

void command_info(Call& call) {
  if (call.size() == 2) return command(call);
  call.reply.array(call.size() - 2);
  for (const std::string_view name : call.arguments.subspan(2)) {
    const Command* found = find_command(name);
    found == nullptr ? call.reply.null_array() : describe(call.reply, *found);
  }
}

constexpr Command kCommandCommands[] = {
    {"command|count", command_count, 2},
    {"command|docs", command_docs, -2},
    {"command|info", command_info, -2},
};

constexpr Command kCommands[] = {
    {"info", info, -1},
    {"time", time, 1},
    {"config", kNoHandler, -2, kNone, 0, 0, 0, kConfigCommands},
    {"debug", kNoHandler, -2, kNone, 0, 0, 0, kDebugCommands},
    {"command", command, -1, kNone, 0, 0, 0, kCommandCommands},
};

}  // namespace

std::span<const Command> server_commands() {
  return kCommands;
}

}  // namespace respkv
