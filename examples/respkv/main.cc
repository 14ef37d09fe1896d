// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>

#include "handoff.h"
#include "hash.h"
#include "options.h"
#include "server.h"

namespace {

constexpr int kUsage = 2;

// Each client needs a descriptor.
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int fail(const std::string& why) {
  fmt::print(stderr, "respkv: {}\n", why);
  return 1;
}

int serve(const respkv::Options& options) {
  respkv::Server server(options.threads);
  respkv::Handoff handoff(server, options);
  if (const std::string why = handoff.open(); !why.empty()) return fail(why);
  if (options.breaks == respkv::Break::never_ready) {
    while (true) pause();
  }
  if (const std::string why = handoff.start(); !why.empty()) return fail(why);
  server.run();
  if (handoff.committed()) _exit(0);
  return handoff.exit_code();
}

}  // namespace

int main(int argc, char** argv) {
  respkv::Options options;
  if (const std::string why = respkv::parse_options(argc, argv, options); !why.empty()) {
    fmt::print(stderr, "respkv: {}\n", why);
    return kUsage;
  }
  if (options.help) {
    fmt::print("{}", respkv::usage());
    return 0;
  }
  if (options.breaks == respkv::Break::start) return fail("fails on purpose (--break start)");
  if (getrandom(&respkv::hash_seed, sizeof respkv::hash_seed, 0) < 0) return fail("no random seed");
  raise_descriptor_limit();
  return serve(options);
}
