// SPDX-License-Identifier: Apache-2.0
#include "handoff/test_process.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "handoff/clock.h"
#include "handoff/test_link.h"

namespace segue::handoff::test {
namespace {

constexpr uint64_t kPatienceNs = 10'000'000'000;
constexpr int kPollMs = 100;
constexpr size_t kMaxReport = 4096;

void say(int channel, const std::string& text) {
  // The test may be gone: then nobody is interested.
  (void)send(channel, text.data(), std::min(text.size(), kMaxReport), MSG_NOSIGNAL);
}

std::string answer_to(Service& service, const std::string& question) {
  const auto argument = [&](size_t from) {
    return question.substr(std::min(from, question.size()));
  };
  if (question.starts_with("get ")) {
    const auto found = service.data.find(argument(4));
    return found == service.data.end() ? "" : found->second;
  }
  if (question.starts_with("put ")) {
    const std::string rest = argument(4);
    const size_t space = rest.find(' ');
    service.put(rest.substr(0, space), rest.substr(space + 1));
    return "ok";
  }
  if (question == "vote" || question == "bad vote") {
    segue_vote(service.instance.get(), question == "vote" ? 1 : 0, "asked for");
    return "ok";
  }
  if (question == "size") return std::to_string(service.data.size());
  if (question == "connections") return std::to_string(service.connections.size());
  if (question == "error") return service.error();
  if (question == "active") return service.active() ? "yes" : "no";
  if (question == "port") return std::to_string(service.port());
  if (question == "fds") return std::to_string(open_fds());
  return "?";
}

void close_all_but(int kept) {
  const auto number = static_cast<unsigned>(kept);
  if (number > 3) close_range(3, number - 1, 0);
  close_range(number + 1, ~0U, 0);
}

}  // namespace

bool holds_in_child(const std::function<void()>& body) {
  fflush(nullptr);
  const pid_t child = fork();
  EXPECT_GE(child, 0);
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    body();
    fflush(nullptr);
    _exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

Child::Child(const std::function<void(int channel)>& body) {
  Ends ends = make_ends();
  fflush(nullptr);
  pid_ = fork();
  EXPECT_GE(pid_, 0);
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close_all_but(ends.there.get());
    body(ends.there.get());
    fflush(nullptr);
    _exit(testing::Test::HasFailure() ? 1 : 0);
  }
  channel_ = std::move(ends.here);
}

Child::~Child() {
  kill();
}

void Child::kill() {
  if (reaped_) return;
  signal(SIGKILL);
  (void)ends();
}

bool Child::ends() {
  const uint64_t deadline = monotonic_ns() + kPatienceNs;
  while (!reaped_ && monotonic_ns() < deadline) {
    int status = 0;
    reaped_ = waitpid(pid_, &status, WNOHANG) == pid_;
    ended_well_ = reaped_ && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!reaped_) poll(nullptr, 0, 1);
  }
  return ended_well_;
}

ServiceProcess::ServiceProcess(const Behaviour& behaviour)
    : Child([&behaviour](int channel) { serve(behaviour, channel); }) {}

void ServiceProcess::serve(const Behaviour& behaviour, int channel) {
  Service service(behaviour.options);
  service.on_event = [channel](const std::string& event) { say(channel, "!" + event); };
  if (behaviour.declare) behaviour.declare(service);
  if (service.start() != SEGUE_OK) say(channel, "!failed " + service.error());
  if (behaviour.fill) behaviour.fill(service);
  while (!service.ended()) {
    pollfd fds[2] = {{segue_fd(service.instance.get()), POLLIN, 0}, {channel, POLLIN, 0}};
    poll(fds, 2, -1);
    if (fds[1].revents != 0) {
      const std::string question = receive_raw(channel).bytes;
      if (question.empty()) break;
      const std::string custom = behaviour.answer ? behaviour.answer(service, question) : "";
      say(channel, "=" + (custom.empty() ? answer_to(service, question) : custom));
    }
    segue_dispatch(service.instance.get());
  }
  say(channel, "!error " + service.error());
  char byte = 0;
  while (behaviour.linger && read(channel, &byte, 1) > 0) continue;
}

bool ServiceProcess::listen(int timeout_ms) {
  pollfd entry{channel(), POLLIN, 0};
  if (poll(&entry, 1, timeout_ms) != 1) return false;
  const std::string report = receive_raw(channel()).bytes;
  closed_ = closed_ || report.empty();
  if (closed_) return false;
  if (report[0] == '!') {
    events_.push_back(report.substr(1));
  } else {
    answer_ = report;
  }
  return true;
}

bool ServiceProcess::has(const std::string& prefix) {
  while (listen(0)) continue;
  return std::any_of(events_.begin(), events_.end(),
                     [&](const std::string& event) { return event.starts_with(prefix); });
}

bool ServiceProcess::wait_for(const std::string& prefix) {
  const uint64_t deadline = monotonic_ns() + kPatienceNs;
  while (!has(prefix)) {
    if (closed_ || monotonic_ns() > deadline) {
      for (const std::string& event : events_) fprintf(stderr, "reported: %s\n", event.c_str());
      return false;
    }
    pollfd entry{channel(), POLLIN, 0};
    poll(&entry, 1, kPollMs);
  }
  return true;
}

std::string ServiceProcess::ask(const std::string& question) {
  answer_.clear();
  say(channel(), question);
  const uint64_t deadline = monotonic_ns() + kPatienceNs;
  while (answer_.empty() && !closed_ && monotonic_ns() < deadline) listen(kPollMs);
  return answer_.empty() ? "" : answer_.substr(1);
}

}  // namespace segue::handoff::test
