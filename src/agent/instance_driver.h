// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/command_lane.h"
#include "agent/component_commands.h"
#include "agent/health_probe.h"
#include "agent/keeper_query.h"
#include "base/log.h"
#include "reconcile/decider.h"

namespace segue::agent {

// Carries out what is decided about one instance, one change after the other, and tells what it
// sees of it meanwhile.
class InstanceDriver {
 public:
  static constexpr base::Duration kLookEvery = std::chrono::seconds(3);
  static constexpr base::Duration kLookLimit = std::chrono::seconds(20);
  static constexpr base::Duration kStageLimit = std::chrono::hours(24);
  static constexpr base::Duration kSwitchLimit = std::chrono::minutes(10);
  static constexpr base::Duration kActionLimit = std::chrono::hours(2);
  static constexpr base::Duration kShareLimit = std::chrono::seconds(30);
  // How long a keeper may take to start again what it has, before it is stopped and another is.
  static constexpr base::Duration kRestLimit = std::chrono::seconds(30);
  static constexpr base::Duration kRestPause = std::chrono::milliseconds(250);

  // Of the component's revision; null: it is not known here.
  using FindSpec = std::function<const fleet::ComponentSpec*(fleet::Revision revision)>;
  using Tell = std::function<void(reconcile::Event event)>;

  // All outlive it. `tell` is never called from within a call of the driver.
  InstanceDriver(os::EpollLoop& loop, const os::Clock& clock, const base::Log& log,
                 HealthMeans& means, reconcile::InstanceKey key, InstanceHome home,
                 std::vector<std::string> environment, FindSpec find_spec, Tell tell);
  ~InstanceDriver();
  InstanceDriver(const InstanceDriver&) = delete;
  InstanceDriver& operator=(const InstanceDriver&) = delete;

  // From now on it looks again and again.
  void start() { look(); }

  void carry_out(const reconcile::Stage& command);
  void carry_out(const reconcile::Act& command);
  void carry_out(const reconcile::Restore& command);
  void carry_out(const reconcile::LookUp& command);
  void carry_out(const reconcile::SetShare& command);
  void carry_out(const reconcile::CheckHealth& command);

 private:
  void later(std::function<void()> call);
  void tell(reconcile::Event event);

  void ask_keeper(std::function<void(const base::Result<Status>&)> take);
  void look();
  void looked(const base::Result<Status>& status, std::uint64_t changes);
  void changes();
  void say_seen();
  [[nodiscard]] std::set<fleet::Revision> staged() const;
  base::Result<void> link(fleet::Revision revision) const;
  void unlink(fleet::Revision revision) const;
  // Of a container's revision: a file that says which image it is.
  [[nodiscard]] std::string image_of(fleet::Revision revision) const;
  base::Result<void> keep_image(fleet::Revision revision, const ChildRun::Result& result) const;
  // What the revision's program was when its tree went live; empty: it is not known.
  [[nodiscard]] std::string program_of(fleet::Revision revision) const;
  base::Result<void> keep_program(fleet::Revision revision, const std::string& digest) const;
  // The one or the other.
  [[nodiscard]] std::string digest_of(const fleet::ComponentSpec& spec,
                                      fleet::Revision revision) const;

  // That serves now; empty: it is not known.
  [[nodiscard]] std::string serving_container() const;

  void stage_image(fleet::Revision revision, const fleet::ComponentSpec& spec);
  void staged(fleet::Revision revision, const ChildRun::Result& result,
              const base::Result<void>& linked);
  // What is there before the program is started: the tree is live, the image is in the engine.
  void prepare(const fleet::ComponentSpec& spec, fleet::Revision revision, Words switch_tree,
               CommandLane::Take then);
  // `switched`: how the tree went live; refused where which program it has cannot be kept.
  ChildRun::Result know_program(fleet::Revision revision, const ChildRun::Result& switched) const;

  // Something may run by now, or be about to: after a crash, and after an upgrade that failed, its
  // keeper starts what it has.
  void start_once_rested(const reconcile::Intent& intent, const fleet::ComponentSpec& spec,
                         base::MonotonicTime rests_until);
  void start_over(const reconcile::Intent& intent, const fleet::ComponentSpec& spec,
                  fleet::Revision serves);
  void start_instead(const reconcile::Intent& intent, const fleet::ComponentSpec& spec);
  void start_program(const reconcile::Intent& intent, const fleet::ComponentSpec& spec);
  void hand_over(const reconcile::Intent& intent, const fleet::ComponentSpec& spec);
  void upgrade(const reconcile::Intent& intent, const fleet::ComponentSpec& spec,
               const std::string& old_version);
  // `problem`: why the tree of that version is still live; empty: it is not.
  void put_tree_back(const std::string& version,
                     std::function<void(const std::string& problem)> then);
  void stop(const reconcile::Intent& intent);
  void stop_now(const reconcile::Intent& intent);
  void end(const reconcile::Intent& intent, Answer answer);
  void look_up(const reconcile::LookUp& command, const Status& status);
  void tell_looked(const reconcile::Intent& intent, const reconcile::LookedUp& looked);

  os::EpollLoop& loop_;
  const os::Clock& clock_;
  const base::Log& log_;
  const reconcile::InstanceKey key_;
  HealthMeans& means_;
  const InstanceHome home_;
  const std::vector<std::string> environment_;
  FindSpec find_spec_;
  Tell tell_;
  CommandLane actions_;
  CommandLane staging_;
  CommandLane looking_;
  CommandLane sharing_;
  std::list<KeeperQuery> queries_;  // under way
  std::optional<os::EpollLoop::TimerId> look_timer_;
  bool looks_ = false;  // one is under way
  std::uint64_t changes_ =
      0;  // begun or ended; what was looked at before one says nothing after it
  std::optional<Status> status_;
  std::unique_ptr<HealthProbe> probe_;
  std::optional<fleet::Revision> probed_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace segue::agent
