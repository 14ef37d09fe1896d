// SPDX-License-Identifier: Apache-2.0
// Against a real Prometheus, which scrapes an exporter of this test.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <thread>

#include "analysis/analysis.h"
#include "os/clock.h"
#include "os/epoll_loop.h"
#include "os/process.h"
#include "os/temp_directory.h"
#include "prometheus/query.h"

namespace segue::prometheus {
namespace {

using base::ErrorCode;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

constexpr const char* kProgram = "/usr/bin/prometheus";
constexpr base::Duration kPatience = seconds(90);  // of a machine with much else to do

// Two arms of three hosts each. With every scrape each host has served 100 more requests, of which
// 2 failed in the canary and 1 in the baseline.
class Exporter {
 public:
  Exporter() {
    listener_ = os::UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listener_.get(), generic, size), 0);
    EXPECT_EQ(::listen(listener_.get(), 16), 0);
    EXPECT_EQ(::getsockname(listener_.get(), generic, &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  Exporter(const Exporter&) = delete;
  Exporter& operator=(const Exporter&) = delete;
  ~Exporter() {
    ::shutdown(listener_.get(), SHUT_RDWR);  // ends accept(2)
    thread_.join();
  }

  [[nodiscard]] std::uint16_t port() const { return port_; }

 private:
  void serve() {
    for (int scrapes = 0;; ++scrapes) {
      const os::UniqueFd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client) return;
      std::string request;
      std::array<char, 4096> room{};
      while (request.find("\r\n\r\n") == std::string::npos) {
        const ssize_t got = ::read(client.get(), room.data(), room.size());
        if (got <= 0) break;
        request.append(room.data(), static_cast<std::size_t>(got));
      }
      const std::string answer =
          "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: "
          "close\r\n\r\n" +
          page(scrapes);
      (void)::send(client.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
    }
  }

  static std::string page(int scrapes) {
    std::string text = "# TYPE requests_total counter\n# TYPE failures_total counter\n";
    for (const char* arm : {"canary", "baseline"}) {
      const int failing = arm[0] == 'c' ? 2 : 1;
      for (int host = 0; host < 3; ++host) {
        const std::string labels = fmt::format("{{arm=\"{}\",host=\"{}\"}}", arm, host);
        text += fmt::format("requests_total{} {}\n", labels, 100 * scrapes);
        text += fmt::format("failures_total{} {}\n", labels, failing * scrapes);
      }
    }
    return text;
  }

  os::UniqueFd listener_;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

class RealServer : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kProgram)) {
      GTEST_SKIP() << "THERE IS NO " << kProgram << ": the Debian package prometheus has it";
    }
    std::ofstream(directory_.path("prometheus.yml")) << fmt::format(
        "global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\n"
        "scrape_configs: [{{job_name: test, static_configs: [{{targets: ['127.0.0.1:{}']}}]}}]\n",
        exporter_.port());
    const os::UniqueFd log(
        ::open(directory_.path("log").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    auto child = os::spawn({.argv = {kProgram, "--config.file=" + directory_.path("prometheus.yml"),
                                     "--storage.tsdb.path=" + directory_.path("data"),
                                     "--web.listen-address=127.0.0.1:0"},
                            .env = {"PATH=/usr/bin:/bin", "GOMAXPROCS=2"},
                            .cwd = {},
                            .fds = {{log.get(), 2}},
                            .ends_with_parent = true,
                            .pid_variables = {},
                            .limits = {}});
    ASSERT_TRUE(child.has_value()) << child.error().to_string();
    child_ = *std::move(child);
    ASSERT_TRUE(wait_for([this] { return find_port(); })) << log_text();
    ASSERT_TRUE(wait_for([this] { return ask("vector(1)").has_value(); })) << log_text();
  }

  void TearDown() override {
    if (child_.pid <= 0) return;
    (void)os::send_signal(child_.pidfd, SIGKILL);
    (void)os::wait_for_exit(child_.pidfd, kPatience);
  }

  std::string log_text() const {
    std::stringstream text;
    text << std::ifstream(directory_.path("log")).rdbuf();
    return text.str();
  }

  // It was given port 0, and says which one the kernel chose.
  bool find_port() {
    constexpr std::string_view kBefore = "msg=\"Listening on\" address=";
    const std::string log = log_text();
    const std::size_t begin = log.find(kBefore);
    const std::size_t end = log.find('\n', begin);
    if (begin == std::string::npos || end == std::string::npos) return false;
    source_.url = "http://" + log.substr(begin + kBefore.size(), end - begin - kBefore.size());
    return true;
  }

  bool wait_for(const std::function<bool()>& holds) {
    const auto until = clock_.monotonic_now() + kPatience;
    while (clock_.monotonic_now() < until) {
      if (holds()) return true;
      EXPECT_TRUE(loop_.run_once(milliseconds(50)));
    }
    return false;
  }

  base::Result<Answer> ask(const std::string& promql) {
    return query(http_, source_, promql, kPatience);
  }

  Exporter exporter_;
  os::TempDirectory directory_;
  os::SystemClock clock_;
  os::EpollLoop loop_ = *os::EpollLoop::create(clock_);
  os::Child child_;
  Source source_;
  fetch::HttpClient http_;
};

TEST_F(RealServer, answers_are_understood_or_refused_as_documented) {
  const auto value = [this](const std::string& promql) {
    return single_value(ask(promql).value());
  };
  EXPECT_EQ(value("scalar(vector(2.5))").value(), 2.5);
  EXPECT_EQ(value("vector(1e-9)").value(), 1e-9);
  EXPECT_EQ(value("vector(0) / 0").value(), std::nullopt);
  EXPECT_EQ(value("nothing_of_this_name").value(), std::nullopt);
  EXPECT_EQ(value("vector(1) / 0").error().code(), ErrorCode::failed_precondition);

  const auto wrong = ask("sum(");
  ASSERT_FALSE(wrong.has_value());
  EXPECT_EQ(wrong.error().code(), ErrorCode::invalid_argument);
  EXPECT_THAT(wrong.error().to_string(), HasSubstr("parse error"));
  EXPECT_EQ(ask("up[1m]").error().code(), ErrorCode::failed_precondition);
  EXPECT_EQ(ask("\"text\"").error().code(), ErrorCode::failed_precondition);

  Source elsewhere = source_;
  elsewhere.url += "/elsewhere";
  EXPECT_EQ(query(http_, elsewhere, "up", kPatience).error().code(), ErrorCode::not_found);
}

TEST_F(RealServer, counters_become_a_rate_and_clusters_by_the_documented_queries) {
  const std::string rate =
      "sum(increase(failures_total{arm=\"canary\"}[1m])) / "
      "sum(increase(requests_total{arm=\"canary\"}[1m]))";
  ASSERT_TRUE(wait_for([&] {
    const auto answer = ask(rate);
    return answer && single_value(*answer).value_or(std::nullopt).has_value();
  })) << log_text();
  EXPECT_NEAR(single_value(ask(rate).value()).value().value(), 0.02, 1e-9);

  const auto clusters = [this](const std::string& arm) {
    const std::string part = "(increase(requests_total{arm=\"" + arm + "\"}[1m]))";
    const std::string failing = "(increase(failures_total{arm=\"" + arm + "\"}[1m]))";
    return rate_clusters(ask("sum by (host) " + part).value(),
                         ask("sum by (host) " + failing).value());
  };
  const auto canary = clusters("canary");
  ASSERT_TRUE(canary.has_value()) << canary.error().to_string();
  ASSERT_EQ(canary->size(), 3U);
  for (const analysis::Cluster& cluster : *canary) {
    EXPECT_GT(cluster.requests, 0U);
    EXPECT_LT(cluster.failures, cluster.requests);
  }
  const auto baseline = clusters("baseline");
  ASSERT_TRUE(baseline.has_value());

  const analysis::Rule rule = analysis::rule_of(analysis::Kind::rate, "error rate", source_.url);
  analysis::Comparison comparison;
  comparison.canary = {.age = seconds(60), .clusters = *canary};
  comparison.baseline = {.age = seconds(60), .clusters = *baseline};
  const auto state = analysis::observe(rule, analysis::begin(rule, milliseconds(0)),
                                       {.at = seconds(1), .content = std::move(comparison)});
  ASSERT_TRUE(state.has_value()) << state.error().to_string();
  const analysis::Verdict verdict = analysis::judge(rule, *state, seconds(1));
  EXPECT_EQ(verdict.outcome, analysis::Outcome::wait);
  EXPECT_THAT(verdict.explanation, HasSubstr("not enough data"));
}

}  // namespace
}  // namespace segue::prometheus
