// SPDX-License-Identifier: Apache-2.0
// What a process holds, and what of it would survive an upgrade.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace segue::cli {

enum class SocketState { listening, connected, datagram, other };

struct OpenDescriptor {
  int fd = -1;
  std::string target;  // as /proc/PID/fd names it: "socket:[7]", "anon_inode:[eventpoll]", "/x"
  bool is_locked = false;
};

// Facts of /proc/PID.
struct ProcessFacts {
  std::string program;
  std::vector<OpenDescriptor> descriptors;
  std::map<std::uint64_t, SocketState> sockets;  // by inode
  std::uint64_t threads = 1;
  std::uint64_t shared_maps = 0;  // of files, writable; those of memfds are not counted
  std::uint64_t children = 0;
};
base::Result<ProcessFacts> read_process(pid_t pid);

// What the program has registered with libsegue.
struct Registered {
  bool is_known = false;                             // it answered
  std::map<std::string, std::set<int>> connections;  // by class
  std::map<std::string, int> listeners;
  std::map<std::string, int> descriptors;
  std::map<std::string, std::uint64_t> arenas;  // bytes in use
  std::set<std::string> tables;
  std::set<int> own;  // the library's
};

enum class Fate {
  moves,   // to the next version, as it is
  remade,  // the next version makes its own, nothing is lost
  lost,    // with the process
};

struct SurveyRow {
  std::string what;  // "connections in class clients"
  std::uint64_t count = 0;
  Fate fate = Fate::moves;
  std::string why;
  std::string remedy;  // empty where nothing is lost
};

// Pure. Most important first; rows of nothing are left out.
std::vector<SurveyRow> judge(const ProcessFacts& facts, const Registered& registered);
// "9,812 connections move; 188 are not registered with libsegue"
std::string survey_summary(const std::vector<SurveyRow>& rows);

// ---- Parsers of /proc, for tests
// Adds the sockets of a table such as /proc/PID/net/tcp.
void read_inet_table(std::string_view text, bool datagrams,
                     std::map<std::uint64_t, SocketState>& sockets);
void read_unix_table(std::string_view text, std::map<std::uint64_t, SocketState>& sockets);
std::uint64_t count_shared_maps(std::string_view maps);

}  // namespace segue::cli
