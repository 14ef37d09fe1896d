// SPDX-License-Identifier: Apache-2.0
// What happens next to the commits of all repositories: which are built, in which order, and what
// becomes of each. Pure: what has to be done comes back as commands, in their order.
//
// Crash-only: a command is given only after a `save` of the record that tells of it. Whoever starts
// again from the saved records does each command at least once, and finds each commit in one
// record.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "builder/record.h"

namespace segue::builder {

inline constexpr std::int64_t kAskAgainS = 20;    // whether a build that is held may be published
inline constexpr std::uint32_t kMaxAttempts = 3;  // more often a build does not outlive its builder

// Write the record, durably, before the next command.
struct Save {
  Record record;
};
// Run this stage of the build; end_stage() tells how it went.
struct RunStage {
  std::uint64_t id;
  Stage stage;  // preparing to confirming
};
// The build has ended: its working copy can go.
struct Discard {
  std::uint64_t id;
};
// Its status has changed: say it to those who asked.
struct Tell {
  std::uint64_t id;
};
using Command = std::variant<Save, RunStage, Discard, Tell>;
using Commands = std::vector<Command>;

struct StageResult {
  bool good = false;
  std::string why;  // of a failure
  // publishing: refused until then, seconds since 1970. It is tried again with what was built.
  std::optional<std::int64_t> frozen_until_s;
  // preparing: what segue.yaml says of the commit.
  std::string component;
  std::string version;
  // confirming: whether the release is there. good is whether that could be found out.
  bool published = false;
};

struct Sighting {
  std::string repository;
  std::string ref;
  std::vector<std::string> commits;  // oldest first
};

class Decider {
 public:
  struct Settings {
    std::size_t max_waiting = 64;  // records that are queued or held
  };

  explicit Decider(Settings settings) : settings_(settings) {}

  // As they were saved, in any order, once and before everything else. A build that was under way
  // goes back to the queue.
  Commands restore(std::vector<Record> records);

  struct Accounted {
    std::size_t count = 0;  // so many of `commits` have a record now, from the oldest on
    Commands commands;
  };
  // Commits that were seen. When the queue is full the later ones are not taken: show them again
  // when room() says that there is some.
  Accounted account_for(const Sighting& sighting, std::int64_t now_s);
  [[nodiscard]] std::size_t room() const;

  // Begins the next build where none is under way, or publishes one that was held and may be
  // asked for again; nothing to do gives no commands.
  Commands begin_next(std::int64_t now_s);
  // The stage of the build under way has ended. `may_publish`: whether this ref is published.
  Commands end_stage(const StageResult& result, bool may_publish, std::int64_t now_s);

  // The builder ends because it was asked to: the build under way is no attempt.
  Commands interrupt();

  // What was delivered: saved, so that it is not said again.
  Commands note_delivered(std::uint64_t id, Status status);
  Commands told_delivered(std::uint64_t id, Status status);

  [[nodiscard]] const Record* find(std::uint64_t id) const;
  [[nodiscard]] const Record* find(const std::string& repository, const std::string& commit) const;
  [[nodiscard]] std::optional<std::uint64_t> under_way() const { return under_way_; }
  [[nodiscard]] std::size_t waiting() const { return queue_.size(); }
  // At most one of each repository.
  [[nodiscard]] std::size_t held() const { return held_.size(); }
  // The oldest ended builds beyond `keep`; they are forgotten.
  std::vector<std::uint64_t> forget_beyond(std::size_t keep);

 private:
  Commands end(Record& record, Verdict verdict, std::string why, std::int64_t now_s);
  Commands publish_again(std::uint64_t id);
  Commands hold(Record& record, const StageResult& result, std::int64_t now_s);
  Commands move_to(Record& record, Stage stage);
  Commands resume(Record& record);

  Settings settings_;
  std::map<std::uint64_t, Record> records_;
  std::map<std::pair<std::string, std::string>, std::uint64_t> ids_;  // by repository and commit
  std::set<std::uint64_t> queue_;
  std::map<std::uint64_t, std::int64_t> held_;  // when each is tried again
  std::optional<std::uint64_t> under_way_;
  std::uint64_t next_id_ = 1;
};

}  // namespace segue::builder
