// SPDX-License-Identifier: Apache-2.0
// Raw arenas: the service's own check, at rest; and items that a version does without.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "handoff/test_heap.h"
#include "handoff/test_link.h"
#include "handoff/test_process.h"
#include "handoff/test_service.h"

namespace segue::handoff::test {
namespace {

constexpr size_t kArenaBytes = size_t{1} << 16;

struct ArenaService : Service {
  explicit ArenaService(const ServiceOptions& options) : Service(options) {
    arena = segue_arena_open(instance.get(), "own", 1, kArenaBytes);
    EXPECT_NE(arena, nullptr) << error();
    segue_arena_set_check(arena, check, this);
  }
  static int check(void* user, const void* data, size_t used, char* why, size_t size) {
    auto& self = *static_cast<ArenaService*>(user);
    ++self.checks;
    EXPECT_EQ(used, kArenaBytes);
    EXPECT_FALSE(self.active());
    if (memcmp(data, "good", 4) == 0) return SEGUE_OK;
    snprintf(why, size, "it begins with something else");
    return SEGUE_INVALID;
  }
  void write(const char* text) const {
    memcpy(segue_arena_data(arena), text, 4);
    segue_arena_set_used(arena, kArenaBytes);
  }
  segue_arena* arena = nullptr;
  int checks = 0;
};

class Arena : public HandoffTest {};

TEST_F(Arena, is_checked_at_rest_and_passed) {
  ArenaService first(options());
  EXPECT_EQ(segue_arena_fd(first.arena), -1);
  ASSERT_EQ(first.start(), SEGUE_OK);
  first.write("good");
  ArenaService second(options());
  hand_over(first, second);
  EXPECT_EQ(second.checks, 1);
  EXPECT_EQ(first.checks, 0);
  EXPECT_EQ(memcmp(segue_arena_data(second.arena), "good", 4), 0);
  EXPECT_GE(fcntl(segue_arena_fd(second.arena), F_GET_SEALS), 0);
}

TEST_F(Arena, whose_check_fails_declines_the_handoff_and_the_predecessor_goes_on) {
  ArenaService first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  first.write("bad.");
  ArenaService second(options());
  ASSERT_EQ(second.start(), SEGUE_OK);
  ASSERT_TRUE(run({&first, &second}, [&] { return second.ended(); }));
  EXPECT_NE(first.error().find("the check of arena own failed: it begins with something else"),
            std::string::npos)
      << first.error();
  EXPECT_TRUE(first.active());
  EXPECT_TRUE(first.has("resume 2")) << "declined";
}

TEST_F(Arena, retired_items_are_not_sent_and_do_not_end_the_handoff) {
  HeapService first(options());
  ASSERT_NE(segue_arena_open(first.instance.get(), "own", 1, kArenaBytes), nullptr);
  ASSERT_EQ(first.start(), SEGUE_OK);
  first.put("k", "v");
  first.add("a record");
  Service without(options());
  ASSERT_EQ(segue_retire(without.instance.get(), "state"), SEGUE_OK);
  ASSERT_EQ(segue_retire(without.instance.get(), "own"), SEGUE_OK);
  hand_over(first, without);
  EXPECT_EQ(without.data, first.data);
  // Back again: the older version's items are there, and empty.
  HeapService older(options());
  hand_over(without, older);
  EXPECT_TRUE(older.contents().empty());
  EXPECT_NE(older.add("a new one"), 0U);
}

TEST_F(Arena, retired_connections_are_refused) {
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  segue_options o{};
  o.size = sizeof o;
  o.service = "kv";
  o.version = "without clients";
  const std::string directory = options().directory;
  o.directory = directory.c_str();
  segue_callbacks c{};
  c.size = sizeof c;
  c.freeze = [](void*) { return 0; };
  c.resume = [](void*, segue_resume_reason, int) {};
  c.activate = [](void*, const segue_activation*) {};
  bool ended = false;
  c.terminate = [](void* user, segue_end_reason) { *static_cast<bool*>(user) = true; };
  segue_instance* second = segue_open(&o, &c, &ended, nullptr, 0);
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(segue_retire(second, "data"), SEGUE_OK);
  EXPECT_EQ(segue_retire(second, "clients"), SEGUE_OK);
  EXPECT_EQ(segue_retire(second, "not a name"), SEGUE_INVALID);
  ASSERT_EQ(segue_start(second), SEGUE_OK);
  ASSERT_TRUE(run({&first}, [&] {
    segue_dispatch(second);
    return ended;
  }));
  EXPECT_NE(std::string(segue_error(second)).find("connections cannot be retired"),
            std::string::npos)
      << segue_error(second);
  segue_free(second);
}

TEST_F(Arena, whose_check_failed_is_not_inherited_of_a_predecessor_that_died_before_it_heard_so) {
  ServiceProcess first({.options = options(), .declare = [](Service& service) {
                          segue_arena_open(service.instance.get(), "own", 1, kArenaBytes);
                        }});
  ASSERT_TRUE(first.wait_for("activate first"));
  Service second(options());
  segue_arena* arena = segue_arena_open(second.instance.get(), "own", 1, kArenaBytes);
  ASSERT_NE(arena, nullptr);
  const auto kill_and_fail = [](void* user, const void*, size_t, char* why, size_t size) {
    static_cast<ServiceProcess*>(user)->kill();
    snprintf(why, size, "nobody will hear of it");
    return int{SEGUE_INVALID};
  };
  segue_arena_set_check(arena, kill_and_fail, &first);
  ASSERT_EQ(second.start(), SEGUE_OK) << second.error();
  ASSERT_TRUE(run({&second}, [&] { return second.ended() || second.active(); }));
  EXPECT_FALSE(second.has("activate"));
  EXPECT_NE(second.error().find("nobody will hear of it"), std::string::npos) << second.error();
}

TEST_F(Arena, of_records_is_a_new_one_after_a_clean_start) {
  Child first([this](int channel) {
    HeapService service(options());
    ASSERT_EQ(service.start(), SEGUE_OK) << service.error();
    for (int i = 0; i < 100; ++i) service.add("record " + std::to_string(i));
    send_raw(channel, "ready");
    (void)run({&service}, [] { return false; });
  });
  ASSERT_EQ(next(first.channel()), "ready");
  HeapService* started = nullptr;
  ServiceOptions o = options();
  o.hooks.check = [&](char*, size_t) {
    EXPECT_EQ(started->contents().size(), 100U);
    first.kill();
    return int{SEGUE_OK};
  };
  bool is_empty = false;
  o.hooks.activate = [&] { is_empty = started->contents().empty(); };
  HeapService second(o);
  started = &second;
  ASSERT_EQ(second.start(), SEGUE_OK) << second.error();
  ASSERT_TRUE(run({&second}, [&] { return second.ended() || second.active(); }));
  EXPECT_TRUE(second.has("activate first")) << second.error();
  EXPECT_TRUE(is_empty);
  EXPECT_NE(second.add("a new one"), 0U);
}

}  // namespace
}  // namespace segue::handoff::test
