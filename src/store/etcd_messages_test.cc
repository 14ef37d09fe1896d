// SPDX-License-Identifier: Apache-2.0
// Answers as etcd 3.4.23 gives them, and answers as it should not.
#include "store/etcd_messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace segue::store::etcd {
namespace {

using base::ErrorCode;
using testing::ElementsAre;

const std::string kRoot = "/segue/";

TEST(Base64, is_that_of_rfc_4648) {
  const std::vector<std::pair<std::string, std::string>> samples{{"", ""},
                                                                 {"f", "Zg=="},
                                                                 {"fo", "Zm8="},
                                                                 {"foo", "Zm9v"},
                                                                 {"foob", "Zm9vYg=="},
                                                                 {"fooba", "Zm9vYmE="},
                                                                 {"foobar", "Zm9vYmFy"},
                                                                 {"\xff\xfe\xfd", "//79"}};
  for (const auto& [bytes, text] : samples) {
    EXPECT_EQ(to_base64(bytes), text);
    EXPECT_EQ(from_base64(text), bytes);
  }
  for (const char* wrong : {"Z", "Zg=", "Zg=a", "=g==", "Z===", "Zg==Zg==", "Z*==", "Zm9\n"}) {
    EXPECT_FALSE(from_base64(wrong)) << wrong;
  }
}

TEST(EtcdRequest, compares_puts_and_erases) {
  Transaction transaction = Transaction().expect("a", 7).put("a", "v", 9).erase("b");
  transaction.guard = Compare{.key = "l", .modified = 3};
  EXPECT_EQ(commit_body("/", transaction),
            R"({"compare":[{"target":"MOD","result":"EQUAL","key":"L2w=","mod_revision":"3"},)"
            R"({"target":"MOD","result":"EQUAL","key":"L2E=","mod_revision":"7"}],)"
            R"("success":[{"request_put":{"key":"L2E=","value":"dg==","lease":"9"}},)"
            R"({"request_delete_range":{"key":"L2I="}}],)"
            R"("failure":[{"request_range":{"keys_only":true,"key":"L2w="}},)"
            R"({"request_range":{"keys_only":true,"key":"L2E="}}]})");
}

TEST(EtcdRequest, lists_from_after_a_key_to_the_end_of_the_prefix) {
  EXPECT_EQ(list_body("/", {.prefix = "a", .after = {}, .limit = 5}, 5),
            R"({"key":"L2E=","range_end":"L2I=","limit":"5"})");
  EXPECT_EQ(list_body("/", {.prefix = "a", .after = "aa", .limit = 5}, 2),
            R"({"key":"L2FhAA==","range_end":"L2I=","limit":"2"})");
}

TEST(EtcdRequest, watches_from_the_revision_before) {
  EXPECT_EQ(watch_body("/", "a", 8),
            R"({"create_request":{"key":"L2E=","range_end":"L2I=","start_revision":"7",)"
            R"("fragment":true}})");
  EXPECT_EQ(watch_body("/", "a", 1),
            R"({"create_request":{"key":"L2E=","range_end":"L2I=","start_revision":"1",)"
            R"("fragment":true}})");
}

TEST(EtcdAnswer, gives_entries_below_the_root) {
  const auto page =
      read_page(R"({"header":{"revision":"9"},"kvs":[{"key":"L3NlZ3VlL2E=","create_revision":"2",)"
                R"("mod_revision":"3","version":"1","value":"MQ=="},{"key":"L3NlZ3VlL2I=",)"
                R"("mod_revision":"4"}],"more":true,"count":"5"})",
                kRoot, {.prefix = {}, .after = {}, .limit = 2});
  ASSERT_TRUE(page) << page.error().to_string();
  EXPECT_EQ(page->revision, 9U);
  EXPECT_TRUE(page->has_more);
  EXPECT_THAT(page->entries, ElementsAre(Entry{.key = "a", .value = "1", .modified = 3},
                                         Entry{.key = "b", .value = "", .modified = 4}));
  const auto absent = read_entry(R"({"header":{"revision":"9"}})", kRoot);
  ASSERT_TRUE(absent);
  EXPECT_FALSE(absent->entry);
}

TEST(EtcdAnswer, that_is_strange_is_data_loss) {
  for (const char* wrong :
       {"", "[]", "{", "{}", R"({"header":{"revision":"x"}})", R"({"header":{"revision":-1}})",
        R"({"header":{"revision":"1"},"kvs":3})", R"({"header":{"revision":"1"},"kvs":[3]})",
        R"({"header":{"revision":"1"},"kvs":[{"key":"L2E=","mod_revision":"1"}]})",
        R"({"header":{"revision":"1"},"kvs":[{"key":"!","mod_revision":"1"}]})",
        R"({"header":{"revision":"1"},"kvs":[{"key":"L3NlZ3VlL2E="}]})",
        R"({"header":{"revision":"99999999999999999999"}})"}) {
    const auto page = read_page(wrong, kRoot, {});
    ASSERT_FALSE(page) << wrong;
    EXPECT_EQ(page.error().code(), ErrorCode::data_loss) << wrong;
  }
  const auto unordered =
      read_page(R"({"header":{"revision":"9"},"kvs":[{"key":"L3NlZ3VlL2I=","mod_revision":"4"},)"
                R"({"key":"L3NlZ3VlL2E=","mod_revision":"3"}]})",
                kRoot, {});
  EXPECT_FALSE(unordered);
}

TEST(EtcdAnswer, tells_which_compare_did_not_hold) {
  const Transaction transaction = Transaction().expect("a", 7).expect_absent("b").put("c", "");
  const auto result = read_commit(
      R"({"header":{"revision":"9"},"responses":[{"response_range":{"kvs":[{"key":"L3NlZ3VlL2E=",)"
      R"("mod_revision":"7"}]}},{"response_range":{"kvs":[{"key":"L3NlZ3VlL2I=",)"
      R"("mod_revision":"8"}]}}]})",
      transaction);
  ASSERT_TRUE(result);
  ASSERT_FALSE(*result);
  EXPECT_EQ(result->error().kind, CommitFailure::Kind::conflict);
  EXPECT_EQ(result->error().key, "b");
  EXPECT_EQ(result->error().found, 8U);
  // Refused, and yet every compare holds.
  EXPECT_FALSE(read_commit(
      R"({"header":{"revision":"9"},"responses":[{"response_range":{"kvs":[{"key":"L3NlZ3VlL2E=",)"
      R"("mod_revision":"7"}]}},{"response_range":{}}]})",
      transaction));
  EXPECT_EQ(**read_commit(R"({"header":{"revision":"9"},"succeeded":true})", transaction), 9U);
}

TEST(EtcdAnswer, of_a_lease_that_has_ended_has_no_time_to_live) {
  EXPECT_TRUE(read_keep_alive(R"({"result":{"header":{},"ID":"12","TTL":"5"}})", 12));
  EXPECT_EQ(read_keep_alive(R"({"result":{"header":{},"ID":"12"}})", 12).error().code(),
            ErrorCode::not_found);
  EXPECT_EQ(read_keep_alive(R"({"result":{"ID":"13","TTL":"5"}})", 12).error().code(),
            ErrorCode::data_loss);
}

TEST(EtcdRefusal, is_sure_only_where_etcd_has_not_begun) {
  const auto kind = [](long status, const std::string& message, int code) {
    return read_refusal(status, fmt::format(R"({{"error":"{0}","message":"{0}","code":{1}}})",
                                            message, code))
        .kind;
  };
  using Kind = Refusal::Kind;
  EXPECT_EQ(kind(503, "etcdserver: no leader", 14), Kind::passing);
  EXPECT_EQ(kind(429, "etcdserver: too many requests", 8), Kind::passing);
  EXPECT_EQ(kind(500, "raft proposal dropped", 2), Kind::passing);
  EXPECT_EQ(kind(400, "etcdserver: duplicate key given in txn request", 3), Kind::refused);
  EXPECT_EQ(kind(404, "etcdserver: requested lease not found", 5), Kind::refused);
  EXPECT_EQ(kind(429, "etcdserver: mvcc: database space exceeded", 8), Kind::refused);
  EXPECT_EQ(kind(503, "etcdserver: request timed out", 14), Kind::unclear);
  EXPECT_EQ(kind(503, "etcdserver: leader changed", 14), Kind::unclear);
  EXPECT_EQ(kind(503, "etcdserver: server stopped", 14), Kind::unclear);
  EXPECT_EQ(kind(503, "transport is closing", 14), Kind::unclear);
  EXPECT_EQ(kind(504, "context deadline exceeded", 4), Kind::unclear);
  EXPECT_EQ(read_refusal(502, "<html>a proxy</html>").kind, Kind::unclear);
}

class WatchReaderTest : public testing::Test {
 protected:
  base::Result<void> take(std::string_view bytes) {
    return reader_.take(bytes, [this](Change change) { changes_.push_back(std::move(change)); });
  }
  static std::string event(char key, int revision, bool is_erased = false) {
    return fmt::format(R"({{{}"kv":{{"key":"{}","mod_revision":"{}"}}}})",
                       is_erased ? R"("type":"DELETE",)" : "", to_base64(kRoot + key), revision);
  }
  static Event shown(char key, bool is_erased = false) {
    return {.kind = is_erased ? Event::Kind::erase : Event::Kind::put,
            .key = std::string(1, key),
            .value = {}};
  }

  WatchReader reader_{kRoot, 5};
  std::vector<Change> changes_;
};

TEST_F(WatchReaderTest, groups_events_by_revision_wherever_the_bytes_are_cut) {
  const std::string stream = R"({"result":{"header":{"revision":"4"},"created":true}})"
                             "\n"
                             R"({"result":{"events":[)" +
                             event('z', 4) + "," + event('b', 5) + "," + event('a', 5, true) + "," +
                             event('c', 6) + "]}}\n";
  for (std::size_t at = 0; at < stream.size(); at += 7) {
    ASSERT_TRUE(take(std::string_view(stream).substr(at, 7)));
  }
  EXPECT_THAT(changes_, ElementsAre(Change{.revision = 5, .events = {shown('a', true), shown('b')}},
                                    Change{.revision = 6, .events = {shown('c')}}));
}

TEST_F(WatchReaderTest, waits_for_the_last_fragment_of_a_revision) {
  ASSERT_TRUE(take(R"({"result":{"fragment":true,"events":[)" + event('a', 5) + "]}}\n"));
  EXPECT_TRUE(changes_.empty());
  ASSERT_TRUE(take(R"({"result":{"events":[)" + event('b', 5) + "]}}\n"));
  EXPECT_THAT(changes_, ElementsAre(Change{.revision = 5, .events = {shown('a'), shown('b')}}));
}

TEST_F(WatchReaderTest, tells_compaction_from_what_passes) {
  EXPECT_EQ(take(R"({"result":{"canceled":true,"compact_revision":"9"}})"
                 "\n")
                .error()
                .code(),
            ErrorCode::failed_precondition);
  EXPECT_EQ(take(R"({"error":{"grpc_code":14,"message":"etcdserver: no leader"}})"
                 "\n")
                .error()
                .code(),
            ErrorCode::unavailable);
  EXPECT_EQ(take(R"({"error":{"grpc_code":7,"message":"etcdserver: permission denied"}})"
                 "\n")
                .error()
                .code(),
            ErrorCode::permission_denied);
}

TEST_F(WatchReaderTest, refuses_revisions_that_go_back_or_come_twice) {
  ASSERT_TRUE(take(R"({"result":{"events":[)" + event('a', 7) + "]}}\n"));
  EXPECT_EQ(take(R"({"result":{"events":[)" + event('a', 6) + "]}}\n").error().code(),
            ErrorCode::data_loss);
  EXPECT_EQ(take(R"({"result":{"events":[)" + event('b', 7) + "]}}\n").error().code(),
            ErrorCode::data_loss);
}

TEST_F(WatchReaderTest, bounds_a_line) {
  const std::string piece(std::size_t{1} << 20, ' ');
  base::Result<void> taken;
  for (int i = 0; taken && i < 20; ++i) taken = take(piece);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code(), ErrorCode::resource_exhausted);
}

}  // namespace
}  // namespace segue::store::etcd
