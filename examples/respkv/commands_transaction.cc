// SPDX-License-Identifier: Apache-2.0
#include "command.h"

namespace respkv {
namespace {

void multi(Call& call) {
  if (call.session.transaction) return call.reply.error("ERR MULTI calls can not be nested");
  call.session.transaction = std::make_unique<Transaction>();
  call.session.changed = true;
  call.reply.ok();
}

void exec(Call& call) {
  if (!call.session.transaction) return call.reply.error("ERR EXEC without MULTI");
  call.engine.run_transaction(call.session);
}

void discard(Call& call) {
  if (!call.session.transaction) return call.reply.error("ERR DISCARD without MULTI");
  call.engine.discard_transaction(call.session);
  call.reply.ok();
}

void watch(Call& call) {
  if (call.session.transaction) return call.reply.error("ERR WATCH inside MULTI is not allowed");
  call.session.changed = true;
  for (const std::string_view key : call.arguments.subspan(1)) {
    const Item* item = call.keys().find(key);
    call.engine.registry.watch(call.session, key, item == nullptr ? 0 : item->data.modification);
  }
  call.reply.ok();
}

void unwatch(Call& call) {
  if (!call.session.watches.empty()) call.session.changed = true;
  call.engine.registry.unwatch_all(call.session);
  call.reply.ok();
}

constexpr Command kCommands[] = {
    {"multi", multi, 1, kImmediate},
    {"exec", exec, 1, kImmediate},
    {"discard", discard, 1, kImmediate},
    {"watch", watch, -2, kImmediate, 1, -1, 1},
    {"unwatch", unwatch, 1},
};

}  // namespace

std::span<const Command> transaction_commands() {
  return kCommands;
}

}  // namespace respkv
