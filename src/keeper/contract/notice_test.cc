// SPDX-License-Identifier: Apache-2.0
#include "keeper/contract/notice.h"

#include <gtest/gtest.h>

namespace segue::keeper {
namespace {

using std::chrono::microseconds;

Notice parsed(std::string_view message) {
  auto notice = parse_notice(message);
  EXPECT_TRUE(notice);
  return notice.value_or(Notice{});
}

TEST(Notice, says_everything_that_sd_notify_knows) {
  const Notice notice = parsed(
      "READY=1\nRELOADING=1\nMONOTONIC_USEC=42\nSTOPPING=1\nSTATUS=a=b\nMAINPID=77\nERRNO=2\n"
      "WATCHDOG=1\nWATCHDOG_USEC=5000000\nEXTEND_TIMEOUT_USEC=7\nBARRIER=1");
  EXPECT_TRUE(notice.ready && notice.reloading && notice.stopping && notice.barrier);
  EXPECT_EQ(notice.monotonic_us, 42U);
  EXPECT_EQ(notice.status, "a=b");
  EXPECT_EQ(notice.main_pid, 77);
  EXPECT_EQ(notice.error_number, 2);
  EXPECT_EQ(notice.watchdog, Notice::Watchdog::ping);
  EXPECT_EQ(notice.watchdog_interval, std::optional<base::Duration>(microseconds(5'000'000)));
  EXPECT_EQ(notice.extend_timeout, std::optional<base::Duration>(microseconds(7)));
  EXPECT_EQ(notice.wrong, "");
}

TEST(Notice, descriptors_are_stored_under_a_name_and_removed_by_it) {
  const Notice plain = parsed("FDSTORE=1\n");
  EXPECT_TRUE(plain.store && plain.fd_poll && plain.fd_name == "stored");
  const Notice named = parsed("FDSTORE=1\nFDNAME=game state\nFDPOLL=0");
  EXPECT_TRUE(named.store && !named.fd_poll && named.fd_name == "game state");
  EXPECT_TRUE(parsed("FDSTOREREMOVE=1\nFDNAME=x").remove);
}

TEST(Notice, unknown_keys_and_lines_without_a_key_are_ignored) {
  EXPECT_EQ(parsed("X_MINE=1\nnonsense\n\n=\nREADY=1"), parsed("READY=1"));
  EXPECT_EQ(parsed(""), Notice{});
}

TEST(Notice, a_wrong_value_is_ignored_and_named) {
  for (const std::string_view key : {"READY", "MAINPID", "WATCHDOG", "WATCHDOG_USEC", "ERRNO",
                                     "FDPOLL", "EXTEND_TIMEOUT_USEC"}) {
    Notice notice = parsed(std::string(key) + "=-7");
    EXPECT_EQ(notice.wrong, key);
    notice.wrong.clear();
    EXPECT_EQ(notice, Notice{}) << key;
  }
  EXPECT_EQ(parsed("FDNAME=a:b").wrong, "FDNAME");
  EXPECT_EQ(parsed("FDNAME=" + std::string(kMaxFdNameBytes + 1, 'x')).wrong, "FDNAME");
  EXPECT_EQ(parsed("MAINPID=1").wrong, "MAINPID") << "nobody's child is process 1";
}

TEST(Notice, what_is_no_message_is_refused) {
  EXPECT_FALSE(parse_notice(std::string(kMaxNoticeBytes + 1, 'x')));
  EXPECT_FALSE(parse_notice(std::string_view("READY=1\0STATUS=", 15)));
  EXPECT_TRUE(parse_notice(std::string_view("READY=1\0", 8))) << "one at the end is usual";
}

TEST(Notice, a_long_status_is_cut) {
  EXPECT_EQ(parsed("STATUS=" + std::string(2'000, 'x')).status->size(), kMaxStatusBytes);
}

}  // namespace
}  // namespace segue::keeper
