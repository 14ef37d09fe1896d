// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "command.h"
#include "number.h"
#include "version.h"

namespace respkv {
namespace {

void ping(Call& call) {
  if (call.size() > 2) return call.wrong_arity();
  if (call.session.subscribed() && call.session.protocol < 3) {
    call.reply.array(2);
    call.reply.bulk("pong");
    return call.reply.bulk(call.size() == 2 ? call[1] : "");
  }
  call.size() == 2 ? call.reply.bulk(call[1]) : call.reply.simple("PONG");
}

void echo(Call& call) {
  call.reply.bulk(call[1]);
}

void select(Call& call) {
  const auto number = parse_integer(call[1]);
  if (!number) return call.reply.not_an_integer();
  *number == 0 ? call.reply.ok() : call.reply.error("ERR DB index is out of range");
}

void quit(Call& call) {
  call.session.close_after_reply = true;
  call.reply.ok();
}

void reset(Call& call) {
  call.engine.reset(call.session);
  call.reply.simple("RESET");
}

void auth(Call& call) {
  call.reply.error(
      "ERR AUTH <password> called without any password configured for the default user. Are you "
      "sure your configuration is correct?");
}

// A name in CLIENT LIST stands between spaces.
bool is_printable(std::string_view name) {
  return std::all_of(name.begin(), name.end(),
                     [](char letter) { return letter >= '!' && letter <= '~'; });
}

bool set_name(Call& call, std::string_view name) {
  if (!is_printable(name)) {
    call.reply.error("ERR Client names cannot contain spaces, newlines or special characters.");
    return false;
  }
  call.session.name = name;
  call.session.changed = true;
  return true;
}

// Reads the protocol number and AUTH and SETNAME. False if the client has been told of an error.
bool read_hello(Call& call) {
  if (call.size() < 2) return true;
  const auto protocol = parse_integer(call[1]);
  if (!protocol) {
    call.reply.error("ERR Protocol version is not an integer or out of range");
    return false;
  }
  if (*protocol != 2 && *protocol != 3) {
    call.reply.error("NOPROTO unsupported protocol version");
    return false;
  }
  for (std::size_t i = 2; i < call.size(); i += 2) {
    if (is_word(call[i], "setname") && i + 1 < call.size()) {
      if (!set_name(call, call[i + 1])) return false;
    } else if (is_word(call[i], "auth")) {
      auth(call);
      return false;
    } else {
      call.reply.error(fmt::format("ERR Syntax error in HELLO option '{}'", call[i].substr(0, 64)));
      return false;
    }
  }
  call.session.protocol = static_cast<int>(*protocol);
  call.session.changed = true;
  return true;
}

void hello(Call& call) {
  if (!read_hello(call)) return;
  Reply reply(call.session.output, call.session.protocol);
  reply.map(7);
  reply.bulk("server");
  reply.bulk("redis");  // clients look for it
  reply.bulk("version");
  reply.bulk(kRedisVersion);
  reply.bulk("proto");
  reply.integer(call.session.protocol);
  reply.bulk("id");
  reply.integer(static_cast<std::int64_t>(call.session.id));
  reply.bulk("mode");
  reply.bulk("standalone");
  reply.bulk("role");
  reply.bulk("master");
  reply.bulk("modules");
  reply.array(0);
}

std::string flags_of(const Session& session) {
  std::string flags;
  if (session.subscribed()) flags += 'P';
  if (session.transaction) flags += 'x';
  if (session.wait) flags += 'b';
  if (session.watch_broken) flags += 'd';
  if (session.no_evict) flags += 'e';
  return flags.empty() ? "N" : flags;
}

void describe(Call& call, const Session& session, std::string& out) {
  const std::uint64_t now_ms = call.keys().now_ms();
  fmt::format_to(
      std::back_inserter(out),
      "id={} addr={} name={} age={} flags={} db=0 sub={} psub={} multi={} watch={} qbuf={} obl={} "
      "tot-exec={} resp={} lib-name={} lib-ver={}\n",
      session.id, call.engine.host.address_of(session), session.name,
      (now_ms - std::min(session.created_at_ms, now_ms)) / 1000, flags_of(session),
      session.channels.size(), session.patterns.size(),
      session.transaction ? static_cast<std::int64_t>(session.transaction->commands.size()) : -1,
      session.watches.size(), session.input.size(), session.unsent(), session.transactions,
      session.protocol, session.library_name, session.library_version);
}

void client_list(Call& call) {
  std::string text;
  if (call.size() == 2) {
    for (const auto& [id, session] : call.engine.registry.sessions())
      describe(call, *session, text);
  } else if (is_word(call[2], "id") && call.size() > 3) {
    for (const std::string_view argument : call.arguments.subspan(3)) {
      const auto id = parse_integer(argument);
      if (!id) return call.reply.error("ERR Invalid client ID");
      const auto& sessions = call.engine.registry.sessions();
      const auto found = sessions.find(static_cast<std::uint64_t>(*id));
      if (found != sessions.end()) describe(call, *found->second, text);
    }
  } else {
    return call.reply.syntax_error();
  }
  call.reply.bulk(text);
}

void client_info(Call& call) {
  std::string text;
  describe(call, call.session, text);
  call.reply.bulk(text);
}

void client_id(Call& call) {
  call.reply.integer(static_cast<std::int64_t>(call.session.id));
}

void client_setname(Call& call) {
  if (set_name(call, call[2])) call.reply.ok();
}

void client_getname(Call& call) {
  call.session.name.empty() ? call.reply.null() : call.reply.bulk(call.session.name);
}

void client_setinfo(Call& call) {
  if (!is_printable(call[3])) {
    return call.reply.error(fmt::format(
        "ERR {} cannot contain spaces, newlines or special characters.", call[2].substr(0, 64)));
  }
  if (is_word(call[2], "lib-name")) {
    call.session.library_name = call[3];
  } else if (is_word(call[2], "lib-ver")) {
    call.session.library_version = call[3];
  } else {
    return call.reply.error(fmt::format("ERR Unrecognized option '{}'", call[2].substr(0, 64)));
  }
  call.session.changed = true;
  call.reply.ok();
}

void client_no_evict(Call& call) {
  const bool on = is_word(call[2], "on");
  if (!on && !is_word(call[2], "off")) return call.reply.syntax_error();
  call.session.no_evict = on;
  call.session.changed = true;
  call.reply.ok();
}

void client_reply(Call& call) {
  call.session.changed = true;
  if (is_word(call[2], "on")) {
    call.session.reply_mode = ReplyMode::on;
    call.reply.ok();
  } else if (is_word(call[2], "off")) {
    call.session.reply_mode = ReplyMode::off;
  } else if (is_word(call[2], "skip")) {
    if (call.session.reply_mode == ReplyMode::on) call.session.reply_mode = ReplyMode::skip_next;
  } else {
    call.reply.syntax_error();
  }
}

constexpr Command kClientCommands[] = {
    {"client|id", client_id, 2},           {"client|setname", client_setname, 3},
    {"client|getname", client_getname, 2}, {"client|list", client_list, -2},
    {"client|info", client_info, 2},       {"client|setinfo", client_setinfo, 4},
    {"client|reply", client_reply, 3},     {"client|no-evict", client_no_evict, 3},
};

constexpr Command kCommands[] = {
    {"ping", ping, -1, kWhileSubscribed},
    {"echo", echo, 2},
    {"select", select, 2},
    {"quit", quit, -1, kImmediate | kWhileSubscribed},
    {"reset", reset, 1, kImmediate | kWhileSubscribed},
    {"auth", auth, -2, kImmediate},
    {"hello", hello, -1},
    {"client", kNoHandler, -2, kNone, 0, 0, 0, kClientCommands},
};

}  // namespace

std::span<const Command> connection_commands() {
  return kCommands;
}

}  // namespace respkv
