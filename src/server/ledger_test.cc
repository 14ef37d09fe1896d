// SPDX-License-Identifier: Apache-2.0
#include "server/ledger.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fleet/audit.h"
#include "server/documents.h"
#include "server/test_server.h"

namespace segue::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using store::MemoryFault;
using store::MemoryRequest;
using testing::ElementsAre;

class LedgerTest : public testing::Test {
 protected:
  // The next commits meet these, one after the other.
  MemoryFault next_fault(MemoryRequest request) {
    if (request != MemoryRequest::commit || faults_.empty()) return {};
    const MemoryFault fault = faults_.front();
    faults_.erase(faults_.begin());
    return fault;
  }
  void write(const std::string& key) {
    ledger_.write(store::Transaction().put(key, "x"), {{"ada", "test", key, ""}},
                  [this, key](store::Revision) { written_.push_back(key); });
  }
  std::vector<std::string> audited() {
    std::vector<std::string> objects;
    fleet::AuditVerifier verifier;
    for (const auto& entry : database_->list({.prefix = std::string(kAudit)}).entries) {
      EXPECT_TRUE(verifier.take(entry.value)) << entry.value;
      objects.push_back(fleet::read_audit_entry(entry.value)->object);
    }
    const auto head = read_record<AuditHead>(database_->get(std::string(kAuditHead)).entry->value);
    EXPECT_EQ(head->number, verifier.count());
    EXPECT_EQ(head->digest, verifier.digest());
    return objects;
  }

  store::TestScheduler scheduler_;
  SchedulerClock clock_{scheduler_};
  std::shared_ptr<store::MemoryDatabase> database_ =
      std::make_shared<store::MemoryDatabase>(scheduler_);
  std::vector<MemoryFault> faults_;
  store::MemoryStore store_{database_, scheduler_,
                            [this](MemoryRequest request) { return next_fault(request); }};
  std::vector<std::string> troubles_;
  std::optional<base::Error> fatal_;
  Ledger ledger_{store_,
                 scheduler_,
                 clock_,
                 {.on_fatal = [this](const base::Error& why) { fatal_ = why; },
                  .on_trouble = [this](const std::string& text) { troubles_.push_back(text); }}};
  std::vector<std::string> written_;
};

TEST_F(LedgerTest, writes_in_order_with_an_entry_each) {
  for (const char* key : {"a", "b", "c"}) write(key);
  EXPECT_TRUE(written_.empty()) << "never inside the call";
  EXPECT_EQ(ledger_.waiting(), 3U);
  scheduler_.run_for(seconds(1));
  EXPECT_THAT(written_, ElementsAre("a", "b", "c"));
  EXPECT_THAT(audited(), ElementsAre("a", "b", "c"));
  EXPECT_EQ(ledger_.audit_number(), 3U);
  EXPECT_EQ(ledger_.latency().count, 3U);
  EXPECT_TRUE(ledger_.trouble().empty());
}

TEST_F(LedgerTest, tries_again_what_was_not_written_and_keeps_the_order) {
  faults_ = {{.effect = MemoryFault::Effect::not_committed},
             {.effect = MemoryFault::Effect::not_committed}};
  write("a");
  write("b");
  scheduler_.run_for(seconds(1));
  EXPECT_TRUE(written_.empty());
  EXPECT_FALSE(ledger_.trouble().empty());
  scheduler_.run_for(seconds(5));
  EXPECT_THAT(written_, ElementsAre("a", "b"));
  EXPECT_THAT(audited(), ElementsAre("a", "b"));
  EXPECT_TRUE(ledger_.trouble().empty());
  EXPECT_EQ(troubles_.size(), 2U) << "it began, and it is over";
  EXPECT_FALSE(fatal_);
}

TEST_F(LedgerTest, writes_once_what_nobody_knew_the_outcome_of) {
  using Effect = MemoryFault::Effect;
  // Done before the next try, not done, and done only when the next one has been.
  for (const MemoryFault& unclear :
       {MemoryFault{.effect = Effect::unknown_done, .answered = seconds(2)},
        MemoryFault{.effect = Effect::unknown_lost, .answered = seconds(2)},
        MemoryFault{
            .effect = Effect::unknown_done, .takes_effect = seconds(9), .answered = seconds(2)}}) {
    faults_ = {unclear};
    const std::string key = fmt::format("a{}", written_.size());
    ledger_.write(store::Transaction().expect_absent(key).put(key, "x"), {},
                  [this, key](store::Revision revision) {
                    EXPECT_EQ(database_->get(key).entry->modified, revision);
                    written_.push_back(key);
                  });
    write("b");
    scheduler_.run_for(seconds(3));
    EXPECT_EQ(written_.size() % 2, 0U) << "each is written by then";
    scheduler_.run_for(seconds(20));
    EXPECT_LT(database_->get(key).entry->modified, database_->get("b").entry->modified)
        << "the late one did nothing";
  }
  EXPECT_THAT(written_, ElementsAre("a0", "b", "a2", "b", "a4", "b"));
  EXPECT_THAT(audited(), ElementsAre("b", "b", "b"));
  EXPECT_TRUE(troubles_.empty());
  EXPECT_FALSE(fatal_);
}

TEST_F(LedgerTest, ends_when_the_outcome_stays_unknown) {
  faults_.assign(Ledger::kMaxUnclear, {.effect = MemoryFault::Effect::unknown_lost});
  write("a");
  write("b");
  scheduler_.run_for(Ledger::kSettle * (Ledger::kMaxUnclear - 1) - milliseconds(1));
  EXPECT_FALSE(fatal_) << "the tries are apart";
  EXPECT_FALSE(ledger_.trouble().empty());
  scheduler_.run_for(seconds(120));
  ASSERT_TRUE(fatal_);
  EXPECT_EQ(fatal_->code(), base::ErrorCode::unknown_outcome);
  EXPECT_TRUE(written_.empty());
  write("c");
  scheduler_.run_for(seconds(10));
  EXPECT_TRUE(written_.empty()) << "nothing more is written by this process";
}

TEST_F(LedgerTest, does_not_take_what_the_next_leader_has_written_for_its_own) {
  ASSERT_TRUE(database_->commit(store::Transaction().put("leader", "this")));
  ledger_.guard_with({.key = "leader", .modified = database_->revision()});
  faults_ = {{.effect = MemoryFault::Effect::unknown_lost, .answered = seconds(2)}};
  write("a");
  scheduler_.run_for(seconds(1));
  ASSERT_TRUE(database_->commit(
      store::Transaction().put("leader", "other").put(std::string(kAuditHead), "other")));
  scheduler_.run_for(seconds(10));
  EXPECT_TRUE(fatal_);
  EXPECT_TRUE(written_.empty());
}

TEST_F(LedgerTest, ends_when_another_has_written_to_its_log) {
  write("a");
  scheduler_.run_for(seconds(1));
  ASSERT_TRUE(database_->commit(store::Transaction().put(std::string(kAuditHead), "other")));
  write("b");
  scheduler_.run_for(seconds(10));
  EXPECT_TRUE(fatal_);
  EXPECT_THAT(written_, ElementsAre("a"));
}

TEST_F(LedgerTest, ends_when_another_server_leads) {
  ASSERT_TRUE(database_->commit(store::Transaction().put("leader", "other")));
  ledger_.guard_with({.key = "leader", .modified = 1});
  write("a");
  scheduler_.run_for(seconds(10));
  EXPECT_TRUE(fatal_);
  EXPECT_TRUE(database_->list({.prefix = std::string(kAudit)}).entries.empty());
}

TEST_F(LedgerTest, goes_on_with_the_log_that_there_is) {
  write("a");
  scheduler_.run_for(seconds(1));
  Ledger next(store_, scheduler_, clock_, {.on_fatal = nullptr, .on_trouble = nullptr});
  next.continue_audit(ledger_.audit_number(), ledger_.audit_digest(),
                      database_->get(std::string(kAuditHead)).entry->modified);
  next.write({}, {{"bob", "test", "b", ""}}, nullptr);
  scheduler_.run_for(seconds(1));
  EXPECT_THAT(audited(), ElementsAre("a", "b"));
}

}  // namespace
}  // namespace segue::server
