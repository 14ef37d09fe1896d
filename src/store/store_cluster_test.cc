// SPDX-License-Identifier: Apache-2.0
// Real etcd clusters that lose members, hang and come back.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <map>
#include <set>

#include "os/temp_directory.h"
#include "store/election.h"
#include "store/etcd_store.h"
#include "store/test_etcd.h"
#include "store/test_store.h"

namespace segue::store {
namespace {

using namespace std::chrono_literals;
using base::ErrorCode;
using testing::HasSubstr;
using Kind = CommitFailure::Kind;

class StoreCluster : public testing::Test {
 protected:
  void SetUp() override {
    if (!TestEtcd::is_installed()) {
      GTEST_SKIP() << "NOT TESTED: etcd is not installed (apt-get install etcd-server)";
    }
  }
  std::unique_ptr<EtcdStore> open(const EtcdSettings& settings) {
    return std::make_unique<EtcdStore>(settings, *loop_.scheduler, loop_.loop, loop_.clock);
  }

  // Puts a key of its own, however often it takes; leaders may change on a busy machine.
  Revision settle(Store& store, const std::string& key) {
    Asker ask(loop_, store);
    for (int i = 0; i < 30; ++i) {
      const auto result = ask.commit(Transaction().expect_absent(key).put(key, "settled"));
      if (result || result.error().kind == Kind::conflict) break;
    }
    const auto reading = ask.get(key);
    EXPECT_TRUE(reading && reading->entry) << key << " cannot be put";
    return reading && reading->entry ? reading->entry->modified : 0;
  }

  TestLoop loop_;
};

// Some transactions at once, each for a key of its own, and what came of each.
class Writers {
 public:
  explicit Writers(Store& store) : store_(&store) {
    for (int i = 0; i < 8; ++i) write();
  }
  void stop() { is_over_ = true; }

  [[nodiscard]] std::size_t acknowledged() const { return committed.size(); }
  [[nodiscard]] bool is_idle() const { return under_way_ == 0; }

  std::map<std::string, Revision> committed;
  std::set<std::string> unknown;
  std::set<std::string> not_committed;
  std::set<std::string> conflicts;

 private:
  void write() {
    if (is_over_) return;
    ++under_way_;
    const std::string key = fmt::format("w/{:05}", next_++);
    store_->commit(Transaction().expect_absent(key).put(key, "value of " + key),
                   [this, key](const CommitResult& result) {
                     --under_way_;
                     note(key, result);
                     write();
                   });
  }
  void note(const std::string& key, const CommitResult& result) {
    if (result) {
      committed[key] = *result;
    } else if (result.error().kind == Kind::unknown) {
      unknown.insert(key);
    } else if (result.error().kind == Kind::not_committed) {
      not_committed.insert(key);
    } else {
      conflicts.insert(key);
    }
  }

  Store* store_;
  bool is_over_ = false;
  int next_ = 0;
  int under_way_ = 0;
};

// All that a watch shows, from its first revision on.
class Reader {
 public:
  Reader(Store& store, Revision first) : watch_(store.watch("w/", first)) { read(); }
  std::map<std::string, Revision> seen;
  std::string wrong;
  Revision last = 0;

 private:
  void read() {
    watch_->next([this](const tl::expected<Change, WatchEnd>& change) {
      if (!change) {
        wrong += "the watch has ended: " + change.error().error.to_string() + "\n";
        return;
      }
      if (change->revision <= last) wrong += fmt::format("{} after {}\n", change->revision, last);
      last = change->revision;
      for (const Event& event : change->events) {
        if (!seen.emplace(event.key, change->revision).second) wrong += event.key + " twice\n";
      }
      read();
    });
  }
  std::unique_ptr<Watch> watch_;
};

TEST_F(StoreCluster, loses_nothing_and_does_nothing_twice_while_leaders_are_killed) {
  TestEtcd etcd(loop_, 3);
  const auto store = open(etcd.settings());
  Asker ask(loop_, *store);
  const auto start = ask.get("w/x");
  ASSERT_TRUE(start);
  Reader reader(*store, start->revision + 1);
  Writers writers(*store);
  std::size_t goal = 0;
  for (int round = 0; round < 2; ++round) {
    goal += 60;
    ASSERT_TRUE(loop_.run_until([&] { return writers.acknowledged() >= goal; }, 120s));
    const std::size_t leader = etcd.leader({0, 1, 2});
    etcd.kill(leader);
    goal = writers.acknowledged() + 60;
    ASSERT_TRUE(loop_.run_until([&] { return writers.acknowledged() >= goal; }, 240s))
        << "no more writes after the leader's death";
    etcd.start(leader);
  }
  writers.stop();
  ASSERT_TRUE(loop_.run_until([&] { return writers.is_idle(); }, 240s));
  EXPECT_TRUE(writers.conflicts.empty()) << *writers.conflicts.begin() << " was written twice";

  ASSERT_TRUE(etcd.leader({0, 1, 2}) < 3);
  const Revision end = settle(*store, "w/zzz");
  ASSERT_TRUE(loop_.run_until([&] { return reader.last >= end || !reader.wrong.empty(); }, 120s));
  EXPECT_EQ(reader.wrong, "");
  for (const auto& [key, revision] : writers.committed) {
    const auto reading = ask.get(key);
    ASSERT_TRUE(reading && reading->entry) << key << " was acknowledged and is lost";
    EXPECT_EQ(reading->entry->modified, revision);
    EXPECT_EQ(reading->entry->value, "value of " + key);
    EXPECT_EQ(reader.seen[key], revision);
  }
  for (const std::string& key : writers.not_committed) {
    EXPECT_EQ(ask.value(key), "(absent)") << "it was surely not committed";
  }
  for (const std::string& key : writers.unknown) {
    const auto reading = ask.get(key);
    ASSERT_TRUE(reading);
    EXPECT_EQ(reading->entry.has_value(), reader.seen.contains(key)) << key;
  }
  RecordProperty("committed", static_cast<int>(writers.committed.size()));
  RecordProperty("unknown", static_cast<int>(writers.unknown.size()));
}

TEST_F(StoreCluster, a_member_that_hangs_is_left_by_requests_and_by_watches) {
  TestEtcd etcd(loop_, 3);
  const std::size_t leader = etcd.leader({0, 1, 2});
  EtcdSettings settings = etcd.settings();
  settings.read_limit = 1s;
  // Talks to a member that does not lead: the cluster goes on without it.
  std::rotate(settings.members.begin(),
              settings.members.begin() + static_cast<std::ptrdiff_t>((leader + 1) % 3),
              settings.members.end());
  const auto store = open(settings);
  const auto other = open(etcd.settings());
  Asker ask(loop_, *store);
  const Revision first = settle(*store, "w/a");
  Reader reader(*store, first);
  ASSERT_TRUE(loop_.run_until([&] { return reader.seen.contains("w/a"); }));
  etcd.signal((leader + 1) % 3, SIGSTOP);
  // Nobody asks `store` anything: it looks by itself.
  EtcdSettings living = etcd.settings();
  living.members = {settings.members[2]};
  const auto writer = open(living);
  settle(*writer, "w/b");
  EXPECT_TRUE(loop_.run_until([&] { return reader.seen.contains("w/b"); }));
  EXPECT_EQ(reader.wrong, "");
  EXPECT_EQ(ask.value("w/b"), "settled");
  etcd.signal((leader + 1) % 3, SIGCONT);
}

TEST_F(StoreCluster, what_was_sent_and_not_answered_is_unknown_until_it_is_read_back) {
  TestEtcd etcd(loop_, 1);
  EtcdSettings settings = etcd.settings();
  settings.write_limit = 500ms;
  const auto store = open(settings);
  Asker ask(loop_, *store);
  etcd.signal(0, SIGSTOP);
  const auto result = ask.commit(Transaction().expect_absent("w/a").put("w/a", "1"));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind, Kind::unknown);
  EXPECT_EQ(result.error().error.code(), ErrorCode::unknown_outcome);
  etcd.signal(0, SIGCONT);
  // The member may have read the request or not; a compare settles which, for good.
  const auto patient = open(etcd.settings());
  Asker reader(loop_, *patient);
  const auto settled = reader.commit(Transaction().expect_absent("w/a").put("w/a", "2"));
  if (!settled) {
    EXPECT_EQ(settled.error().kind, Kind::conflict);
  }
  EXPECT_EQ(reader.value("w/a"), settled ? "2" : "1");
}

TEST_F(StoreCluster, what_was_not_sent_is_surely_not_committed) {
  TestEtcd etcd(loop_, 1);
  EtcdSettings settings = etcd.settings();
  settings.patience = 500ms;
  settings.watch_patience = 500ms;
  const auto store = open(settings);
  Asker ask(loop_, *store);
  const Revision before = ask.put("before", "1");
  etcd.kill(0);
  const auto result = ask.commit(Transaction().put("w/a", "1"));
  ASSERT_FALSE(result);
  // The first may find the connection that was kept; then it is not known.
  const auto again = ask.commit(Transaction().put("w/a", "1"));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().kind, Kind::not_committed);
  EXPECT_EQ(again.error().error.code(), ErrorCode::unavailable);
  EXPECT_THAT(again.error().error.message(), HasSubstr("no member of etcd has done it"));
  const auto watch = store->watch("w/", before + 1);
  const auto ended = ask.next(*watch);
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().reason, WatchEnd::Reason::failed);
  etcd.start(0);
  static_cast<void>(etcd.leader({0}));
  const auto later = open(etcd.settings());
  EXPECT_EQ(Asker(loop_, *later).value("w/a"), "(absent)");
}

TEST_F(StoreCluster, a_candidate_leads_when_the_leaders_lease_has_ended) {
  TestEtcd etcd(loop_, 1);
  const auto store = open(etcd.settings());
  const auto other = open(etcd.settings());
  std::optional<Compare> first;
  std::optional<Compare> second;
  auto leader = std::make_unique<Election>(
      *store, *loop_.scheduler,
      Election::Settings{.key = "election", .candidate = "first", .ttl = 2s},
      Election::Observer{.on_elected = [&](const Compare& guard) { first = guard; },
                         .on_deposed = {},
                         .on_leader = {}});
  leader->campaign();
  ASSERT_TRUE(loop_.run_until([&] { return first.has_value(); }));
  Election next(*other, *loop_.scheduler, {.key = "election", .candidate = "second", .ttl = 60s},
                {.on_elected = [&](const Compare& guard) { second = guard; },
                 .on_deposed = {},
                 .on_leader = {}});
  next.campaign();
  leader.reset();  // like a crash
  ASSERT_TRUE(loop_.run_until([&] { return second.has_value(); }, 120s));
  Transaction late = Transaction().put("w/a", "by a dead leader");
  late.guard = first;
  const auto result = Asker(loop_, *store).commit(late);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind, Kind::deposed);
}

TEST_F(StoreCluster, speaks_tls_with_certificates_of_both_sides) {
  const os::TempDirectory directory;
  const fetch::TlsFiles tls{.authority = directory.path("c.pem"),
                            .certificate = directory.path("c.pem"),
                            .key = directory.path("k.pem")};
  os::SpawnOptions make;
  make.argv = {"openssl",
               "req",
               "-x509",
               "-newkey",
               "ec",
               "-pkeyopt",
               "ec_paramgen_curve:prime256v1",
               "-nodes",
               "-days",
               "2",
               "-subj",
               "/CN=test",
               "-addext",
               "subjectAltName=IP:127.0.0.1",
               "-addext",
               "extendedKeyUsage=serverAuth,clientAuth",
               "-keyout",
               tls.key,
               "-out",
               tls.certificate};
  make.env = {"PATH=/usr/bin:/bin"};
  const auto child = os::spawn(make);
  ASSERT_TRUE(child) << child.error().to_string();
  const auto status = os::wait_for_exit(child->pidfd, 60s);
  ASSERT_TRUE(status && *status && (*status)->success());

  TestEtcd etcd(loop_, 1, tls);
  const auto store = open(etcd.settings());
  Asker ask(loop_, *store);
  const Revision revision = ask.put("w/a", "1");
  const auto watch = store->watch("w/", revision);
  EXPECT_TRUE(ask.next(*watch));

  EtcdSettings stranger = etcd.settings();
  stranger.patience = 500ms;
  stranger.tls.certificate.clear();
  stranger.tls.key.clear();
  const auto refused = open(stranger);
  const auto reading = Asker(loop_, *refused).get("w/a");
  ASSERT_FALSE(reading);
  EXPECT_EQ(reading.error().code(), ErrorCode::unavailable);
  stranger.tls = {};  // the system's authorities do not vouch for it
  const auto untrusting = open(stranger);
  const auto result = Asker(loop_, *untrusting).commit(Transaction().put("w/a", "2"));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind, Kind::not_committed);
}

}  // namespace
}  // namespace segue::store
