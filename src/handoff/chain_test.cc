// SPDX-License-Identifier: Apache-2.0
// A service that is upgraded again and again is the same after the last upgrade as after the first.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "handoff/test_process.h"
#include "handoff/test_service.h"

namespace segue::handoff::test {
namespace {

constexpr int kHandoffs = 200;
constexpr int kWarmUp = 10;
constexpr int kPatienceMs = 10'000;

struct Report {
  int fds = 0;
  long rss_kib = 0;
  long records = 0;
  int connections = 0;
  int first = 0;
};

// The program of test_service_main.cc.
class Program {
 public:
  explicit Program(const std::string& directory)
      : child_([&directory](int channel) {
          if (dup2(channel, STDIN_FILENO) < 0 || dup2(channel, STDOUT_FILENO) < 0) return;
          execl(SEGUE_TEST_SERVICE, SEGUE_TEST_SERVICE, directory.c_str(), nullptr);
          perror(SEGUE_TEST_SERVICE);
        }) {}

  bool report(Report& out) {
    if (write(child_.channel(), "?", 1) != 1) return false;
    pollfd entry{child_.channel(), POLLIN, 0};
    if (poll(&entry, 1, kPatienceMs) != 1) return false;
    char line[256] = "";
    if (read(child_.channel(), line, sizeof line - 1) <= 0) return false;
    return sscanf(line, "%d %ld %ld %d %d", &out.fds, &out.rss_kib, &out.records, &out.connections,
                  &out.first) == 5;
  }
  bool ends() { return child_.ends(); }

 private:
  Child child_;
};

class Chain : public HandoffTest {};

TEST_F(Chain, two_hundred_handoffs_leave_descriptors_and_memory_as_they_were) {
  auto current = std::make_unique<Program>(directory_.path());
  Report start;
  ASSERT_TRUE(eventually([&] { return current->report(start) && start.records > 0; }));
  std::vector<Report> reports;
  for (int i = 0; i < kHandoffs; ++i) {
    auto next = std::make_unique<Program>(directory_.path());
    ASSERT_TRUE(current->ends()) << "handoff " << i;
    current = std::move(next);
    Report report;
    ASSERT_TRUE(current->report(report)) << "handoff " << i;
    ASSERT_EQ(report.first, 0) << "handoff " << i << " began anew";
    ASSERT_EQ(report.records, start.records);
    ASSERT_EQ(report.connections, start.connections);
    reports.push_back(report);
  }
  const auto rss_of = [&](size_t from, size_t count) {
    long most = 0;
    for (size_t i = from; i < from + count; ++i) most = std::max(most, reports[i].rss_kib);
    return most;
  };
  const long before_kib = rss_of(kWarmUp, 20);
  const long after_kib = rss_of(kHandoffs - 20, 20);
  RecordProperty("rss_kib_before", static_cast<int>(before_kib));
  RecordProperty("rss_kib_after", static_cast<int>(after_kib));
  EXPECT_EQ(reports.back().fds, reports[kWarmUp].fds);
  EXPECT_LT(after_kib, before_kib + before_kib / 10) << "before: " << before_kib << " KiB";
}

}  // namespace
}  // namespace segue::handoff::test
