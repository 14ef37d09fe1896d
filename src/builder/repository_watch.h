// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "builder/git.h"
#include "builder/workshop.h"

namespace segue::builder {

// Looks at one repository, when it is time to or when it is told to, and gives the commits that are
// new to the decider. Also writes the notes there, so that only one git works in a mirror.
class RepositoryWatch {
 public:
  static constexpr base::Duration kRetryWait = std::chrono::seconds(15);  // after a failed look
  static constexpr std::uint32_t kMaxNoteTries = 5;
  static constexpr base::Duration kFirstNoteWait = std::chrono::seconds(1);  // then twice as long …
  static constexpr std::size_t kMaxNotices = 256;  // the others stay in the spool

  // `workshop` outlives it.
  RepositoryWatch(Workshop& workshop, std::string name, const RepositoryConfig& config);
  ~RepositoryWatch();
  RepositoryWatch(const RepositoryWatch&) = delete;
  RepositoryWatch& operator=(const RepositoryWatch&) = delete;

  // Looks now, and then as often as the configuration says.
  base::Result<void> start();
  // A notice in the spool, which is removed once its commits have their records.
  void take(const std::string& file, const Notice& notice);
  // The status of this build stands in its commit's note soon.
  void write_note(std::uint64_t id);
  // There is room in the queue.
  void room_again();

  // Nothing is left to do before the next look.
  [[nodiscard]] bool is_idle() const;
  [[nodiscard]] bool has_failed() const { return !seen_.error.empty(); }

 private:
  struct Target {
    std::string ref;
    std::string commit;
    bool is_tip = false;  // the ref names it now
  };
  struct Noticed {
    std::string file;
    Notice notice;
  };

  void go_on();
  void look();
  void fetched(const StepEnd& end);
  void find_commits();
  void found_commits(const StepEnd& end);
  void end_look();
  void look_failed(const std::string& why);
  void write_next_note();
  void note_written(std::uint64_t id, Status status, const StepEnd& end);
  void save_seen();
  void look_at(base::MonotonicTime at);
  void run(Words argv, std::function<void(const StepEnd&)> on_end);

  Workshop& workshop_;
  std::string name_;
  const RepositoryConfig& config_;
  RefsSeen seen_;
  bool look_wanted_ = false;
  bool is_looking_ = false;
  bool is_spool_left_ = false;          // there are more notices than were taken
  bool is_ending_ = false;              // a step: what it came to is not yet known
  std::set<std::string> without_room_;  // commits of this look
  std::optional<os::EpollLoop::TimerId> timer_;
  std::optional<os::EpollLoop::TimerId> note_timer_;  // until then no note is tried
  std::map<std::string, Notice> waiting_;             // by file
  std::vector<Noticed> looked_for_;                   // in this look
  std::deque<Target> targets_;
  std::map<std::uint64_t, std::uint32_t> notes_;  // by build: how often it was tried
  std::unique_ptr<Step> step_;
};

}  // namespace segue::builder
