// SPDX-License-Identifier: Apache-2.0
// A handoff between processes whose PID namespaces do not see each other, under a keeper that the
// test plays: only it can end one of them.
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "handoff/fields.h"
#include "handoff/keeper_descriptors.h"
#include "handoff/link.h"
#include "handoff/owner_page.h"
#include "handoff/test_link.h"
#include "handoff/test_process.h"
#include "handoff/test_service.h"

namespace segue::handoff::test {
namespace {

constexpr uint64_t kAttempt = 7;
constexpr uint64_t kGeneration = 4;

UniqueFd listen_at(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(listen(fd.get(), 8), 0);
  return fd;
}

UniqueFd accept_soon(const UniqueFd& listener) {
  pollfd entry{listener.get(), POLLIN, 0};
  EXPECT_EQ(poll(&entry, 1, 10'000), 1);
  return UniqueFd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
}

// Goes on as process 1 of a new PID namespace.
void enter_pid_namespace() {
  if (unshare(CLONE_NEWPID) != 0) _exit(2);
  const pid_t child = fork();
  if (child != 0) {
    int status = 0;
    waitpid(child, &status, 0);
    _exit(status == 0 ? 0 : 1);
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
}

// An instance in a PID namespace of its own that fetches its keeper's channel from a socket.
class Side {
 public:
  Side(const std::string& path, const ServiceOptions& options, const std::string& fault = "")
      : listener_(listen_at(path)),
        process_({.options = options, .declare = [path, fault](Service&) {
                    enter_pid_namespace();
                    setenv("SEGUE_KEEPER_SOCKET", path.c_str(), 1);
                    setenv("SEGUE_UNSAFE_FAULT", fault.c_str(), 1);
                  }}) {
    Link gives(accept_soon(listener_));
    Ends channel = make_ends();
    link_ = std::make_unique<Link>(std::move(channel.here));
    link_->name_senders(true);
    Ends lock = make_ends();
    const int fds[] = {channel.there.get(), lock.there.get()};
    EXPECT_TRUE(gives
                    .send(FrameType::keeper_channel,
                          record({{1, batch({{"keeper", ""}, {"lock", ""}})}}), fds)
                    .ok());
    lock_ = std::move(lock.here);
    Message hello;
    EXPECT_TRUE(eventually([&] { return link_->receive(hello) == Link::Got::message; }));
    EXPECT_EQ(hello.type, FrameType::keeper_hello);
    EXPECT_EQ(get_number(hello.payload, 5, 0), 1U) << "as it sees itself";
    origin_ = std::move(hello.sender);
    EXPECT_GT(origin_.pid, 1) << "as the kernel says it here";
  }

  // Before the channel is heard again.
  void say(FrameType type, const std::string& payload, const std::vector<int>& fds = {}) {
    EXPECT_TRUE(link_->send(type, payload, fds).ok());
  }
  // The payload of the first such frame from now on; empty: it does not come.
  std::string hear(FrameType type) {
    std::string payload;
    (void)eventually([&] {
      Message message;
      while (payload.empty() && link_->receive(message) == Link::Got::message) {
        if (message.type == type) payload = std::string(message.payload);
      }
      return !payload.empty();
    });
    return payload;
  }
  // … of that event.
  std::string hear(KeeperEvent event) {
    for (int i = 0; i < 100; ++i) {
      std::string payload = hear(FrameType::keeper_event);
      if (payload.empty() || get_number(payload, 3, 0) == static_cast<uint64_t>(event)) {
        return payload;
      }
    }
    return "";
  }
  [[nodiscard]] bool holds_lock() const {
    pollfd entry{lock_.get(), 0, 0};
    return poll(&entry, 1, 0) == 0;
  }
  void signal(int number) const { EXPECT_EQ(::kill(origin_.pid, number), 0); }
  void hang_up() { link_.reset(); }
  [[nodiscard]] int pidfd() const { return origin_.pidfd.get(); }
  ServiceProcess& process() { return process_; }

 private:
  UniqueFd listener_;
  ServiceProcess process_;
  std::unique_ptr<Link> link_;
  UniqueFd lock_;
  MessageOrigin origin_;
};

class Fence : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "a PID namespace of its own takes root";
    ASSERT_TRUE(OwnerPage::create(page_).ok());
    successor_name_ = page_.new_name();
  }
  static ServiceOptions options() {
    ServiceOptions o;
    o.directory = "/nonexistent/ignored-under-a-keeper";
    return o;
  }
  std::unique_ptr<Side> side(const std::string& name, const std::string& fault = "") {
    return std::make_unique<Side>(directory_.path() + "/" + name, options(), fault);
  }
  void start_first(Side& first) {
    predecessor_name_ = page_.new_name();
    first.say(FrameType::keeper_start, record({{1, uint64_t{predecessor_name_}}}), {page_.fd()});
    ASSERT_TRUE(first.process().wait_for("activate first"));
    ASSERT_EQ(first.process().ask("put k v"), "ok");
  }
  // A successor that is silent for two seconds in probation hangs.
  void attempt(Side& from, Side& to, bool keeper_fences) {
    const Ends link = make_ends();
    const std::string nonce(32, 'n');
    const auto words = [&](uint64_t role) {
      std::vector<Value> fields = {{1, role},     {2, kAttempt},   {3, nonce},
                                   {4, 1U},       {5, 1'000'000U}, {10, 60'000U},
                                   {11, 60'000U}, {12, 2'000U},    {15, uint64_t{successor_name_}}};
      if (keeper_fences) fields.push_back({17, 1U});
      return record(fields);
    };
    to.say(FrameType::keeper_attempt, words(2), {link.there.get(), page_.fd(), from.pidfd()});
    from.say(FrameType::keeper_attempt, words(1), {link.here.get(), page_.fd(), to.pidfd()});
  }
  // A successor that is active, and stopped.
  void hang(Side& from, Side& to) {
    start_first(from);
    attempt(from, to, true);
    ASSERT_TRUE(to.process().wait_for("activate")) << from.process().ask("error");
    to.signal(SIGSTOP);
  }
  [[nodiscard]] OwnerName owner() const { return page_.look().owner; }

  TemporaryDirectory directory_;
  OwnerPage page_;
  OwnerName predecessor_name_ = kNobody;
  OwnerName successor_name_ = kNobody;
};

TEST_F(Fence, is_refused_where_neither_the_predecessor_nor_its_keeper_can_end_the_successor) {
  const auto first = side("a");
  const auto second = side("b");
  EXPECT_TRUE(first->holds_lock());
  start_first(*first);
  attempt(*first, *second, false);
  const std::string failed = first->hear(KeeperEvent::failed);
  EXPECT_NE(std::string(get_bytes(failed, 4)).find("may not end the successor"), std::string::npos)
      << get_bytes(failed, 4);
  EXPECT_EQ(first->process().ask("active"), "yes");
}

TEST_F(Fence, a_hung_successor_is_ended_by_the_keeper_and_nobody_serves_before_it_is_dead) {
  const auto first = side("a");
  const auto second = side("b");
  hang(*first, *second);
  const std::string asked = first->hear(FrameType::keeper_fence);
  EXPECT_EQ(get_number(asked, 1, 0), kAttempt);
  EXPECT_EQ(get_number(asked, 2, 0), successor_name_);
  EXPECT_EQ(owner(), successor_name_);
  EXPECT_EQ(first->process().ask("active"), "no");
  EXPECT_FALSE(first->process().has("resume"));
  second->signal(SIGKILL);
  ASSERT_TRUE(first->process().wait_for("resume"));
  EXPECT_EQ(owner(), predecessor_name_);
  EXPECT_EQ(first->process().ask("active"), "yes");
  EXPECT_EQ(first->process().ask("get k"), "v");
}

TEST_F(Fence, the_next_keeper_is_asked_where_the_first_one_is_dead) {
  const auto first = side("a");
  const auto second = side("b");
  const std::string path = directory_.path() + "/instances.sock";
  const Ends lock = make_ends();
  first->say(FrameType::keeper_rendezvous,
             record({{1, path}, {2, std::string(32, 'r')}, {3, kGeneration}}), {lock.there.get()});
  hang(*first, *second);
  first->hang_up();
  const UniqueFd rendezvous = listen_at(path);
  Link link(accept_soon(rendezvous));
  Message message;
  ASSERT_TRUE(eventually([&] { return link.receive(message) == Link::Got::message; }));
  EXPECT_EQ(message.type, FrameType::keeper_rejoin);
  EXPECT_EQ(get_number(message.payload, 8, 0), kGeneration);
  EXPECT_EQ(get_number(message.payload, 9, 0), predecessor_name_);
  EXPECT_EQ(get_number(message.payload, 12, 0), successor_name_);
  EXPECT_EQ(first->process().ask("active"), "no");
  second->signal(SIGKILL);
  ASSERT_TRUE(first->process().wait_for("resume"));
  // It comes again, to serve.
  ASSERT_TRUE(eventually([&] {
    Link again(accept_soon(rendezvous));
    Message rejoin;
    return eventually([&] { return again.receive(rejoin) == Link::Got::message; }) &&
           get_number(rejoin.payload, 12, 0) == 0;
  }));
}

TEST_F(Fence, where_no_keeper_comes_the_predecessor_ends_and_the_successor_alone_is_left) {
  const auto first = side("a", "predecessor:fencing:error");
  const auto second = side("b");
  hang(*first, *second);
  ASSERT_FALSE(first->hear(FrameType::keeper_fence).empty());
  ASSERT_TRUE(first->process().wait_for("terminate 5"));
  EXPECT_FALSE(first->process().has("resume"));
  EXPECT_EQ(owner(), successor_name_);
  second->signal(SIGCONT);
  EXPECT_EQ(second->process().ask("active"), "yes");
  EXPECT_EQ(second->process().ask("get k"), "v");
}

TEST_F(Fence, a_socket_that_nobody_listens_on_ends_the_start_with_its_name) {
  ServiceProcess process({.options = options(), .declare = [](Service&) {
                            setenv("SEGUE_KEEPER_SOCKET", "/nonexistent/keeper.sock", 1);
                          }});
  EXPECT_TRUE(process.wait_for("failed the keeper's socket /nonexistent/keeper.sock cannot be"));
}

TEST(KeeperDescriptors, a_socket_that_gives_nothing_of_use_is_an_error) {
  const auto read_it = [](FrameType type, const std::string& payload, size_t fd_count) {
    Ends ends = make_ends();
    const std::vector<UniqueFd> fds = some_fds(fd_count);
    EXPECT_TRUE(Link(std::move(ends.there)).send(type, payload, raw(fds)).ok());
    Link link(std::move(ends.here));
    Message message;
    EXPECT_EQ(link.receive(message), Link::Got::message);
    KeeperDescriptors descriptors;
    return read_keeper_channel(message, descriptors).text;
  };
  const std::string lock = record({{1, batch({{"lock", ""}})}});
  EXPECT_EQ(read_it(FrameType::keeper_channel, lock, 1), "the keeper's socket gives no channel");
  EXPECT_EQ(read_it(FrameType::keeper_channel, lock, 2),
            "the keeper's socket gives unnamed descriptors");
  EXPECT_EQ(read_it(FrameType::keeper_ping, record({}), 0),
            "the keeper's socket does not give a keeper's channel");
  const std::string more = record({{1, batch({{"keeper", ""}, {"later", ""}})}});
  EXPECT_EQ(read_it(FrameType::keeper_channel, more, 2), "");
}

}  // namespace
}  // namespace segue::handoff::test
