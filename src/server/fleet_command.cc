// SPDX-License-Identifier: Apache-2.0
#include "server/fleet_command.h"

#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "os/paths.h"
#include "os/process.h"
#include "server/term.h"

namespace segue::server {
namespace {

using base::fail;
using base::Result;

// Between two terms; it doubles while none leads.
constexpr base::Duration kFirstPause = std::chrono::milliseconds(500);
constexpr base::Duration kMaxPause = std::chrono::seconds(10);

// One term after the other, until it is told to end or cannot go on.
class Terms {
 public:
  Terms(const control::ServerOptions& options, const control::SayServer& say, std::string directory)
      : options_(options), say_(say), directory_(std::move(directory)) {}

  Result<control::ServerEnd> run() {
    SEGUE_ASSIGN(const os::UniqueFd signals, os::signal_fd({SIGTERM, SIGINT}));
    SEGUE_ASSIGN(os::EpollLoop loop, os::EpollLoop::create(clock_));
    SEGUE_TRY(loop.watch(signals.get(), EPOLLIN, [&](std::uint32_t) {
      signalfd_siginfo taken{};
      static_cast<void>(::read(signals.get(), &taken, sizeof taken) < 0);
      is_ending_ = true;
      if (term_ != nullptr) term_->resign();
    }));
    if (options_.dry_run) return describe(loop);
    os::raise_descriptor_limit();
    base::Duration pause = kFirstPause;
    while (true) {
      bool has_led = false;
      SEGUE_TRY(run_one(loop, has_led));
      if (is_ending_) break;
      if (has_led) pause = kFirstPause;
      SEGUE_TRY(wait(loop, pause));
      if (is_ending_) break;
      pause = std::min<base::Duration>(pause * 2, kMaxPause);
    }
    return control::ServerEnd{.text = "ends; what runs on the hosts goes on"};
  }

 private:
  Result<control::ServerEnd> describe(os::EpollLoop& loop) {
    Term term(options_, say_, directory_, loop, clock_, log_);
    SEGUE_TRY(term.open());
    return control::ServerEnd{
        .text = fmt::format("the fleet in {} would be led, on {} for agents and {} for people",
                            directory_, options_.agents, options_.listen)};
  }

  Result<void> run_one(os::EpollLoop& loop, bool& has_led) {
    Term term(options_, say_, directory_, loop, clock_, log_);
    SEGUE_TRY(term.open());
    term_ = &term;
    term.begin();
    const auto ran = loop.run();
    term_ = nullptr;
    SEGUE_TRY(ran);
    if (is_ending_) return {};
    has_led = term.has_led();
    // A port that it had before may not be free again at once.
    const auto& error = term.error();
    const bool may_pass = has_ever_led_ && error && error->code() == base::ErrorCode::unavailable;
    if (error && !may_pass) return fail(*error);
    has_ever_led_ = has_ever_led_ || has_led;
    const auto& why = error ? error : term.stood_down();
    if (why) log_.warning("server.stands-down", {{"why", why->to_string()}});
    return {};
  }

  Result<void> wait(os::EpollLoop& loop, base::Duration pause) const {
    const base::MonotonicTime until = clock_.monotonic_now() + pause;
    while (!is_ending_ && clock_.monotonic_now() < until) {
      SEGUE_TRY(loop.run_once(until - clock_.monotonic_now()));
    }
    return {};
  }

  const control::ServerOptions& options_;
  const control::SayServer& say_;
  const std::string directory_;
  const os::SystemClock clock_;
  const base::Log log_{{.now = [this] { return clock_.realtime_now(); }}};
  Term* term_ = nullptr;  // that runs
  bool has_ever_led_ = false;
  bool is_ending_ = false;
};

}  // namespace

Result<control::ServerEnd> run_fleet_server(const control::ServerOptions& options,
                                            const control::SayServer& say) {
  SEGUE_ASSIGN(const os::Directories directories, os::directories());
  return Terms(options, say, options.state.empty() ? directories.state + "/server" : options.state)
      .run();
}

}  // namespace segue::server
