// SPDX-License-Identifier: Apache-2.0
// What only one process can hold: released by the predecessor, acquired by the successor, and back
// with the predecessor when the handoff does not happen. Real processes, real locks and devices.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "handoff/clock.h"
#include "handoff/test_process.h"
#include "handoff/test_service.h"

namespace segue::handoff::test {
namespace {

class Resource {
 public:
  Resource() = default;
  Resource(const Resource&) = delete;
  Resource& operator=(const Resource&) = delete;
  virtual ~Resource() = default;
  // False where somebody else has it.
  virtual bool take() = 0;
  virtual void give_up() { fd_.reset(); }
  [[nodiscard]] bool held() const { return fd_.valid(); }

 protected:
  bool keep(UniqueFd fd, bool taken) {
    if (taken) fd_ = std::move(fd);
    return taken;
  }
  UniqueFd fd_;
};

class FlockFile : public Resource {
 public:
  explicit FlockFile(const std::string& directory) : path_(directory + "/flock") {}
  bool take() override {
    UniqueFd fd(open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    const bool taken = flock(fd.get(), LOCK_EX | LOCK_NB) == 0;
    return keep(std::move(fd), taken);
  }

 private:
  std::string path_;
};

class OfdLockFile : public Resource {
 public:
  explicit OfdLockFile(const std::string& directory) : path_(directory + "/ofd") {}
  bool take() override {
    UniqueFd fd(open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    struct flock whole{};
    whole.l_type = F_WRLCK;
    const bool taken = fcntl(fd.get(), F_OFD_SETLK, &whole) == 0;
    return keep(std::move(fd), taken);
  }

 private:
  std::string path_;
};

// A port that is bound without SO_REUSEADDR or SO_REUSEPORT.
class Port : public Resource {
 public:
  Port() {
    const UniqueFd probe(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address_;
    EXPECT_EQ(bind(probe.get(), name(), size), 0);
    EXPECT_EQ(getsockname(probe.get(), reinterpret_cast<sockaddr*>(&address_), &size), 0);
  }
  bool take() override {
    UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const bool taken = bind(fd.get(), name(), sizeof address_) == 0 && listen(fd.get(), 4) == 0;
    return keep(std::move(fd), taken);
  }

 private:
  [[nodiscard]] const sockaddr* name() const {
    return reinterpret_cast<const sockaddr*>(&address_);
  }
  sockaddr_in address_{};
};

class TunDevice : public Resource {
 public:
  TunDevice() { snprintf(request_.ifr_name, sizeof request_.ifr_name, "sg%d", getpid()); }
  bool take() override {
    UniqueFd fd(open("/dev/net/tun", O_RDWR | O_CLOEXEC));
    request_.ifr_flags = IFF_TUN | IFF_NO_PI;
    const bool taken = fd.valid() && ioctl(fd.get(), TUNSETIFF, &request_) == 0;
    return keep(std::move(fd), taken);
  }

 private:
  ifreq request_{};
};

// A terminal in exclusive mode. Only who lacks CAP_SYS_ADMIN is kept out.
class ExclusiveTerminal : public Resource {
 public:
  ExclusiveTerminal() : master_(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    EXPECT_EQ(grantpt(master_.get()), 0);
    EXPECT_EQ(unlockpt(master_.get()), 0);
    char name[64] = "";
    EXPECT_EQ(ptsname_r(master_.get(), name, sizeof name), 0);
    path_ = name;
  }
  static void become_ordinary() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    EXPECT_EQ(syscall(SYS_capget, &header, data), 0);
    data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective &= ~CAP_TO_MASK(CAP_SYS_ADMIN);
    data[CAP_TO_INDEX(CAP_SYS_ADMIN)].permitted &= ~CAP_TO_MASK(CAP_SYS_ADMIN);
    EXPECT_EQ(syscall(SYS_capset, &header, data), 0);
  }
  bool take() override {
    become_ordinary();
    UniqueFd fd(open(path_.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
    const bool taken = fd.valid() && ioctl(fd.get(), TIOCEXCL) == 0;
    return keep(std::move(fd), taken);
  }
  void give_up() override {
    if (fd_.valid()) ioctl(fd_.get(), TIOCNXCL);
    fd_.reset();
  }

 private:
  UniqueFd master_;
  std::string path_;
};

// Why there is no such thing on this machine; empty if there is.
std::string why_missing(const std::string& kind) {
  if (kind != "tun_device") return "";
  if (access("/dev/net/tun", R_OK | W_OK) != 0) return "/dev/net/tun cannot be opened";
  return TunDevice().take() ? "" : "making a TUN device needs CAP_NET_ADMIN";
}

class Resources : public HandoffTest, public testing::WithParamInterface<std::string> {
 protected:
  void SetUp() override {
    const std::string missing = why_missing(GetParam());
    if (!missing.empty()) GTEST_SKIP() << "NOT TESTED: " << missing;
    if (GetParam() == "flock") resource_ = std::make_shared<FlockFile>(directory_.path());
    if (GetParam() == "ofd_lock") resource_ = std::make_shared<OfdLockFile>(directory_.path());
    if (GetParam() == "port") resource_ = std::make_shared<Port>();
    if (GetParam() == "tun_device") resource_ = std::make_shared<TunDevice>();
    if (GetParam() == "terminal") resource_ = std::make_shared<ExclusiveTerminal>();
  }

  // A service that holds the resource while it serves. Each child has its own copy.
  ServiceProcess::Behaviour holder() const {
    ServiceProcess::Behaviour behaviour;
    const std::shared_ptr<Resource> resource = resource_;
    behaviour.options = options();
    behaviour.options.budget_us = 300'000;
    behaviour.options.hooks.acquire = [resource] { return resource->take() ? 0 : -1; };
    behaviour.options.hooks.release = [resource] { return resource->give_up(), 0; };
    behaviour.options.hooks.yield = [resource] { resource->give_up(); };
    behaviour.options.hooks.resume = [resource](int released) {
      EXPECT_TRUE(released == 0 || resource->take()) << "it is not free again";
    };
    behaviour.answer = [resource](Service&, const std::string& question) -> std::string {
      if (question != "held") return "";
      return resource->held() ? "held" : "not held";
    };
    behaviour.fill = [](Service& service) { service.put("k", "v"); };
    return behaviour;
  }

  // That it is exclusive at all, or the test would prove nothing.
  void expect_taken() const {
    EXPECT_TRUE(holds_in_child([this] { EXPECT_FALSE(resource_->take()); }));
  }

  std::shared_ptr<Resource> resource_;
};

TEST_P(Resources, pass_from_predecessor_to_successor) {
  ServiceProcess first(holder());
  ASSERT_TRUE(first.wait_for("activate first"));
  EXPECT_EQ(first.ask("held"), "held");
  expect_taken();
  ServiceProcess second(holder());
  ASSERT_TRUE(second.wait_for("activate"));
  EXPECT_EQ(second.ask("held"), "held");
  EXPECT_TRUE(first.ends());
  expect_taken();
  EXPECT_EQ(second.ask("get k"), "v");
}

TEST_P(Resources, are_back_with_the_predecessor_when_the_successor_declines) {
  ServiceProcess first(holder());
  ASSERT_TRUE(first.wait_for("activate first"));
  ServiceProcess::Behaviour declines = holder();
  declines.options.hooks.acquire = [resource = resource_] {
    EXPECT_TRUE(resource->take());
    resource->give_up();  // an acquire() that fails undoes what it did
    return -1;
  };
  ServiceProcess second(declines);
  ASSERT_TRUE(first.wait_for("resume 2"));
  EXPECT_EQ(first.ask("held"), "held");
  EXPECT_EQ(first.ask("active"), "yes");
  EXPECT_TRUE(second.ends());
  expect_taken();
}

TEST_P(Resources, are_yielded_when_the_successor_is_too_late_and_pass_with_the_next_attempt) {
  ServiceProcess first(holder());
  ASSERT_TRUE(first.wait_for("activate first"));
  ServiceProcess::Behaviour late = holder();
  const auto was_late = std::make_shared<bool>(false);
  late.options.hooks.acquire = [resource = resource_, was_late] {
    EXPECT_TRUE(resource->take());
    if (std::exchange(*was_late, true)) return 0;
    const uint64_t until = monotonic_ns() + 320'000'000;
    while (monotonic_ns() < until) continue;
    return 0;
  };
  ServiceProcess second(late);
  ASSERT_TRUE(first.wait_for("resume 1"));
  ASSERT_TRUE(second.wait_for("activate"));
  EXPECT_EQ(second.ask("held"), "held");
  EXPECT_TRUE(first.ends()) << "it had them back in between";
}

TEST_P(Resources, are_back_with_the_predecessor_when_the_successor_dies_with_them) {
  if (GetParam() == "terminal") {
    GTEST_SKIP() << "a pseudo terminal stays exclusive while its master is open, whoever dies";
  }
  for (const bool active : {false, true}) {
    ServiceProcess first(holder());
    ASSERT_TRUE(first.wait_for("activate first"));
    ServiceProcess::Behaviour dies = holder();
    if (active) {
      dies.options.hooks.activate = [] { raise(SIGKILL); };
    } else {
      dies.options.hooks.acquire = [resource = resource_] {
        EXPECT_TRUE(resource->take());
        return raise(SIGKILL);
      };
    }
    const ServiceProcess second(dies);
    ASSERT_TRUE(first.wait_for(active ? "resume 4" : "resume 3"));
    EXPECT_EQ(first.ask("held"), "held");
    EXPECT_EQ(first.ask("active"), "yes");
    expect_taken();
    first.kill();
  }
}

INSTANTIATE_TEST_SUITE_P(SingleAccess, Resources,
                         testing::Values("flock", "ofd_lock", "port", "tun_device", "terminal"),
                         [](const auto& kind) { return kind.param; });

}  // namespace
}  // namespace segue::handoff::test
