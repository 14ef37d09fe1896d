// SPDX-License-Identifier: Apache-2.0
// heapkv: a key-value server whose whole state, index included, lies in a record heap of libsegue.
// It speaks as much of the Redis protocol as a load generator needs.
#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <string>
#include <string_view>

#include "server.h"

namespace {

constexpr int kUsage = 2;
constexpr unsigned kMaxThreads = 64;

template <typename Number>
bool read_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size();
}

bool set_on_crash(const std::string& value, heapkv::Options& options) {
  if (value == "resume") options.on_crash = SEGUE_ON_CRASH_RESUME;
  if (value == "arenas") options.on_crash = SEGUE_ON_CRASH_ARENAS;
  if (value == "restart") options.on_crash = SEGUE_ON_CRASH_RESTART;
  return value == "resume" || value == "arenas" || value == "restart";
}

bool set_option(std::string_view option, const std::string& value, heapkv::Options& options) {
  if (option == "--listen") return !(options.listen = value).empty();
  if (option == "--directory") return !(options.directory = value).empty();
  if (option == "--heap-mib") return read_number(value, options.heap_mib) && options.heap_mib > 0;
  if (option == "--fill-mib") return read_number(value, options.fill_mib);
  if (option == "--threads") {
    return read_number(value, options.threads) && options.threads > 0 &&
           options.threads <= kMaxThreads;
  }
  if (option == "--budget-us") return read_number(value, options.budget_us);
  if (option == "--probation-ms") return read_number(value, options.probation_ms);
  if (option == "--label") return !(options.label = value).empty();
  if (option == "--on-crash") return set_on_crash(value, options);
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  heapkv::Options options;
  for (int i = 1; i < argc; i += 2) {
    if (i + 1 < argc && set_option(argv[i], argv[i + 1], options)) continue;
    fmt::print(
        stderr,
        "heapkv: '{}' is unknown or wrong; usage: heapkv-v1 [--listen tcp:ADDRESS:PORT] "
        "[--directory DIRECTORY] [--heap-mib N] [--fill-mib N] [--threads N] "
        "[--probation-ms N] [--budget-us N] [--on-crash resume|arenas|restart] [--label TEXT]\n",
        argv[i]);
    return kUsage;
  }
  heapkv::Server server(std::move(options));
  if (const std::string why = server.start(); !why.empty()) {
    fmt::print(stderr, "heapkv: cannot start: {}\n", why);
    return 1;
  }
  server.run();
  return 0;
}
