// SPDX-License-Identifier: Apache-2.0
// What no real engine can be made to do, from one that is none; and gRPC's health check.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <list>

#include "os/files.h"
#include "os/process.h"
#include "os/temp_directory.h"
#include "os/unix_socket.h"
#include "runtime/docker_engine.h"
#include "runtime/health_calls.h"

namespace segue::runtime {
namespace {

using base::ErrorCode;
using ::testing::HasSubstr;

constexpr auto kPatience = std::chrono::minutes(1);
constexpr std::string_view kPong =
    "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nServer: Docker/1 (linux)\r\nContent-Length: "
    "2\r\n\r\nOK";

enum class Then { close, reset, hang };

// Says its version as it should, and `reply` to everything else.
class FakeEngine {
 public:
  FakeEngine(os::EpollLoop& loop, const std::string& path)
      : loop_(loop), listener_(os::listen_unix(path, os::SocketType::stream).value()) {
    SEGUE_ASSERT(loop_.watch(listener_.get(), EPOLLIN, [this](std::uint32_t) { accept(); }));
  }
  ~FakeEngine() {
    for (const auto& socket : sockets_) loop_.unwatch(socket.get());
    loop_.unwatch(listener_.get());
  }
  FakeEngine(const FakeEngine&) = delete;
  FakeEngine& operator=(const FakeEngine&) = delete;

  std::string reply;
  Then then = Then::close;
  bool hides_version = false;

 private:
  void accept() {
    auto accepted = os::accept_unix(listener_);
    if (!accepted || !*accepted) return;
    sockets_.push_back(**std::move(accepted));
    const auto socket = std::prev(sockets_.end());
    SEGUE_ASSERT(
        loop_.watch(socket->get(), EPOLLIN, [this, socket](std::uint32_t) { answer(socket); }));
  }

  void answer(std::list<os::UniqueFd>::iterator socket) {
    std::array<char, 4096> bytes;
    const ssize_t got = ::recv(socket->get(), bytes.data(), bytes.size(), MSG_PEEK);
    const std::string_view request(bytes.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
    if (got > 0 && request.find("\r\n\r\n") == request.npos) return;
    const bool is_version = request.starts_with("GET /_ping ") && !hides_version;
    if (got > 0 && !is_version && then == Then::hang) {
      loop_.unwatch(socket->get());
      SEGUE_ASSERT(loop_.watch(socket->get(), 0, [](std::uint32_t) {}));
      return;
    }
    if (got > 0 && (is_version || then == Then::close)) {
      (void)::recv(socket->get(), bytes.data(), bytes.size(), 0);
    }
    const std::string text = is_version ? std::string(kPong) : reply;
    if (got > 0) (void)::send(socket->get(), text.data(), text.size(), MSG_NOSIGNAL);
    loop_.unwatch(socket->get());
    sockets_.erase(socket);  // with unread bytes: the peer's connection is reset
  }

  os::EpollLoop& loop_;
  os::UniqueFd listener_;
  std::list<os::UniqueFd> sockets_;
};

class HostileEngine : public ::testing::Test {
 protected:
  std::unique_ptr<DockerEngine> engine_with(base::Duration limit) {
    return DockerEngine::create(loop_, clock_,
                                {.socket_path = directory_.path("s"),
                                 .answer_limit = limit,
                                 .work_limit = limit,
                                 .answer_bytes = 10'000})
        .value();
  }
  bool run_until(const std::function<bool()>& done) {
    const auto until = clock_.monotonic_now() + kPatience;
    while (!done() && clock_.monotonic_now() < until) {
      (void)loop_.run_once(std::chrono::milliseconds(50));
    }
    return done();
  }
  // How a look, and how a change, end.
  std::pair<ErrorCode, ErrorCode> outcomes(DockerEngine& engine) {
    std::optional<base::Result<ContainerState>> looked;
    std::optional<base::Result<void>> started;
    const CallHandle look = engine.inspect_container(
        "x", [&](base::Result<ContainerState> answer) { looked = std::move(answer); });
    const CallHandle start = engine.start_container(
        "x", [&](base::Result<void> answer) { started = std::move(answer); });
    EXPECT_TRUE(run_until([&] { return looked && started; }));
    EXPECT_FALSE(*looked);
    EXPECT_FALSE(*started);
    EXPECT_THAT(started->error().to_string(), HasSubstr("cannot start container 'x'"));
    return {looked->error().code(), started->error().code()};
  }

  os::SystemClock clock_;
  os::EpollLoop loop_ = os::EpollLoop::create(clock_).value();
  os::TempDirectory directory_;
};

TEST_F(HostileEngine, whatever_it_does_a_call_ends_and_says_what_may_have_happened) {
  using Codes = std::pair<ErrorCode, ErrorCode>;
  struct Case {
    std::string name;
    std::string reply;
    Then then;
    Codes codes;
  };
  const std::string good = "HTTP/1.1 200 OK\r\n";
  const Codes broken{ErrorCode::unavailable, ErrorCode::unknown_outcome};
  const Codes endless{ErrorCode::resource_exhausted, ErrorCode::resource_exhausted};
  const std::vector<Case> cases{
      {"garbage",
       "\x7f\x45\x4c\x46 what?\r\n",
       Then::close,
       {ErrorCode::data_loss, ErrorCode::unknown_outcome}},
      {"nothing", "", Then::close, broken},
      {"half a header", good + "Content-Le", Then::close, broken},
      {"half an answer", good + "Content-Length: 100\r\n\r\n{\"Id\":", Then::close, broken},
      {"half a chunk", good + "Transfer-Encoding: chunked\r\n\r\n20\r\n{", Then::close, broken},
      {"no chunk", good + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", Then::close, broken},
      {"a reset", "", Then::reset, broken},
      {"a reset in the middle", good + "Content-Length: 100\r\n\r\n{", Then::reset, broken},
      {"no end", good + "\r\n" + std::string(20'000, ' '), Then::close, endless},
      {"no end of the header", good + "X: " + std::string(90'000, 'x') + "\r\n\r\n", Then::close,
       endless},
  };
  FakeEngine fake(loop_, directory_.path("s"));
  const auto engine = engine_with(kPatience);
  for (const Case& one : cases) {
    fake.reply = one.reply;
    fake.then = one.then;
    EXPECT_EQ(outcomes(*engine), one.codes) << one.name;
  }
}

TEST_F(HostileEngine, one_that_hangs_is_given_up) {
  FakeEngine fake(loop_, directory_.path("s"));
  fake.then = Then::hang;
  const auto engine = engine_with(std::chrono::milliseconds(500));
  EXPECT_EQ(outcomes(*engine), std::pair(ErrorCode::deadline_exceeded, ErrorCode::unknown_outcome));
  fake.hides_version = true;
  const auto fresh = engine_with(std::chrono::milliseconds(500));
  EXPECT_EQ(outcomes(*fresh), std::pair(ErrorCode::deadline_exceeded, ErrorCode::deadline_exceeded))
      << "the start was never asked for";
}

TEST_F(HostileEngine, json_that_is_not_the_apis_is_damage) {
  FakeEngine fake(loop_, directory_.path("s"));
  const auto engine = engine_with(kPatience);
  for (const std::string& body :
       {std::string("{}"), std::string("[]"), std::string("{\"Id\":"), std::string(9'000, '[')}) {
    fake.reply = fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", body.size(), body);
    std::optional<base::Result<ContainerState>> looked;
    const CallHandle look = engine->inspect_container(
        "x", [&](base::Result<ContainerState> answer) { looked = std::move(answer); });
    ASSERT_TRUE(run_until([&] { return looked.has_value(); }));
    EXPECT_EQ(looked->error().code(), ErrorCode::data_loss) << body.substr(0, 20);
  }
}

TEST_F(HostileEngine, calls_are_bounded) {
  FakeEngine fake(loop_, directory_.path("s"));
  fake.then = Then::hang;
  fake.hides_version = true;
  const auto engine = engine_with(kPatience);
  std::vector<CallHandle> calls;
  std::vector<ErrorCode> codes;
  for (std::size_t i = 0; i < http::Client::kMaxExchanges + 1; ++i) {
    calls.push_back(engine->inspect_container("x", [&](const base::Result<ContainerState>& answer) {
      if (!answer) codes.push_back(answer.error().code());
    }));
  }
  EXPECT_TRUE(
      run_until([&] { return std::ranges::count(codes, ErrorCode::resource_exhausted) == 1; }));
}

TEST_F(HostileEngine, a_callback_may_end_its_call_and_the_engine) {
  FakeEngine fake(loop_, directory_.path("s"));
  auto engine = engine_with(kPatience);
  CallHandle call;
  bool was_called = false;
  call = engine->inspect_container("x", [&](const base::Result<ContainerState>&) {
    was_called = true;
    engine.reset();
    call.reset();
  });
  ASSERT_TRUE(run_until([&] { return was_called; }));
}

TEST_F(HostileEngine, a_socket_that_is_not_there_says_what_to_do) {
  const auto engine = engine_with(kPatience);
  std::optional<base::Result<EngineVersion>> version;
  const CallHandle call =
      engine->version([&](base::Result<EngineVersion> answer) { version = std::move(answer); });
  EXPECT_FALSE(version) << "never from within the call";
  ASSERT_TRUE(run_until([&] { return version.has_value(); }));
  EXPECT_EQ(version->error().code(), ErrorCode::unavailable);
  EXPECT_THAT(version->error().to_string(), HasSubstr("No such file or directory"));
  EXPECT_THAT(version->error().to_string(), HasSubstr("start the engine"));
}

// A real server of Google's own implementation.
TEST_F(HostileEngine, a_grpc_server_is_asked_for_its_health) {
  auto server = os::spawn({.argv = {"/usr/bin/python3", SEGUE_GRPC_SERVER, directory_.path("port")},
                           .env = {"PATH=/usr/bin:/bin"},
                           .ends_with_parent = true})
                    .value();
  std::string port;
  ASSERT_TRUE(run_until([&] {
    port = os::read_file(directory_.path("port"), 100).value_or("");
    return !port.empty();
  }));
  auto client = http::Client::create(loop_).value();
  const auto check = [&](const std::string& service) {
    std::optional<health::HealthCheck::Result> result;
    const CallHandle call = check_grpc(client, "127.0.0.1:" + port + service, kPatience,
                                       [&](const auto& given) { result = given; });
    EXPECT_TRUE(run_until([&] { return result.has_value(); }));
    return result.value_or(health::HealthCheck::Result{});
  };
  EXPECT_TRUE(check("").good) << check("").text;
  EXPECT_TRUE(check("/good").good);
  EXPECT_FALSE(check("/bad").good);
  EXPECT_THAT(check("/bad").text, HasSubstr("NOT_SERVING"));
  EXPECT_THAT(check("/other").text, HasSubstr("knows no service"));
  ASSERT_TRUE(os::send_signal(server.pidfd, SIGKILL));
  ASSERT_TRUE(os::wait_for_exit(server.pidfd, kPatience));
  EXPECT_FALSE(check("").good);
  EXPECT_FALSE(check("/with space").good);
}

}  // namespace
}  // namespace segue::runtime
