// SPDX-License-Identifier: Apache-2.0
#include "store/test_etcd.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

namespace segue::store {
namespace {

using namespace std::chrono_literals;

// proc(5): the state follows the name, which is in parentheses.
bool stands_still(pid_t pid) {
  for (const auto& thread :
       std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid))) {
    std::ifstream file(thread.path() / "stat");
    const std::string text(std::istreambuf_iterator<char>(file), {});
    const auto state = text.rfind(") ");
    if (state == std::string::npos || text[state + 2] != 'T') return false;
  }
  return true;
}

bool can_bind(int port) {
  const os::UniqueFd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return ::bind(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

}  // namespace

// As free_port() in tests/integration/support.py does, with the same locks.
TestPort TestPort::take() {
  constexpr int kFirst = 10'000;
  constexpr int kCount = 20'000;
  const std::string locks = fmt::format("/tmp/segue-test-ports-{}", ::getuid());
  ::mkdir(locks.c_str(), 0777);
  int port = kFirst + ::getpid() * 37 % kCount;
  for (int tries = 0; tries < kCount; ++tries) {
    port = kFirst + (port - kFirst + 1) % kCount;
    os::UniqueFd lock(
        ::open(fmt::format("{}/{}", locks, port).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0 && can_bind(port)) {
      return {port, std::move(lock)};
    }
  }
  std::abort();
}

bool TestEtcd::is_installed() {
  return std::filesystem::exists("/usr/bin/etcd");
}

std::string TestEtcd::url_of(const TestPort& port) const {
  return fmt::format("{}://127.0.0.1:{}", tls_.authority.empty() ? "http" : "https", port.number());
}

TestEtcd::TestEtcd(TestLoop& loop, std::size_t members, fetch::TlsFiles tls)
    : loop_(&loop), tls_(std::move(tls)), http_(loop.loop, loop.clock) {
  for (std::size_t i = 0; i < members; ++i) members_.push_back(std::make_unique<Member>());
  std::vector<std::size_t> all;
  for (std::size_t i = 0; i < members; ++i) {
    start(i);
    all.push_back(i);
  }
  static_cast<void>(leader(all));
}

TestEtcd::~TestEtcd() {
  for (std::size_t i = 0; i < members_.size(); ++i) kill(i);
}

void TestEtcd::start(std::size_t member) {
  const Member& self = *members_[member];
  std::string cluster;
  for (std::size_t i = 0; i < members_.size(); ++i) {
    cluster += fmt::format("{}m{}={}", i == 0 ? "" : ",", i, url_of(members_[i]->peer));
  }
  os::SpawnOptions options;
  const std::string log = directory_.path(fmt::format("m{}.log", member));
  options.argv = {"/bin/sh", "-c", "exec /usr/bin/etcd \"$@\" >> " + log + " 2>&1", "etcd",
                  "--name", fmt::format("m{}", member), "--data-dir",
                  directory_.path(fmt::format("m{}", member)), "--listen-client-urls",
                  url_of(self.client), "--advertise-client-urls", url_of(self.client),
                  "--listen-peer-urls", url_of(self.peer), "--initial-advertise-peer-urls",
                  url_of(self.peer), "--initial-cluster", cluster, "--initial-cluster-state", "new",
                  "--logger", "zap", "--log-outputs", "stderr",
                  // Elections within what a test waits for, and not because a machine is busy.
                  "--heartbeat-interval", "500", "--election-timeout", "5000"};
  if (!tls_.authority.empty()) {
    for (const char* side : {"", "peer-"}) {
      for (const auto& [name, file] :
           {std::pair("cert-file", &tls_.certificate), std::pair("key-file", &tls_.key),
            std::pair("trusted-ca-file", &tls_.authority)}) {
        options.argv.push_back(fmt::format("--{}{}={}", side, name, *file));
      }
      options.argv.push_back(fmt::format("--{}client-cert-auth", side));
    }
  }
  options.env = {"PATH=/usr/bin:/bin"};
  options.ends_with_parent = true;
  auto child = os::spawn(options);
  ASSERT_TRUE(child) << child.error().to_string();
  members_[member]->process = *std::move(child);
}

void TestEtcd::signal(std::size_t member, int number) {
  const os::Child& process = members_[member]->process;
  if (!process.pidfd) return;
  static_cast<void>(os::send_signal(process.pidfd, number));
  // It is stopped when each of its threads is, and may answer until then.
  if (number != SIGSTOP) return;
  EXPECT_TRUE(loop_->run_until([&] { return stands_still(process.pid); })) << "it does not stop";
}

void TestEtcd::kill(std::size_t member) {
  os::Child& process = members_[member]->process;
  if (!process.pidfd) return;
  signal(member, SIGKILL);
  EXPECT_TRUE(os::wait_for_exit(process.pidfd, 60s));
  process = {};
}

EtcdSettings TestEtcd::settings() const {
  EtcdSettings settings;
  for (const auto& member : members_) settings.members.push_back(url_of(member->client));
  settings.root = "/test/";
  settings.tls = tls_;
  settings.connect = 10s;  // a machine may be busy
  settings.patience = 60s;
  settings.watch_patience = 120s;
  settings.read_limit = 5s;
  settings.write_limit = 30s;
  return settings;
}

std::optional<TestEtcd::Status> TestEtcd::status(std::size_t member) {
  fetch::HttpPost post;
  post.url = url_of(members_[member]->client) + "/v3/maintenance/status";
  post.body = "{}";
  post.tls = tls_;
  post.max_bytes = 10'000;
  std::optional<fetch::HttpPostEnd> ended;
  http_.post(std::move(post), [&](fetch::HttpPostEnd end) { ended = std::move(end); });
  EXPECT_TRUE(loop_->run_until([&] { return ended.has_value(); }));
  if (!ended || !ended->answer || ended->answer->status != 200) return std::nullopt;
  const auto answer = nlohmann::json::parse(ended->answer->body, nullptr, false);
  if (!answer.is_object() || !answer.contains("leader")) return std::nullopt;
  return Status{.id = answer["header"]["member_id"], .leader = answer["leader"]};
}

std::size_t TestEtcd::leader(const std::vector<std::size_t>& among) {
  std::optional<std::size_t> found;
  EXPECT_TRUE(loop_->run_until(
      [&] {
        found.reset();
        std::vector<Status> all;
        for (const std::size_t member : among) {
          const auto said = status(member);
          if (!said) return false;
          all.push_back(*said);
        }
        for (std::size_t i = 0; i < all.size(); ++i) {
          if (all[i].leader != all.front().leader) return false;
          if (all[i].id == all[i].leader) found = among[i];
        }
        return found.has_value();
      },
      120s))
      << "no leader";
  return found.value_or(among.front());
}

}  // namespace segue::store
