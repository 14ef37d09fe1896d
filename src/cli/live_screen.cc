// SPDX-License-Identifier: Apache-2.0
#include "cli/live_screen.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <string_view>
#include <utility>

namespace segue::cli {
namespace {

constexpr std::array kSignals = {SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGWINCH};

sigset_t all_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int one : kSignals) ::sigaddset(&set, one);
  return set;
}

void write_out(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

}  // namespace

// ---- WatchSignals

WatchSignals::WatchSignals() {
  const sigset_t set = all_signals();
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  fd_ = os::UniqueFd(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
}

WatchSignals::~WatchSignals() {
  take_all();
  const sigset_t set = all_signals();
  ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
}

void WatchSignals::take_all() {
  signalfd_siginfo told{};
  while (::read(fd_.get(), &told, sizeof told) == sizeof told) {
    const int signal = static_cast<int>(told.ssi_signo);
    resized_ = resized_ || signal == SIGWINCH;
    suspends_ = suspends_ || signal == SIGTSTP;
    ends_ = ends_ || (signal != SIGWINCH && signal != SIGTSTP);
  }
}

bool WatchSignals::has_to_end() {
  take_all();
  return ends_;
}

WatchSignals::Kind WatchSignals::wait(int pause_ms) {
  take_all();
  if (!ends_ && !suspends_ && !resized_) {
    pollfd one{.fd = fd_.get(), .events = POLLIN, .revents = 0};
    (void)::poll(&one, 1, pause_ms);
    take_all();
  }
  if (ends_) return Kind::end;
  if (std::exchange(suspends_, false)) return Kind::suspend;
  return std::exchange(resized_, false) ? Kind::resize : Kind::none;
}

void WatchSignals::suspend() {
  (void)::raise(SIGSTOP);
}

// ---- LiveScreen

LiveScreen::Size LiveScreen::size() {
  winsize seen{};
  Size size;
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &seen) == 0 && seen.ws_col > 0 && seen.ws_row > 0) {
    size = {.columns = seen.ws_col, .rows = seen.ws_row};
  }
  return size;
}

void LiveScreen::open() {
  is_open_ = true;
  termios input{};
  // Whoever is in the background leaves the terminal's keys alone.
  if (::tcgetpgrp(STDIN_FILENO) == ::getpgrp() && ::tcgetattr(STDIN_FILENO, &input) == 0) {
    input_ = input;
    input.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    (void)::tcsetattr(STDIN_FILENO, TCSANOW, &input);
  }
  write_out("\x1b[?1049h\x1b[?25l\x1b[?7l");  // the other screen, no cursor, lines do not wrap
}

void LiveScreen::close() {
  if (!std::exchange(is_open_, false)) return;
  write_out("\x1b[?7h\x1b[?25h\x1b[?1049l");
  if (input_) (void)::tcsetattr(STDIN_FILENO, TCSAFLUSH, &*input_);
  input_.reset();
}

void LiveScreen::draw(const std::vector<std::string>& lines) {
  if (!is_open_) open();
  std::string frame = "\x1b[H";
  for (std::size_t i = 0; i < lines.size(); ++i) {
    frame += (i == 0 ? "" : "\r\n") + lines[i] + "\x1b[K";
  }
  write_out(frame + "\x1b[J");
}

}  // namespace segue::cli
