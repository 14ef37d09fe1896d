// SPDX-License-Identifier: Apache-2.0
// rollout show, rollout watch.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "cli/commands.h"
#include "cli/live_screen.h"
#include "cli/rollout_changes.h"
#include "cli/rollout_tree.h"
#include "cli/server_client.h"
#include "os/clock.h"

namespace segue::cli {
namespace {

using base::ErrorCode;
using base::Result;
using control::ExitCode;

constexpr int kPauseMs = 1'000;
constexpr int kMaxUnheard = 60;  // times that the server did not answer, one after the other
constexpr std::size_t kMaxInstances = 1'000;

// By what the locale's name says, as in de_DE.UTF-8.
bool draws_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
    if (value == nullptr || *value == '\0') continue;
    const std::string_view locale = value;
    return locale.find("UTF-8") != std::string_view::npos ||
           locale.find("utf8") != std::string_view::npos;
  }
  return false;
}

bool draws_colours() {
  const char* no_colour = std::getenv("NO_COLOR");  // NOLINT(concurrency-mt-unsafe)
  return no_colour == nullptr || *no_colour == '\0';
}

std::uint64_t now_ms() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                        os::SystemClock().realtime_now().time_since_epoch())
                                        .count());
}

ExitCode exit_of(const std::string& phase) {
  if (phase == "undone" || phase == "superseded") return ExitCode::undone;
  return phase == "failed" ? ExitCode::failed : ExitCode::done;
}

bool is_over(const std::string& phase) {
  return phase == "done" || phase == "undone" || phase == "failed" || phase == "superseded";
}

std::vector<std::string> texts_of(const std::vector<ScreenLine>& lines, bool coloured) {
  std::vector<std::string> texts;
  for (const auto& line : lines) texts.push_back(coloured ? coloured_text(line) : plain_text(line));
  return texts;
}

std::string path_of(const std::string& rollout, std::size_t instances) {
  return fmt::format("/v1/rollouts/{}?instances={}", url_escaped(rollout), instances);
}

// What is shown of each look at the rollout, until it is over or the user has seen enough.
class Watch {
 public:
  Watch(Output& output, const ServerClient& server, const FleetOptions& options)
      : output_(output),
        server_(server),
        rollout_(options.rollout),
        is_live_(!output.json() && !options.log && ::isatty(STDOUT_FILENO) == 1) {}

  ExitCode run() {
    while (true) {
      auto answer = server_.ask("GET", path_of(rollout_, kMaxInstances), nullptr,
                                [this] { return signals_.has_to_end(); });
      if (signals_.has_to_end()) return leave();
      if (answer) {
        unheard_ = 0;
        progress_ = *std::move(answer);
        show();
        const std::string phase = text_of(progress_, "phase");
        if (is_over(phase)) return end(exit_of(phase), fmt::format("{} is {}", rollout_, phase));
      } else if (const bool may_pass = answer.error().code() == ErrorCode::unavailable ||
                                       answer.error().code() == ErrorCode::deadline_exceeded;
                 !may_pass || ++unheard_ > kMaxUnheard) {
        screen_.close();
        return output_.fail(answer.error());
      } else {
        trouble(answer.error().message());
      }
      if (!pause() || std::ferror(stdout) != 0) return leave();
    }
  }

 private:
  // False: the user has seen enough.
  bool pause() {
    const auto until = os::SystemClock().monotonic_now() + std::chrono::milliseconds(kPauseMs);
    while (true) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          until - os::SystemClock().monotonic_now());
      switch (signals_.wait(static_cast<int>(std::max<std::int64_t>(left.count(), 0)))) {
        case WatchSignals::Kind::end:
          return false;
        case WatchSignals::Kind::suspend:
          screen_.close();
          signals_.suspend();
          [[fallthrough]];
        case WatchSignals::Kind::resize:
          draw();
          break;
        case WatchSignals::Kind::none:
          if (left.count() <= 0) return true;
          break;
      }
    }
  }

  void show() {
    if (is_live_) {
      trouble_.clear();
      return draw();
    }
    const std::uint64_t at_ms = now_ms();
    if (std::exchange(is_unheard_, false)) tell_server("answers again", at_ms);
    for (const auto& change : changes_.look(progress_)) {
      if (output_.json()) output_.print_json(change.json(at_ms));
      output_.print(change.line(at_ms));
    }
  }

  void trouble(const std::string& text) {
    trouble_ = text;
    if (is_live_) return draw();
    if (!std::exchange(is_unheard_, true)) tell_server(text, now_ms());
  }

  void tell_server(const std::string& text, std::uint64_t at_ms) {
    const RolloutChange change{
        .what = "server", .subject = "", .text = shown_text(text), .now = text};
    if (output_.json()) output_.print_json(change.json(at_ms));
    output_.print(change.line(at_ms));
  }

  void draw() {
    if (!is_live_) return;
    const LiveScreen::Size size = LiveScreen::size();
    std::vector<ScreenLine> lines;
    const std::size_t rows = size.rows - (trouble_.empty() || size.rows < 2 ? 0 : 1);
    if (!progress_.is_null()) lines = tree(size.columns, rows);
    if (!trouble_.empty()) {
      lines.push_back(cut_line({{"the server does not answer: " + shown_text(trouble_), Tone::bad}},
                               size.columns, "~"));
    }
    screen_.draw(texts_of(lines, draws_colours()));
  }

  [[nodiscard]] std::vector<ScreenLine> tree(std::size_t columns, std::size_t rows) const {
    return rollout_tree(
        progress_, {.columns = columns, .rows = rows, .is_utf8 = draws_utf8(), .now_ms = now_ms()});
  }

  // The last tree stays below what was there before.
  ExitCode end(ExitCode exit, const std::string& text) {
    screen_.close();
    if (is_live_ && !progress_.is_null()) {
      for (const auto& line : texts_of(tree(LiveScreen::size().columns, 0), draws_colours())) {
        output_.print(line);
      }
    }
    return output_.finish(exit, text);
  }

  ExitCode leave() {
    const std::string phase = progress_.is_null()
                                  ? "not known"
                                  : phase_text(progress_) + " as far as was seen, and goes on";
    return end(ExitCode::unknown,
               fmt::format("{} is not watched any more; it is {}", rollout_, phase));
  }

  Output& output_;
  const ServerClient& server_;
  const std::string rollout_;
  const bool is_live_;
  WatchSignals signals_;
  LiveScreen screen_;
  RolloutChanges changes_;
  Json progress_;
  int unheard_ = 0;
  bool is_unheard_ = false;
  std::string trouble_;
};

}  // namespace

ExitCode show_rollout(const Context& context) {
  Output& output = context.output;
  const std::string& rollout = context.arguments.fleet.rollout;
  const auto server = ServerClient::open(context.arguments.fleet);
  if (!server) return output.fail(server.error());
  if (context.arguments.command == Command::rollout_watch) {
    return Watch(output, *server, context.arguments.fleet).run();
  }
  const auto progress = server->ask("GET", path_of(rollout, kMaxInstances));
  if (!progress) return output.fail(progress.error());
  const bool coloured = ::isatty(STDOUT_FILENO) == 1 && draws_colours();
  return show(
      output, *progress,
      texts_of(rollout_tree(*progress, {.is_utf8 = draws_utf8(), .now_ms = now_ms()}), coloured));
}

}  // namespace segue::cli
