// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <poll.h>

#include <filesystem>
#include <map>

#include "handoff/clock.h"
#include "segue/segue.hpp"

namespace {

class Counters : public segue::Service, public segue::TableSource {
 public:
  bool freeze() override { return true; }
  void resume(segue_resume_reason, bool) override {}
  void activate(const segue_activation& activation) override { epoch = activation.epoch; }
  void terminate(segue_end_reason reason) override { ended = reason; }

  bool scan(uint64_t& cursor, uint32_t, segue::Scan& out) override {
    for (const auto& [name, count] : counts) out.key(name);
    ++cursor;
    return false;
  }
  segue::Encoded encode(std::string_view key, segue::Writer& out) override {
    const auto found = counts.find(key);
    if (found == counts.end()) return segue::Encoded::gone;
    out.signed_number(1, found->second);
    return segue::Encoded::written;
  }
  bool put(std::string_view key, const segue::Record& record) override {
    counts[std::string(key)] = record.signed_number(1);
    return true;
  }
  bool erase(std::string_view key) override { return counts.erase(std::string(key)), true; }
  void clear() override { counts.clear(); }

  std::map<std::string, int64_t, std::less<>> counts;
  uint64_t epoch = 0;
  int ended = 0;
};

struct Side {
  explicit Side(const std::string& directory) : instance(options(directory), counters) {
    EXPECT_TRUE(instance.valid()) << instance.error();
    table = instance.table("counts", {"test.count", 1}, counters);
    EXPECT_TRUE(table.valid()) << instance.error();
  }
  static segue_options options(const std::string& directory) {
    segue_options o{};
    o.service = "counters";
    o.version = "1";
    o.directory = directory.c_str();
    o.poll_interval_ms = 1;
    o.budget_us = 1'000'000;
    o.probation_ms = 1;
    return o;
  }
  Counters counters;
  segue::Instance instance;
  segue::Table table;
};

TEST(SegueHpp, hands_over_a_table_of_objects) {
  char directory[] = "/tmp/segue-hpp-XXXXXX";
  ASSERT_NE(mkdtemp(directory), nullptr);
  {
    Side first(directory);
    ASSERT_EQ(first.instance.start(), SEGUE_OK) << first.instance.error();
    first.counters.counts["a"] = -5;
    first.table.put("a");
    Side second(directory);
    ASSERT_EQ(second.instance.start(), SEGUE_OK) << second.instance.error();
    const uint64_t deadline = segue::handoff::monotonic_ns() + 10'000'000'000U;
    while (first.counters.ended == 0 && segue::handoff::monotonic_ns() < deadline) {
      pollfd fds[2] = {{first.instance.fd(), POLLIN, 0}, {second.instance.fd(), POLLIN, 0}};
      poll(fds, 2, 100);
      first.instance.dispatch();
      second.instance.dispatch();
    }
    EXPECT_EQ(first.counters.ended, SEGUE_END_COMMITTED) << first.instance.error();
    EXPECT_TRUE(second.instance.active());
    EXPECT_EQ(second.counters.counts, first.counters.counts);
    EXPECT_EQ(second.counters.epoch, 2U);
  }
  std::filesystem::remove_all(directory);
}

TEST(SegueHpp, loop_goes_on_when_the_service_is_active_and_ends_with_it) {
  Counters counters;
  segue_options options{};
  options.service = "counters";
  options.version = "1";
  segue::Instance instance(options, counters);
  segue::Loop loop = instance.loop("worker");
  ASSERT_TRUE(loop.valid()) << instance.error();
  segue::Table table = instance.table("counts", {"test.count", 1}, counters);
  EXPECT_TRUE(table.bind(loop));
  segue::Operations reads = instance.operations("reads");
  ASSERT_TRUE(reads.valid()) << instance.error();
  ASSERT_EQ(instance.start(), SEGUE_OK) << instance.error();
  EXPECT_TRUE(loop.dispatch());
  reads.add(1);
  reads.add(-1);
  segue_stop(instance.handle());
  EXPECT_FALSE(loop.dispatch());
}

TEST(SegueHpp, invalid_options_say_why) {
  Counters counters;
  segue_options options{};
  options.service = "no spaces";
  options.version = "1";
  const segue::Instance instance(options, counters);
  EXPECT_FALSE(instance.valid());
  EXPECT_NE(std::string(instance.error()).find("service"), std::string::npos);
}

}  // namespace
