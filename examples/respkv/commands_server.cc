// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <array>
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

void config(Call& call) {
  if (is_word(call[1], "get") && call.size() > 2) {
    std::vector<const std::pair<std::string_view, std::string_view>*> found;
    for (const auto& setting : kConfiguration) {
      for (const std::string_view pattern : call.arguments.subspan(2)) {
        if (!glob_matches(pattern, setting.first)) continue;
        found.push_back(&setting);
        break;
      }
    }
    call.reply.map(found.size());
    for (const auto* setting : found) {
      call.reply.bulk(setting->first);
      call.reply.bulk(setting->second);
    }
  } else if (is_word(call[1], "resetstat") && call.size() == 2) {
    call.engine.statistics = Statistics{};
    call.engine.keys.expired_keys = 0;
    call.reply.ok();
  } else if (is_word(call[1], "set")) {
    call.reply.error("ERR CONFIG SET is not supported: respkv has no settings");
  } else {
    unknown_subcommand(call);
  }
}

void debug(Call& call) {
  constexpr long double kLongestSeconds = 60;
  if (!is_word(call[1], "sleep") || call.size() != 3) return unknown_subcommand(call);
  const auto seconds = parse_float(call[2]);
  if (!seconds || *seconds < 0 || *seconds > kLongestSeconds) {
    return call.reply.error("ERR DEBUG SLEEP takes 0 to 60 seconds");
  }
  call.engine.host.sleep(static_cast<double>(*seconds));
  call.reply.ok();
}

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
  if (call.size() == 1) {
    call.reply.array(all_commands().size());
    for (const Command& each : all_commands()) describe(call.reply, each);
  } else if (is_word(call[1], "count")) {
    call.reply.integer(static_cast<std::int64_t>(all_commands().size()));
  } else if (is_word(call[1], "docs")) {
    call.reply.map(0);
  } else if (is_word(call[1], "info")) {
    call.reply.array(call.size() - 2);
    for (const std::string_view name : call.arguments.subspan(2)) {
      const Command* found = find_command(name);
      found == nullptr ? call.reply.null_array() : describe(call.reply, *found);
    }
  } else {
    unknown_subcommand(call);
  }
}

constexpr Command kCommands[] = {
    {"info", info, -1},   {"time", time, 1},        {"config", config, -2},
    {"debug", debug, -2}, {"command", command, -1},
};

}  // namespace

std::span<const Command> server_commands() {
  return kCommands;
}

}  // namespace respkv
