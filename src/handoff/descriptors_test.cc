// SPDX-License-Identifier: Apache-2.0
// Descriptors that are no connections, and arenas: what is in them comes along.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "handoff/inventory.h"
#include "handoff/test_process.h"
#include "handoff/test_service.h"

namespace segue::handoff::test {
namespace {

constexpr size_t kArenaBytes = size_t{64} << 20;

std::string read_from(int fd, size_t size) {
  std::string bytes(size, '\0');
  const ssize_t got = read(fd, bytes.data(), size);
  bytes.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return bytes;
}

std::string count_in(int fd) {
  uint64_t count = 0;
  const ssize_t got = read(fd, &count, sizeof count);
  return got == sizeof count ? std::to_string(count) : "nothing";
}

class Descriptors : public HandoffTest {
 protected:
  // Hands a process with these descriptors over; the successor answers about them.
  void hand_over_to_answer(const std::function<void(Service&)>& fill,
                           const std::function<std::string(Service&, const std::string&)>& answer) {
    first_ =
        std::make_unique<ServiceProcess>(ServiceProcess::Behaviour{options(), {}, fill, answer});
    ASSERT_TRUE(first_->wait_for("activate first"));
    if (before_) before_();
    second_ =
        std::make_unique<ServiceProcess>(ServiceProcess::Behaviour{options(), {}, {}, answer});
    ASSERT_TRUE(second_->wait_for("activate"));
    ASSERT_TRUE(first_->ends());
  }
  static void put(Service& service, const char* name, int fd) {
    EXPECT_EQ(segue_fd_put(service.instance.get(), name, fd), SEGUE_OK);
  }
  std::function<void()> before_;  // with the first one serving
  std::unique_ptr<ServiceProcess> first_;
  std::unique_ptr<ServiceProcess> second_;
};

TEST_F(Descriptors, file_keeps_its_offset) {
  hand_over_to_answer(
      [this](Service& service) {
        const int fd = open((directory_.path() + "/journal").c_str(), O_RDWR | O_CREAT, 0600);
        EXPECT_EQ(write(fd, "one two", 7), 7);
        EXPECT_EQ(lseek(fd, 4, SEEK_SET), 4);
        put(service, "journal", fd);
      },
      [](Service& service, const std::string&) {
        return read_from(service.descriptors["journal"], 100);
      });
  EXPECT_EQ(second_->ask("read"), "two");
}

TEST_F(Descriptors, pipe_keeps_its_bytes_and_its_ends_belong_together) {
  hand_over_to_answer(
      [](Service& service) {
        int ends[2];
        EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
        EXPECT_EQ(write(ends[1], "left ", 5), 5);
        put(service, "out", ends[0]);
        put(service, "in", ends[1]);
      },
      [](Service& service, const std::string&) {
        EXPECT_EQ(write(service.descriptors["in"], "behind", 6), 6);
        return read_from(service.descriptors["out"], 100);
      });
  EXPECT_EQ(second_->ask("read"), "left behind");
}

TEST_F(Descriptors, timer_keeps_what_has_expired_and_what_is_left) {
  hand_over_to_answer(
      [](Service& service) {
        itimerspec soon{};
        soon.it_value.tv_nsec = 1;
        itimerspec later{};
        later.it_value.tv_sec = 3600;
        const int expired = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
        const int running = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
        EXPECT_EQ(timerfd_settime(expired, 0, &soon, nullptr), 0);
        EXPECT_EQ(timerfd_settime(running, 0, &later, nullptr), 0);
        put(service, "expired", expired);
        put(service, "running", running);
      },
      [](Service& service, const std::string& question) -> std::string {
        if (question == "expired") return count_in(service.descriptors["expired"]);
        itimerspec left{};
        timerfd_gettime(service.descriptors["running"], &left);
        return left.it_value.tv_sec > 3000 && left.it_value.tv_sec < 3600 ? "runs" : "lost";
      });
  EXPECT_EQ(second_->ask("expired"), "1");
  EXPECT_EQ(second_->ask("running"), "runs");
}

TEST_F(Descriptors, eventfd_keeps_its_count) {
  hand_over_to_answer(
      [](Service& service) { put(service, "events", eventfd(42, EFD_CLOEXEC | EFD_NONBLOCK)); },
      [](Service& service, const std::string&) { return count_in(service.descriptors["events"]); });
  EXPECT_EQ(second_->ask("count"), "42");
}

TEST_F(Descriptors, udp_socket_keeps_the_datagrams_that_wait) {
  before_ = [this] {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(static_cast<uint16_t>(std::stoi(first_->ask("udp port"))));
    const UniqueFd client(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    for (const std::string text : {"one", "two"}) {
      EXPECT_EQ(sendto(client.get(), text.data(), text.size(), 0,
                       reinterpret_cast<const sockaddr*>(&to), sizeof to),
                static_cast<ssize_t>(text.size()));
    }
  };
  int own = -1;
  hand_over_to_answer(
      [&own](Service& service) {
        own = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        sockaddr_in any{};
        any.sin_family = AF_INET;
        any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(bind(own, reinterpret_cast<const sockaddr*>(&any), sizeof any), 0);
        put(service, "udp", own);
      },
      [&own](Service& service, const std::string& question) -> std::string {
        if (question == "receive") return read_from(service.descriptors["udp"], 100);
        sockaddr_in bound{};
        socklen_t size = sizeof bound;
        getsockname(own, reinterpret_cast<sockaddr*>(&bound), &size);
        return std::to_string(ntohs(bound.sin_port));
      });
  EXPECT_EQ(second_->ask("receive"), "one");
  EXPECT_EQ(second_->ask("receive"), "two");
}

TEST_F(Descriptors, what_was_taken_back_or_replaced_in_the_background_is_so_in_the_successor) {
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  put(first, "gone", eventfd(1, EFD_CLOEXEC));
  put(first, "replaced", eventfd(1, EFD_CLOEXEC));
  Service second(options());
  ASSERT_EQ(second.start(), SEGUE_OK);
  bool changed = false;
  ASSERT_TRUE(run({&first, &second},
                  [&] {
                    if (!changed && first.progress().rounds > 0) {
                      changed = true;
                      EXPECT_EQ(second.descriptors.size(), 2U);
                      EXPECT_EQ(segue_fd_take_back(first.instance.get(), "gone"), SEGUE_OK);
                      put(first, "replaced", eventfd(7, EFD_CLOEXEC));
                      put(first, "added", eventfd(8, EFD_CLOEXEC));
                    }
                    return first.ended() && second.active();
                  }))
      << first.error() << " / " << second.error();
  EXPECT_EQ(second.descriptors["gone"], -1);
  EXPECT_EQ(count_in(second.descriptors["replaced"]), "7");
  EXPECT_EQ(count_in(second.descriptors["added"]), "8");
}

// ---- Too few descriptors in the successor
// --------------------------------------------------------

class TooFew : public HandoffTest, public testing::WithParamInterface<bool> {
 protected:
  static constexpr int kConnections = 300;

  static void allow_few(Service& /*service*/) {
    const rlimit few{64, 64};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  }
  static void open_connections(Service& service) {
    for (int i = 0; i < kConnections; ++i) service.connect("session " + std::to_string(i));
  }
};

TEST_P(TooFew, three_hundred_connections_for_a_limit_of_64_end_the_attempt_and_change_nothing) {
  const bool from_the_start =
      GetParam();  // otherwise after the successor has said what it can open
  ServiceProcess first({options(), {}, open_connections, {}});
  ASSERT_TRUE(first.wait_for("activate first"));
  const std::string open_before = first.ask("fds");
  ServiceProcess second(
      {options(), from_the_start ? allow_few : nullptr, from_the_start ? nullptr : allow_few, {}});
  ASSERT_TRUE(second.wait_for("error"));
  EXPECT_TRUE(second.has("terminate " + std::to_string(SEGUE_END_REFUSED)));
  EXPECT_FALSE(second.has("activate"));
  EXPECT_TRUE(eventually([&] {
    return first.ask("error").find("RLIMIT_NOFILE") != std::string::npos;
  })) << first.ask("error");
  EXPECT_EQ(first.ask("active"), "yes");
  EXPECT_FALSE(first.has("freeze"));
  EXPECT_EQ(first.ask("connections"), std::to_string(kConnections));
  EXPECT_TRUE(eventually([&] { return first.ask("fds") == open_before; })) << open_before;

  ServiceProcess third({options(), {}, {}, {}});
  ASSERT_TRUE(third.wait_for("activate"));
  EXPECT_EQ(third.ask("connections"), std::to_string(kConnections));
}

INSTANTIATE_TEST_SUITE_P(Descriptors, TooFew, testing::Bool(), [](const auto& from_the_start) {
  return from_the_start.param ? "from_the_start" : "later";
});

// ---- Arenas ------------------------------------------------------------------------------------

class Arenas : public HandoffTest {};

TEST_F(Arenas, sixty_four_mebibytes_pass_without_being_copied) {
  Service first(options());
  segue_arena* mine = segue_arena_open(first.instance.get(), "heap", 1, kArenaBytes);
  ASSERT_NE(mine, nullptr) << first.error();
  EXPECT_EQ(segue_arena_data(mine), nullptr) << "before start";
  ASSERT_EQ(first.start(), SEGUE_OK) << first.error();
  auto* from = static_cast<char*>(segue_arena_data(mine));
  memset(from, 'a', kArenaBytes);
  ASSERT_EQ(segue_arena_set_used(mine, kArenaBytes), SEGUE_OK);
  Service second(options());
  segue_arena* theirs = segue_arena_open(second.instance.get(), "heap", 1, kArenaBytes);
  hand_over(first, second);
  auto* to = static_cast<char*>(segue_arena_data(theirs));
  ASSERT_NE(to, from);
  EXPECT_EQ(segue_arena_used(theirs), kArenaBytes);
  EXPECT_EQ(memcmp(to, from, kArenaBytes), 0);
  to[0] = 'b';
  to[kArenaBytes - 1] = 'c';
  EXPECT_EQ(from[0], 'b') << "not the same pages";
  EXPECT_EQ(from[kArenaBytes - 1], 'c');
  EXPECT_LT(second.progress().bytes, 100'000U);
}

TEST_F(Arenas, used_size_may_grow_during_the_background) {
  Service first(options());
  segue_arena* mine = segue_arena_open(first.instance.get(), "heap", 1, kArenaBytes);
  ASSERT_EQ(first.start(), SEGUE_OK);
  ASSERT_EQ(segue_arena_set_used(mine, 4096), SEGUE_OK);
  Service second(options());
  segue_arena* theirs = segue_arena_open(second.instance.get(), "heap", 1, kArenaBytes);
  ASSERT_EQ(second.start(), SEGUE_OK);
  ASSERT_TRUE(run({&first, &second},
                  [&] {
                    if (first.active() && first.progress().rounds > 0 &&
                        segue_arena_used(mine) == 4096) {
                      EXPECT_EQ(segue_arena_used(theirs), 4096U);
                      static_cast<char*>(segue_arena_data(mine))[1'000'000] = 'x';
                      EXPECT_EQ(segue_arena_set_used(mine, 1'000'001), SEGUE_OK);
                    }
                    return first.ended() && second.active();
                  }))
      << first.error() << " / " << second.error();
  EXPECT_EQ(segue_arena_used(theirs), 1'000'001U);
  EXPECT_EQ(static_cast<char*>(segue_arena_data(theirs))[1'000'000], 'x');
}

TEST_F(Arenas, used_size_is_bounded_by_the_predecessor_s_whole_pages) {
  Service first(options());
  segue_arena* mine = segue_arena_open(first.instance.get(), "heap", 1, 4097);
  ASSERT_EQ(first.start(), SEGUE_OK);
  EXPECT_EQ(segue_arena_set_used(mine, 8192), SEGUE_OK);
  EXPECT_EQ(segue_arena_set_used(mine, 8193), SEGUE_LIMIT);
  Service second(options());
  segue_arena* theirs = segue_arena_open(second.instance.get(), "heap", 1, kArenaBytes);
  hand_over(first, second);
  EXPECT_EQ(segue_arena_set_used(theirs, 8193), SEGUE_LIMIT);
}

TEST_F(Arenas, another_form_version_is_refused_by_name_before_anything_is_touched) {
  Service first(options());
  segue_arena_open(first.instance.get(), "heap", 1, kArenaBytes);
  ASSERT_EQ(first.start(), SEGUE_OK);
  Service second(options());
  segue_arena_open(second.instance.get(), "heap", 2, kArenaBytes);
  ASSERT_EQ(second.start(), SEGUE_OK);
  ASSERT_TRUE(run({&first, &second}, [&] { return second.ended(); }));
  EXPECT_NE(second.error().find("heap"), std::string::npos) << second.error();
  EXPECT_TRUE(first.active());
  EXPECT_FALSE(first.has("freeze"));
}

UniqueFd memfd(size_t size, int seals) {
  UniqueFd fd(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(ftruncate(fd.get(), static_cast<off_t>(size)), 0);
  EXPECT_EQ(fcntl(fd.get(), F_ADD_SEALS, seals), 0);
  return fd;
}

TEST_F(Arenas, memory_without_all_seals_or_of_another_size_is_refused) {
  constexpr int kAll = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  segue_arena arena;
  arena.name = "heap";
  arena.max_size = 8192;
  for (const int missing : {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL}) {
    EXPECT_EQ(map_arena(arena, memfd(8192, kAll & ~missing)).code, SEGUE_PEER) << missing;
  }
  for (const size_t size : {size_t{0}, size_t{4096}, size_t{8191}, size_t{16384}}) {
    EXPECT_EQ(map_arena(arena, memfd(size, kAll)).code, SEGUE_PEER) << size;
  }
  EXPECT_EQ(map_arena(arena, UniqueFd(open("/dev/zero", O_RDWR | O_CLOEXEC))).code, SEGUE_PEER);
  EXPECT_EQ(arena.data, nullptr);
  EXPECT_TRUE(map_arena(arena, memfd(8192, kAll)).ok());
  EXPECT_NE(arena.data, nullptr);
}

}  // namespace
}  // namespace segue::handoff::test
