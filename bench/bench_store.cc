// SPDX-License-Identifier: Apache-2.0
// Commits per second of the SQLite store, by how many wait for their answers at once: what one
// fsync for a group is worth. Beside it a bare write and fsync of 4 KiB on the same disk.
//   bench_store [--quick] [DIRECTORY]    (a directory on the disk that is meant; here otherwise)
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_writer.h"
#include "os/clock.h"
#include "os/epoll_loop.h"
#include "os/temp_directory.h"
#include "os/unique_fd.h"
#include "store/loop_scheduler.h"
#include "store/sqlite_store.h"

namespace {

using namespace std::chrono_literals;
namespace base = segue::base;
namespace os = segue::os;
namespace store = segue::store;

struct Figures {
  double per_s = 0;
  double p50_ms = 0;
  double p99_ms = 0;
};

void report(const std::string& name, const Figures& figures) {
  fmt::print(stderr, "{:24} {:9.0f} commits/s   p50 {:8.2f} ms   p99 {:8.2f} ms\n", name,
             figures.per_s, figures.p50_ms, figures.p99_ms);
  const auto line = [&](const char* metric, double value, const char* unit) {
    base::JsonWriter json;
    json.begin_object()
        .field("bench", "store")
        .field("case", name)
        .field("metric", metric)
        .field("value", value)
        .field("unit", unit)
        .key("peer")
        .null()
        .end();
    fmt::print("{}\n", std::move(json).take());
  };
  line("commits_per_s", figures.per_s, "1/s");
  line("latency_p50", figures.p50_ms, "ms");
  line("latency_p99", figures.p99_ms, "ms");
}

Figures figures_of(std::vector<double> latencies_ms, base::Duration took) {
  if (latencies_ms.empty()) return {};
  std::sort(latencies_ms.begin(), latencies_ms.end());
  return {.per_s = static_cast<double>(latencies_ms.size()) /
                   std::chrono::duration<double>(took).count(),
          .p50_ms = latencies_ms.at(latencies_ms.size() / 2),
          .p99_ms = latencies_ms.at(latencies_ms.size() * 99 / 100)};
}

double milliseconds(base::Duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

Figures write_and_sync(const std::string& directory, base::Duration limit) {
  const os::SystemClock clock;
  const os::TempDirectory here(directory);
  const os::UniqueFd file(
      ::open(here.path("bare").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_APPEND, 0600));
  const std::string page(4096, 'x');
  std::vector<double> latencies_ms;
  const base::MonotonicTime start = clock.monotonic_now();
  while (clock.monotonic_now() - start < limit) {
    const base::MonotonicTime begin = clock.monotonic_now();
    if (::write(file.get(), page.data(), page.size()) < 0 || ::fsync(file.get()) != 0) break;
    latencies_ms.push_back(milliseconds(clock.monotonic_now() - begin));
  }
  return figures_of(std::move(latencies_ms), clock.monotonic_now() - start);
}

// So many commits wait at any time, each of one put of 200 bytes among 10,000 keys.
base::Result<Figures> commit(const std::string& directory, int at_once, base::Duration limit) {
  const os::SystemClock clock;
  SEGUE_ASSIGN(os::EpollLoop loop, os::EpollLoop::create(clock));
  SEGUE_ASSIGN(const auto scheduler, store::LoopScheduler::create(loop, clock));
  const os::TempDirectory here(directory);
  SEGUE_ASSIGN(const auto opened, store::SqliteStore::open(here.path("store"), *scheduler));
  std::vector<double> latencies_ms;
  std::size_t failed = 0;
  int waiting = 0;
  int next = 0;
  const base::MonotonicTime start = clock.monotonic_now();
  const base::MonotonicTime end = start + limit;
  const std::function<void()> put = [&] {
    ++waiting;
    store::Transaction transaction;
    transaction.put(fmt::format("host/{:05}", next++ * 7919 % 10'000), std::string(200, 'v'));
    opened->commit(std::move(transaction),
                   [&, begin = clock.monotonic_now()](const store::CommitResult& result) {
                     --waiting;
                     if (!result) ++failed;
                     latencies_ms.push_back(milliseconds(clock.monotonic_now() - begin));
                     if (clock.monotonic_now() < end) put();
                   });
  };
  for (int i = 0; i < at_once; ++i) put();
  while (waiting > 0) SEGUE_TRY(loop.run_once(1s));
  if (failed > 0) return base::fail(base::ErrorCode::internal, "{} commits failed", failed);
  return figures_of(std::move(latencies_ms), clock.monotonic_now() - start);
}

}  // namespace

int main(int argc, char** argv) {
  base::Duration limit = 10s;
  std::string directory = ".";
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--quick")
      limit = 2s;
    else
      directory = argv[i];
  }
  report("write+fsync/4KiB", write_and_sync(directory, limit));
  for (const int at_once : {1, 8, 64, 256}) {
    const auto figures = commit(directory, at_once, limit);
    if (!figures) {
      fmt::print(stderr, "bench_store: {}\n", figures.error().to_string());
      return 1;
    }
    report(fmt::format("sqlite/at_once={}", at_once), *figures);
  }
  return 0;
}
