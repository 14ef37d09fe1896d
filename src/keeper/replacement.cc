// SPDX-License-Identifier: Apache-2.0
#include "keeper/replacement.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "os/sealed_memory.h"

namespace segue::keeper {
namespace {

using base::fail;
using base::Result;

constexpr int kStateFd = 3;
constexpr base::Duration kReapLimit = std::chrono::seconds(2);

// The first line that was written; the pipe holds more than is read here.
std::string first_line(const os::UniqueFd& pipe) {
  std::string text(Replacement::kMaxAnswerBytes, '\0');
  const ssize_t got = ::read(pipe.get(), text.data(), text.size());
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text.substr(0, text.find('\n'));
}

}  // namespace

Replacement::~Replacement() {
  if (child_.pidfd) {
    (void)os::send_signal(child_.pidfd, SIGKILL);
    (void)os::wait_for_exit(child_.pidfd, kReapLimit);
  }
  release();
}

Result<void> Replacement::start(const std::string& state,
                                const std::vector<std::string>& environment) {
  SEGUE_ASSIGN(const os::UniqueFd memory, os::make_sealed_memory("segue-keeper-state", state));
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
    return fail(base::errno_error("make a pipe", errno));
  }
  answer_.reset(ends[0]);
  const os::UniqueFd writer(ends[1]);
  const os::UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!null) return fail(base::errno_error("open /dev/null", errno));
  const os::SpawnOptions options{
      .argv = {program_, fmt::format("--check-state={}", kStateFd)},
      .env = environment,
      .cwd = "/",
      .fds = {{null.get(), 0}, {writer.get(), 1}, {writer.get(), 2}, {memory.get(), kStateFd}}};
  SEGUE_ASSIGN(child_, os::spawn(options));
  SEGUE_TRY(loop_.watch(child_.pidfd.get(), EPOLLIN, [this](std::uint32_t) { ended(); }));
  SEGUE_ASSIGN(timer_, loop_.call_at(clock_.monotonic_now() + kLimit, [this] { timed_out(); }));
  return {};
}

void Replacement::ended() {
  const auto status = os::wait_for_exit(child_.pidfd, base::Duration(0));
  if (status && !*status) return;
  const bool good = status && (*status)->success();
  std::string text = first_line(answer_);
  if (!good && status) {
    text =
        fmt::format("{} {}{}{}", program_, (*status)->to_string(), text.empty() ? "" : ": ", text);
  }
  release();
  on_checked_({good, std::move(text)});
}

void Replacement::timed_out() {
  timer_.reset();
  (void)os::send_signal(child_.pidfd, SIGKILL);
  (void)os::wait_for_exit(child_.pidfd, kReapLimit);
  release();
  on_checked_({false, fmt::format("{} did not answer --check-state within {} s", program_,
                                  kLimit / std::chrono::seconds(1))});
}

void Replacement::release() {
  if (timer_) loop_.cancel(*std::exchange(timer_, std::nullopt));
  if (child_.pidfd) loop_.unwatch(child_.pidfd.get());
  child_ = {};
}

}  // namespace segue::keeper
