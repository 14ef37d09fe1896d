// SPDX-License-Identifier: Apache-2.0
#include "command.h"
#include "glob.h"

namespace respkv {
namespace {

using Change = bool (Registry::*)(Session&, std::string_view);

void confirm(Call& call, std::string_view kind, const std::string_view* name) {
  call.reply.push(3);
  call.reply.bulk(kind);
  name == nullptr ? call.reply.null() : call.reply.bulk(*name);
  call.reply.integer(
      static_cast<std::int64_t>(call.session.channels.size() + call.session.patterns.size()));
}

void change_each(Call& call, std::string_view kind, Change change, Arguments names) {
  for (const std::string_view name : names) {
    if ((call.engine.registry.*change)(call.session, name)) call.session.changed = true;
    confirm(call, kind, &name);
  }
}

void subscribe(Call& call) {
  change_each(call, "subscribe", &Registry::subscribe, call.arguments.subspan(1));
}
void psubscribe(Call& call) {
  change_each(call, "psubscribe", &Registry::subscribe_pattern, call.arguments.subspan(1));
}

// Without names: all of them.
void leave(Call& call, std::string_view kind, Change change,
           const std::set<std::string, std::less<>>& all) {
  if (call.size() > 1) return change_each(call, kind, change, call.arguments.subspan(1));
  if (all.empty()) return confirm(call, kind, nullptr);
  const std::vector<std::string> copies(all.begin(), all.end());
  const std::vector<std::string_view> names(copies.begin(), copies.end());
  change_each(call, kind, change, names);
}

void unsubscribe(Call& call) {
  leave(call, "unsubscribe", &Registry::unsubscribe, call.session.channels);
}
void punsubscribe(Call& call) {
  leave(call, "punsubscribe", &Registry::unsubscribe_pattern, call.session.patterns);
}

void publish(Call& call) {
  call.reply.integer(call.engine.publish(call[1], call[2]));
}

void pubsub_channels(Call& call) {
  if (call.size() > 3) return call.reply.syntax_error();
  std::vector<std::string_view> names;
  for (const auto& [name, sessions] : call.engine.registry.channels()) {
    if (call.size() == 2 || glob_matches(call[2], name)) names.emplace_back(name);
  }
  call.reply.array(names.size());
  for (const std::string_view name : names) call.reply.bulk(name);
}

void pubsub_numsub(Call& call) {
  const SessionIndex& channels = call.engine.registry.channels();
  call.reply.map(call.size() - 2);
  for (const std::string_view name : call.arguments.subspan(2)) {
    const auto found = channels.find(name);
    const std::size_t count = found == channels.end() ? 0 : found->second.size();
    call.reply.bulk(name);
    call.reply.integer(static_cast<std::int64_t>(count));
  }
}

void pubsub_numpat(Call& call) {
  call.reply.integer(static_cast<std::int64_t>(call.engine.registry.patterns().size()));
}

constexpr Command kPubsubCommands[] = {
    {"pubsub|channels", pubsub_channels, -2},
    {"pubsub|numsub", pubsub_numsub, -2},
    {"pubsub|numpat", pubsub_numpat, 2},
};

constexpr Command kCommands[] = {
    {"subscribe", subscribe, -2, kWhileSubscribed},
    {"unsubscribe", unsubscribe, -1, kWhileSubscribed},
    {"psubscribe", psubscribe, -2, kWhileSubscribed},
    {"punsubscribe", punsubscribe, -1, kWhileSubscribed},
    {"publish", publish, 3},
    {"pubsub", kNoHandler, -2, kNone, 0, 0, 0, kPubsubCommands},
};

}  // namespace

std::span<const Command> pubsub_commands() {
  return kCommands;
}

}  // namespace respkv
