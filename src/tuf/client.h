// SPDX-License-Identifier: Apache-2.0
// The client workflow (specification 1.0, section 5) as a state machine without I/O. Whoever drives
// it carries out one command after the other and reports what came of it:
//
//   for (Command command = client.refresh(now);;) {
//     if (is_last(command)) break;
//     command = client.on(carry_out(command));
//   }
//
// Metadata is persisted only after it was verified, and before anything that builds on it is asked
// for. Whatever fails, what was persisted stays good, and the next refresh begins from there.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/error.h"
#include "tuf/trusted_metadata.h"

namespace segue::tuf {

struct ClientLimits {
  std::uint32_t max_root_updates = 256;  // in one refresh; it goes on with the last of them
  std::uint32_t max_delegations = 32;    // roles looked at for one target
  std::size_t max_root_bytes = std::size_t{512} << 10;
  std::size_t max_timestamp_bytes = std::size_t{16} << 10;
  std::size_t max_snapshot_bytes = std::size_t{2} << 20;
  std::size_t max_targets_bytes = std::size_t{5} << 20;
};

// ---- What the client asks for

// What was persisted for the role: Bytes or Absent. Longer than `max_bytes` is Absent, save root.
struct Load {
  std::string role;
  std::size_t max_bytes = 0;
};
// This file of the repository's metadata, whole: Bytes, Absent or Broken. `file` is to be used as
// it is, behind the repository's URL: it is encoded already. More than `max_bytes` is Broken.
struct Fetch {
  std::string file;
  std::size_t max_bytes = 0;
};
// To keep, durably, in place of what was kept for the role: Finished or Broken.
struct Persist {
  std::string role;
  std::string bytes;
};
// To keep nothing for the role any more: Finished or Broken.
struct Forget {
  std::string role;
};
// A refresh is done, or found() holds the target.
struct Done {};
// Nothing was believed that was not verified. not_found after find(): there is no such target.
struct Failed {
  base::Error error;
};
using Command = std::variant<Load, Fetch, Persist, Forget, Done, Failed>;

[[nodiscard]] bool is_last(const Command& command);

// ---- What it is told

struct Bytes {
  std::string bytes;
};
struct Absent {};
struct Finished {};
struct Broken {
  base::Error error;
};
using Event = std::variant<Bytes, Absent, Finished, Broken>;

// The name of a role's file where it is persisted: "root.json", "..%2Frole.json".
std::string file_name_of(std::string_view role);

struct FoundTarget {
  std::string path;
  TargetFile file;
  std::string role;  // that describes it

  // Behind the URL of the targets; encoded. With `consistent` its digest stands before its name.
  [[nodiscard]] std::string location(bool consistent) const;
};

class Client {
 public:
  explicit Client(ClientLimits limits = {}) : limits_(limits) {}

  // Begins, from what is persisted; a root has to be. `now` holds for the refresh and for all
  // that is found after it.
  Command refresh(Time now);
  // After a refresh that is Done, any number of times.
  Command find(const std::string& target_path);
  // Likewise, but all of the first delegated role that is trusted with the path, whether that
  // describes it or not: found_role(); found() holds nothing.
  Command find_role(const std::string& target_path);
  // The answer to the last command.
  Command on(Event event);

  [[nodiscard]] bool is_fresh() const { return fresh_; }
  // What the last find() came to.
  [[nodiscard]] const std::optional<FoundTarget>& found() const { return found_; }
  // All that the role says which describes it.
  [[nodiscard]] const Targets& found_role() const { return found_role_; }
  // Only while is_fresh().
  [[nodiscard]] const TrustedMetadata& trusted() const { return *trusted_; }
  [[nodiscard]] const Targets& targets() const { return targets_; }

 private:
  enum class Step {
    idle,
    root_load,
    root_fetch,
    root_forget_timestamp,
    root_forget_snapshot,
    root_persist,
    timestamp_load,
    timestamp_fetch,
    timestamp_persist,
    snapshot_load,
    snapshot_fetch,
    snapshot_persist,
    role_load,
    role_fetch,
    role_persist,
  };
  // A role that may know the target, and who says so; the top-level one has no delegator.
  struct Visit {
    std::string role = std::string(kTargets);
    std::shared_ptr<const Delegations> delegator;
    std::size_t index = 0;  // in the delegator's roles
  };

  Command ask(Step step, Command command);
  Command stop(base::Error error, std::string_view doing);
  Command persist(Step step, std::string_view role, std::string bytes);

  Command on_root(Event& event);
  Command on_timestamp(Event& event);
  Command on_snapshot(Event& event);
  Command on_role(Event& event);

  Command load_first_root(Event& event);
  Command fetch_root();
  Command take_root(Event& event);
  Command end_roots();
  Command take_timestamp(Event& event);
  Command load_snapshot();
  Command fetch_snapshot();
  Command load_role(Visit visit);
  Command fetch_role();
  [[nodiscard]] base::Result<Targets> check_role(const std::string& bytes) const;
  Command accept_role(Targets targets);
  Command search(const Targets& targets);
  Command next_visit();

  ClientLimits limits_;
  Step step_ = Step::idle;
  bool fresh_ = false;
  Time now_{};
  std::optional<TrustedMetadata> trusted_;
  std::uint32_t root_updates_ = 0;
  std::string pending_bytes_;  // verified, not yet persisted
  Targets pending_targets_;    // what they say, if they are a role's
  Targets targets_;            // the top-level role
  std::optional<FoundTarget> found_;
  Targets found_role_;

  // One search
  std::string target_path_;
  bool wants_role_ = false;
  Visit visit_;
  std::vector<Visit> to_visit_;  // the last comes first
  std::set<std::string> visited_;
};

}  // namespace segue::tuf
