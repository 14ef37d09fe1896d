// SPDX-License-Identifier: Apache-2.0
// How instances find each other in a directory, with real processes where one has to die.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "handoff/fields.h"
#include "handoff/link.h"
#include "handoff/peer.h"
#include "handoff/test_link.h"
#include "handoff/test_process.h"
#include "handoff/test_service.h"

namespace segue::handoff::test {
namespace {

namespace fs = std::filesystem;

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

UniqueFd connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  EXPECT_EQ(connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  return fd;
}

void fill(Service& service) {
  for (int i = 0; i < 500; ++i) service.put("k" + std::to_string(i), std::to_string(i));
}

class LoneMeetingTest : public HandoffTest {
 protected:
  [[nodiscard]] std::string path(const std::string& name) const {
    return directory_.path() + "/" + name;
  }
  // True if nobody holds owner.lock.
  [[nodiscard]] bool lock_is_free() const {
    const UniqueFd file(open(path("owner.lock").c_str(), O_RDWR | O_CLOEXEC));
    return flock(file.get(), LOCK_EX | LOCK_NB) == 0;
  }
  // Expects that a service cannot start there, with this in its words.
  static void expect_refused(ServiceOptions options, const std::string& directory,
                             const std::string& word) {
    options.directory = directory;
    Service service(options);
    EXPECT_NE(service.start(), SEGUE_OK) << directory;
    EXPECT_NE(service.error().find(word), std::string::npos) << service.error();
    EXPECT_FALSE(service.active());
  }
};

// ---- The directory ---------------------------------------------------------------------------

TEST_F(LoneMeetingTest, directory_is_made_for_this_user_only) {
  ServiceOptions o = options();
  o.directory = path("made");
  Service service(o);
  ASSERT_EQ(service.start(), SEGUE_OK) << service.error();
  struct stat info{};
  ASSERT_EQ(stat(o.directory.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700U);
  ASSERT_EQ(stat((o.directory + "/nonce").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600U);
  EXPECT_EQ(info.st_size, 32);
}

TEST_F(LoneMeetingTest, directory_that_others_may_use_is_refused) {
  for (const mode_t mode : {0750U, 0701U, 0770U, 0704U}) {
    const std::string directory = path("mode");
    ASSERT_EQ(mkdir(directory.c_str(), 0700), 0);
    ASSERT_EQ(chmod(directory.c_str(), mode), 0);
    expect_refused(options(), directory, "0700");
    ASSERT_EQ(rmdir(directory.c_str()), 0);
  }
}

TEST_F(LoneMeetingTest, directory_of_another_user_is_refused) {
  if (geteuid() != 0) GTEST_SKIP() << "giving a directory to another user needs root";
  const std::string directory = path("theirs");
  ASSERT_EQ(mkdir(directory.c_str(), 0700), 0);
  ASSERT_EQ(chown(directory.c_str(), 1, 1), 0);
  expect_refused(options(), directory, "of this user");
}

TEST_F(LoneMeetingTest, symbolic_link_file_and_missing_parent_are_refused) {
  fs::create_directory(path("real"));
  fs::permissions(path("real"), fs::perms::owner_all);
  fs::create_symlink(path("real"), path("link"));
  expect_refused(options(), path("link"), "must be a directory");
  std::ofstream(path("file")) << "x";
  expect_refused(options(), path("file"), "must be a directory");
  expect_refused(options(), path("no/such/parent"), "making the directory");
}

TEST_F(LoneMeetingTest, lock_that_is_a_symbolic_link_is_refused) {
  fs::create_symlink(path("elsewhere"), path("owner.lock"));
  expect_refused(options(), directory_.path(), "owner.lock");
}

TEST_F(LoneMeetingTest, path_too_long_for_a_socket_is_refused_at_the_start) {
  const std::string directory = path(std::string(108 - directory_.path().size(), 'd'));
  for (const uint32_t meeting : {SEGUE_MEET_PREDECESSOR_LISTENS, SEGUE_MEET_SUCCESSOR_LISTENS}) {
    ServiceOptions o = options();
    o.meeting = meeting;
    expect_refused(o, directory, "107 bytes");
  }
}

// ---- Meeting -----------------------------------------------------------------------------------

TEST_F(LoneMeetingTest, either_side_may_listen) {
  for (const uint32_t meeting : {SEGUE_MEET_PREDECESSOR_LISTENS, SEGUE_MEET_SUCCESSOR_LISTENS}) {
    const TemporaryDirectory directory;
    ServiceOptions o = options();
    o.directory = directory.path();
    o.meeting = meeting;
    ServiceProcess first({o, {}, fill, {}});
    ASSERT_TRUE(first.wait_for("activate first"));
    ServiceProcess second({o, {}, {}, {}});
    ASSERT_TRUE(second.wait_for("activate"));
    ASSERT_TRUE(first.ends());
    ServiceProcess third({o, {}, {}, {}});
    ASSERT_TRUE(third.wait_for("activate"))
        << meeting << ": " << second.ask("error") << " / " << third.ask("error");
    EXPECT_TRUE(second.ends());
    EXPECT_FALSE(third.has("activate first"));
    EXPECT_EQ(third.ask("size"), "500");
  }
}

TEST_F(LoneMeetingTest, predecessor_meets_nobody_while_the_flag_is_missing) {
  for (const uint32_t meeting : {SEGUE_MEET_PREDECESSOR_LISTENS, SEGUE_MEET_SUCCESSOR_LISTENS}) {
    const TemporaryDirectory directory;
    ServiceOptions o = options();
    o.directory = directory.path();
    o.meeting = meeting;
    o.flag = path("flag-" + std::to_string(meeting));
    Service first(o);
    ASSERT_EQ(first.start(), SEGUE_OK);
    Service second(o);
    ASSERT_EQ(second.start(), SEGUE_OK);
    int turns = 0;
    ASSERT_TRUE(run({&first, &second}, [&] { return ++turns > 50; }));
    EXPECT_EQ(second.progress().phase, SEGUE_PHASE_IDLE);
    EXPECT_TRUE(first.active());
    std::ofstream(o.flag) << "now";
    EXPECT_TRUE(run({&first, &second}, [&] { return first.ended() && second.active(); }))
        << first.error() << " / " << second.error();
  }
}

TEST_F(LoneMeetingTest, second_successor_that_would_listen_is_refused_in_words) {
  ServiceOptions o = options();
  o.meeting = SEGUE_MEET_SUCCESSOR_LISTENS;
  Service first(o);
  ASSERT_EQ(first.start(), SEGUE_OK);
  Service second(o);
  ASSERT_EQ(second.start(), SEGUE_OK);
  expect_refused(o, directory_.path(), "another successor");
  ASSERT_TRUE(run({&first, &second}, [&] { return first.ended() && second.active(); }));
}

TEST_F(LoneMeetingTest, nonce_is_new_for_every_meeting) {
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  const std::string before = content_of(path("nonce"));
  Service second(options());
  hand_over(first, second);
  ASSERT_TRUE(run({&second}, [&] { return content_of(path("nonce")) != before; }));
  EXPECT_EQ(content_of(path("nonce")).size(), 32U);
}

// Plays a successor that says HELLO with this nonce; the text of the answer.
std::string answer_to_nonce(Service& predecessor, const std::string& socket_path,
                            const std::string& nonce) {
  Link link(connect_to(socket_path));
  EXPECT_TRUE(
      link.send(FrameType::hello, record({{1, "SEGUE"}, {2, 1U}, {3, 1U}, {4, "kv"}, {6, nonce}}))
          .ok());
  Message message;
  EXPECT_TRUE(run({&predecessor}, [&] { return link.receive(message) == Link::Got::message; }));
  EXPECT_EQ(message.type, FrameType::refuse);
  return std::string(get_bytes(message.payload, 2));
}

TEST_F(LoneMeetingTest, successor_that_does_not_know_the_nonce_is_refused) {
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  const std::string right = content_of(path("nonce"));
  std::string wrong = right;
  wrong.back() = static_cast<char>(wrong.back() ^ 1);
  for (const std::string& nonce : {wrong, right.substr(0, 31), right + "x", std::string()}) {
    const std::string answer = answer_to_nonce(first, path("handoff.sock"), nonce);
    EXPECT_NE(answer.find("nonce"), std::string::npos) << answer;
    EXPECT_TRUE(first.active());
    EXPECT_FALSE(first.has("freeze"));
  }
}

TEST_F(LoneMeetingTest, peer_of_another_user_is_refused) {
  if (geteuid() != 0) GTEST_SKIP() << "becoming another user needs root";
  ASSERT_EQ(chmod(directory_.path().c_str(), 0711), 0);
  const UniqueFd listener(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, path("socket").data(), path("socket").size());
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(chmod(path("socket").c_str(), 0777), 0);
  ASSERT_EQ(listen(listener.get(), 1), 0);
  EXPECT_TRUE(holds_in_child([&] {
    ASSERT_EQ(setresuid(1, 1, 1), 0);
    const UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    ASSERT_EQ(connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }));
  const UniqueFd peer(accept(listener.get(), nullptr, nullptr));
  UniqueFd pidfd;
  pid_t pid = 0;
  const Status status = identify_peer(peer.get(), pidfd, pid);
  EXPECT_EQ(status.code, SEGUE_REFUSED);
  EXPECT_NE(status.text.find("runs as user 1"), std::string::npos) << status.text;
}

// ---- The lock, and deaths ----------------------------------------------------------------------

TEST_F(LoneMeetingTest, lock_passes_on_and_is_free_when_the_last_owner_has_died) {
  ServiceProcess first({options(), {}, fill, {}});
  ASSERT_TRUE(first.wait_for("activate first"));
  EXPECT_FALSE(lock_is_free());
  ServiceProcess second({options(), {}, {}, {}});
  ASSERT_TRUE(second.wait_for("activate"));
  ASSERT_TRUE(first.ends());
  EXPECT_FALSE(lock_is_free()) << "it came with the handoff";
  second.kill();
  EXPECT_TRUE(lock_is_free());
  ServiceProcess third({options(), {}, {}, {}});
  ASSERT_TRUE(third.wait_for("activate first"));
  EXPECT_EQ(third.ask("size"), "0");
}

TEST_F(LoneMeetingTest, successor_becomes_first_when_the_predecessor_is_killed_before_it_accepts) {
  ServiceProcess first({options(), {}, fill, {}});
  ASSERT_TRUE(first.wait_for("activate first"));
  first.signal(SIGSTOP);  // the kernel takes the connection, nobody answers
  ServiceProcess second({options(), {}, {}, {}});
  EXPECT_EQ(second.ask("active"), "no");
  first.kill();
  ASSERT_TRUE(second.wait_for("activate first"));
  EXPECT_EQ(second.ask("size"), "0");
  EXPECT_FALSE(lock_is_free());
  ServiceProcess third({options(), {}, {}, {}});
  EXPECT_TRUE(third.wait_for("activate")) << "and it hands over in its turn";
}

TEST_F(LoneMeetingTest, successor_ends_in_words_when_its_predecessor_vanishes_and_another_waits) {
  const UniqueFd lock(open(path("owner.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(flock(lock.get(), LOCK_EX | LOCK_NB), 0);
  std::ofstream(path("nonce")) << std::string(32, 'n');
  ServiceOptions o = options();
  o.meeting = SEGUE_MEET_SUCCESSOR_LISTENS;
  Service second(o);
  ASSERT_EQ(second.start(), SEGUE_OK);
  Child predecessor([this](int channel) {  // connects, and vanishes when it is told to
    const UniqueFd fd = connect_to(path("successor.sock"));
    char byte = 0;
    (void)!read(channel, &byte, 1);
  });
  ASSERT_TRUE(run({&second}, [&] { return second.progress().phase == SEGUE_PHASE_MEETING; }));
  Service third(o);
  ASSERT_EQ(third.start(), SEGUE_OK) << third.error() << ": the second one waits no more";
  predecessor.hang_up();
  ASSERT_TRUE(run({&second, &third}, [&] { return second.ended(); }));
  EXPECT_FALSE(second.active());
  EXPECT_NE(second.error().find("predecessor"), std::string::npos) << second.error();
  EXPECT_FALSE(third.ended());
}

TEST_F(LoneMeetingTest, successor_starts_clean_when_the_predecessor_is_killed_in_the_background) {
  ServiceOptions dies = options();
  dies.hooks.encode = [](const std::string& key) {
    if (key == "k499") raise(SIGKILL);
  };
  ServiceProcess first({dies, {}, fill, {}});
  ASSERT_TRUE(first.wait_for("activate first"));
  ServiceProcess second({options(), {}, {}, {}});
  ASSERT_TRUE(second.wait_for("activate first"));
  EXPECT_EQ(second.ask("size"), "0") << "half of the state is worse than none";
  EXPECT_EQ(second.ask("connections"), "0");
  EXPECT_NE(second.ask("port"), "0") << "it listens";
  EXPECT_FALSE(first.ends());
  ServiceProcess third({options(), {}, {}, {}});
  EXPECT_TRUE(third.wait_for("activate"));
  EXPECT_FALSE(third.has("activate first"));
}

TEST_F(LoneMeetingTest, successor_inherits_all_when_the_predecessor_is_killed_while_it_is_frozen) {
  ServiceOptions slow = options();
  // It dies between FINAL and the answer to it.
  slow.hooks.acquire = [] {
    raise(SIGSTOP);
    return 0;
  };
  ServiceProcess first({options(), {}, fill, {}});
  ASSERT_TRUE(first.wait_for("activate first"));
  ServiceProcess second({slow, {}, {}, {}});
  ASSERT_TRUE(first.wait_for("freeze"));
  int status = 0;
  ASSERT_EQ(waitpid(second.pid(), &status, WUNTRACED), second.pid());
  ASSERT_TRUE(WIFSTOPPED(status));
  first.kill();
  second.signal(SIGCONT);
  ASSERT_TRUE(second.wait_for("activate"));
  EXPECT_FALSE(second.has("activate first"));
  EXPECT_EQ(second.ask("size"), "500");
}

TEST_F(LoneMeetingTest, predecessor_goes_on_when_the_successor_is_killed_at_any_point) {
  ServiceProcess first({options(), {}, fill, {}});
  ASSERT_TRUE(first.wait_for("activate first"));
  const auto dies = [](const std::string&) { raise(SIGKILL); };
  for (int point = 0; point < 3; ++point) {
    ServiceOptions o = options();
    if (point == 0) o.hooks.put = dies;
    if (point == 1) o.hooks.acquire = [] { return raise(SIGKILL); };
    if (point == 2) o.hooks.activate = [] { raise(SIGKILL); };
    ServiceProcess second({o, {}, {}, {}});
    EXPECT_FALSE(second.ends());
    ASSERT_EQ(first.ask("put point " + std::to_string(point)), "ok");
    EXPECT_TRUE(eventually([&] { return first.ask("active") == "yes"; })) << point;
  }
  EXPECT_TRUE(first.has("resume 3")) << "aborted";
  ASSERT_TRUE(first.wait_for("resume 4")) << "reclaimed";
  ServiceProcess last({options(), {}, {}, {}});
  ASSERT_TRUE(last.wait_for("activate"));
  EXPECT_EQ(last.ask("get point"), "2");
}

}  // namespace
}  // namespace segue::handoff::test
