// SPDX-License-Identifier: Apache-2.0
// Instances under a keeper that the test plays: what it is told, and what its words do.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "handoff/fields.h"
#include "handoff/golden_messages.h"
#include "handoff/link.h"
#include "handoff/owner_page.h"
#include "handoff/sockets.h"
#include "handoff/test_link.h"
#include "handoff/test_service.h"

namespace segue::handoff::test {
namespace {

constexpr uint64_t kAttempt = 7;

std::set<uint32_t> tags_of(std::string_view record) {
  std::set<uint32_t> tags;
  while (!record.empty()) {
    const auto field = take_field(record);
    if (!field) break;
    tags.insert(field->tag);
  }
  return tags;
}

bool is_recorded(FrameType type, const std::string& payload) {
  return std::any_of(
      golden_messages().begin(), golden_messages().end(), [&](const GoldenMessage& message) {
        return message.type == type && tags_of(message.payload()) == tags_of(payload);
      });
}

// The keeper's end of one instance's channel.
class Channel {
 public:
  struct Heard {
    FrameType type{};
    std::string payload;
    size_t fds = 0;
  };

  // Starts `service` under this keeper.
  explicit Channel(Service& service) : service_(service) {
    Ends ends = make_ends();
    setenv("SEGUE_KEEPER_FD", std::to_string(ends.there.release()).c_str(), 1);
    EXPECT_EQ(service.start(), SEGUE_OK) << service.error();
    EXPECT_EQ(getenv("SEGUE_KEEPER_FD"), nullptr) << "not for the service's children";
    link_ = std::make_unique<Link>(std::move(ends.here));
  }
  void say(FrameType type, const std::string& payload, const std::vector<int>& fds = {}) {
    EXPECT_TRUE(link_->send(type, payload, fds).ok());
  }
  void listen() {
    Message message;
    while (link_ != nullptr && link_->receive(message) == Link::Got::message) {
      heard_.push_back({message.type, std::string(message.payload), message.fds.size()});
    }
  }
  [[nodiscard]] const std::vector<Heard>& heard() const { return heard_; }
  [[nodiscard]] const Heard* find(FrameType type) {
    listen();
    for (const Heard& message : heard_) {
      if (message.type == type) return &message;
    }
    return nullptr;
  }
  // The payload of that event, or empty.
  std::string event(KeeperEvent event) {
    listen();
    for (const Heard& message : heard_) {
      if (message.type == FrameType::keeper_event &&
          get_number(message.payload, 3, 0) == static_cast<uint64_t>(event)) {
        return message.payload;
      }
    }
    return "";
  }
  void hang_up() { link_.reset(); }
  Service& service() { return service_; }

 private:
  Service& service_;
  std::unique_ptr<Link> link_;
  std::vector<Heard> heard_;
};

class Keeper : public testing::Test {
 protected:
  static OwnerPage vacant_page() {
    OwnerPage page;
    EXPECT_TRUE(OwnerPage::create(page).ok());
    return page;
  }
  static ServiceOptions options() {
    ServiceOptions o;
    o.directory = "/nonexistent/ignored-under-a-keeper";
    return o;
  }
  // Makes it the first instance, with a stored listener.
  void start_first(Channel& channel) {
    UniqueFd listener;
    ASSERT_TRUE(bind_listener("tcp:127.0.0.1:0", 4, listener).ok());
    channel.say(FrameType::keeper_start,
                record({{1, uint64_t{page_.new_name()}}, {2, batch({{"main", ""}})}}),
                {page_.fd(), listener.get()});
    ASSERT_TRUE(run({&channel.service()}, [&] { return channel.service().active(); }));
  }
  // Lets `from` hand over to `to`; `terms` are fields from 4 on.
  void attempt(Channel& from, Channel& to, const std::vector<Value>& terms) {
    const Ends link = make_ends();
    const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0)));
    const std::string nonce(32, 'n');
    const auto words = [&](uint64_t role) {
      std::vector<Value> fields = {{1, role}, {2, kAttempt}, {3, nonce}};
      fields.insert(fields.end(), terms.begin(), terms.end());
      return record(fields) + record({{15, uint64_t{successor_}}});
    };
    to.say(FrameType::keeper_attempt, words(2), {link.there.get(), page_.fd(), pidfd.get()});
    from.say(FrameType::keeper_attempt, words(1), {link.here.get(), page_.fd(), pidfd.get()});
  }
  static std::string of_attempt() { return record({{1, kAttempt}}); }

  OwnerPage page_ = vacant_page();
  OwnerName successor_ = page_.new_name();
};

TEST_F(Keeper, first_instance_says_hello_and_takes_the_stored_listener) {
  Service first(options());
  Channel channel(first);
  EXPECT_FALSE(first.active()) << "not before the keeper says so";
  const Channel::Heard* hello = channel.find(FrameType::keeper_hello);
  ASSERT_NE(hello, nullptr);
  EXPECT_EQ(get_bytes(hello->payload, 3), "kv");
  EXPECT_EQ(get_number(hello->payload, 5, 0), static_cast<uint64_t>(getpid()));
  start_first(channel);
  EXPECT_GE(first.listener_fd, 0);
  const std::string activated = channel.event(KeeperEvent::activated);
  EXPECT_EQ(get_number(activated, 1, 99), 0U) << "no attempt";
  const Channel::Heard* store = channel.find(FrameType::keeper_store);
  ASSERT_NE(store, nullptr);
  EXPECT_EQ(get_bytes(store->payload, 1), batch({{"main", ""}}));
  EXPECT_EQ(store->fds, 1U);
}

TEST_F(Keeper, ping_is_answered_and_an_unlistened_name_is_unstored) {
  Service first(options());
  Channel channel(first);
  start_first(channel);
  const UniqueFd client(first.connect("c"));
  channel.say(FrameType::keeper_ping, record({{1, 99U}}));
  ASSERT_TRUE(run({&first}, [&] { return channel.find(FrameType::keeper_pong) != nullptr; }));
  EXPECT_EQ(channel.find(FrameType::keeper_pong)->payload, record({{1, 99U}, {2, 1U}, {3, 1U}}));
  ASSERT_EQ(segue_unlisten(first.instance.get(), "main"), SEGUE_OK);
  ASSERT_NE(channel.find(FrameType::keeper_unstore), nullptr);
  EXPECT_EQ(channel.find(FrameType::keeper_unstore)->payload, record({{1, "main"}}));
}

TEST_F(Keeper, handoff_waits_for_the_keeper_s_commit_and_tells_it_everything) {
  Service first(options());
  Channel from(first);
  start_first(from);
  for (int i = 0; i < 100; ++i) first.put("k" + std::to_string(i), "v");
  Service second(options());
  Channel to(second);
  attempt(from, to, {{4, 1U}, {5, 1'000'000U}, {11, 1U}});
  ASSERT_TRUE(run({&first, &second},
                  [&] {
                    from.listen();
                    return !to.event(KeeperEvent::activated).empty();
                  }))
      << first.error() << " / " << second.error();
  EXPECT_EQ(get_number(to.event(KeeperEvent::activated), 1, 0), kAttempt);
  EXPECT_FALSE(from.event(KeeperEvent::frozen).empty());
  EXPECT_FALSE(from.event(KeeperEvent::round_begun).empty());
  EXPECT_FALSE(first.ended()) << "probation lasts until the keeper agrees";
  to.say(FrameType::keeper_commit, of_attempt());
  ASSERT_TRUE(run({&first, &second},
                  [&] { return first.ended() && !to.event(KeeperEvent::committed).empty(); }));
  EXPECT_FALSE(from.event(KeeperEvent::committed).empty());
  EXPECT_EQ(page_.look().owner, successor_);
  EXPECT_EQ(second.data, first.data);
  ASSERT_NE(to.find(FrameType::keeper_store), nullptr) << "the successor's listeners";

  for (Channel* channel : {&from, &to}) {
    EXPECT_NE(channel->find(FrameType::keeper_progress), nullptr);
    for (const Channel::Heard& message : channel->heard()) {
      EXPECT_TRUE(is_recorded(message.type, message.payload))
          << frame_name(message.type) << " " << to_hex(message.payload);
    }
  }
}

TEST_F(Keeper, rehearsal_ends_the_successor_and_the_predecessor_never_freezes) {
  Service first(options());
  Channel from(first);
  start_first(from);
  first.put("k", "v");
  Service second(options());
  Channel to(second);
  attempt(from, to, {{4, 2U}, {14, 1U}});  // a rehearsal that would skip the rehearsal does not
  ASSERT_TRUE(run({&first, &second},
                  [&] { return second.ended() && !from.event(KeeperEvent::rehearsed).empty(); }))
      << first.error() << " / " << second.error();
  EXPECT_TRUE(second.has("terminate 3"));
  EXPECT_FALSE(to.event(KeeperEvent::rehearsed).empty());
  EXPECT_TRUE(first.active());
  EXPECT_FALSE(first.has("freeze"));
}

TEST_F(Keeper, abort_before_activation_leaves_the_predecessor_serving) {
  Service first(options());
  Channel from(first);
  start_first(from);
  for (int i = 0; i < 20'000; ++i) first.put("k" + std::to_string(i), "v");
  Service second(options());
  Channel to(second);
  attempt(from, to, {{4, 1U}});
  ASSERT_TRUE(run({&first, &second}, [&] { return second.data.size() > 10; }));
  from.say(FrameType::keeper_abort, record({{1, kAttempt}, {2, "the operator stopped it"}}));
  ASSERT_TRUE(run({&first, &second}, [&] { return second.ended(); }));
  EXPECT_TRUE(first.active());
  EXPECT_FALSE(first.has("freeze"));
  EXPECT_EQ(second.error(), "the operator stopped it");
  EXPECT_EQ(get_bytes(from.event(KeeperEvent::failed), 4), "the operator stopped it");
}

TEST_F(Keeper, instance_goes_on_without_a_keeper_and_commits_by_itself) {
  const ServiceOptions o = options();
  Service first(o);
  Channel from(first);
  start_first(from);
  Service second(o);
  Channel to(second);
  attempt(from, to, {{4, 1U}, {5, 1'000'000U}, {11, 1U}});
  ASSERT_TRUE(run({&first, &second}, [&] { return second.active(); }));
  from.hang_up();
  to.hang_up();
  ASSERT_TRUE(run({&first, &second}, [&] { return first.ended(); }))
      << first.error() << " / " << second.error();
  EXPECT_TRUE(second.active());
}

TEST_F(Keeper, end_terminates_with_its_reason_and_a_hung_up_keeper_starts_nobody) {
  Service first(options());
  Channel channel(first);
  start_first(channel);
  channel.say(FrameType::keeper_end, record({{1, 4U}}));
  ASSERT_TRUE(run({&first}, [&] { return first.ended(); }));
  EXPECT_EQ(first.events.back(), "terminate 4");
  Service second(options());
  Channel other(second);
  other.hang_up();
  ASSERT_TRUE(run({&second}, [&] { return second.ended(); }));
  EXPECT_FALSE(second.has("activate"));
}

TEST_F(Keeper, attempt_with_an_instance_that_cannot_is_refused_in_words) {
  Service first(options());
  Channel from(first);
  start_first(from);
  Service second(options());
  Channel to(second);
  attempt(to, from, {{4, 1U}});  // the wrong way round
  ASSERT_TRUE(run({&first, &second}, [&] {
    return !from.event(KeeperEvent::failed).empty() && !to.event(KeeperEvent::failed).empty();
  }));
  EXPECT_EQ(get_bytes(from.event(KeeperEvent::failed), 4), "this instance serves already");
  EXPECT_EQ(get_bytes(to.event(KeeperEvent::failed), 4), "this instance does not serve");
  EXPECT_TRUE(first.active());
}

}  // namespace
}  // namespace segue::handoff::test
