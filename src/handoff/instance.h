// SPDX-License-Identifier: Apache-2.0
// What stands behind segue_instance: ties inventory, meeting, keeper channel and the two sides of a
// handoff to the service's callbacks.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "handoff/departure.h"
#include "handoff/host.h"
#include "handoff/keeper_channel.h"
#include "handoff/lone_meeting.h"
#include "handoff/loss_survey.h"
#include "handoff/poller.h"
#include "handoff/predecessor.h"
#include "handoff/successor.h"

namespace segue::handoff {

class Instance : public Host, public KeeperOrders {
 public:
  Instance(const segue_options& options, const segue_callbacks& callbacks, void* user);
  // Copies what the caller knows of the structures, and checks it.
  static Status validate(const segue_options& given_options, const segue_callbacks& given_callbacks,
                         segue_options& options, segue_callbacks& callbacks);

  Status start();
  int dispatch();
  [[nodiscard]] int fd() const { return poller_.fd(); }
  [[nodiscard]] bool started() const { return started_; }
  [[nodiscard]] bool poller_valid() const { return poller_.valid(); }

  struct Declared {
    std::string name;
    std::string address;
    int backlog = 0;
  };
  std::vector<Declared> declared_listeners;
  void listener_added(const std::string& name);
  void listener_removed(const std::string& name);
  Status cast_vote(bool good, const std::string& why);
  // Ends a handoff under way as predecessor; for a service that is about to end by itself.
  void stop();
  // The service's callbacks may be running: it must not be freed.
  [[nodiscard]] bool in_callbacks() const { return in_callbacks_; }
  Status open_loop(const std::string& name, segue_loop*& loop);
  Status open_operations(const std::string& name, const segue_operations_ops& ops, void* user,
                         segue_operations*& operations);
  std::string error = "no error so far";

  // Host
  Inventory& inventory() override { return inventory_; }
  OwnerPage& page() override { return page_; }
  OwnerName me() const override { return me_; }
  void set_me(OwnerName name) override { me_ = name; }
  const std::string& service() const override { return service_; }
  const std::string& version() const override { return version_; }
  segue_progress& progress() override { return progress_; }
  void report(AttemptRole role, uint64_t attempt, KeeperEvent event, uint64_t number,
              const std::string& text) override;
  void progressed(AttemptRole role, uint64_t attempt) override;
  Status provide_missing(bool anew) override;
  Status listener_arrived(const std::string& name, int fd) override;
  Status descriptor_arrived(const std::string& name, int fd) override;
  bool freeze() override;
  bool has_release() const override { return callbacks_.release != nullptr; }
  bool release() override;
  void resume(segue_resume_reason reason, bool released) override;
  bool check(std::string& why) override;
  bool check_left_arenas(std::string& why) override;
  bool acquire() override;
  void yield() override;
  void activate(bool first, uint32_t epoch, uint64_t blackout_ns) override;
  void terminate(segue_end_reason reason) override;
  bool has_replay_note() const override { return callbacks_.replay_note != nullptr; }
  void replay_note(uint32_t tag, const void* data, size_t size) override {
    callbacks_.replay_note(user_, tag, data, size);
  }
  int lock_fd() const override;
  void take_lock(UniqueFd fd) override;
  bool alone() const override { return keeper_ == nullptr; }
  bool seek_again() override;
  Status end_peer(const Terms& terms, int pidfd, OwnerName other) override;
  uint64_t keeper_silent_ns(uint64_t now) const override;
  bool handing_over() const override { return predecessor_ != nullptr; }

  // KeeperOrders
  void start_first(OwnerName name, OwnerPage page, NamedFds stored) override;
  void begin_attempt(AttemptRole role, const Terms& terms, UniqueFd link, OwnerPage page,
                     UniqueFd peer_pidfd) override;
  void keeper_commits(uint64_t attempt) override;
  void keeper_aborts(uint64_t attempt, const std::string& why) override;
  void keeper_ends(segue_end_reason reason) override;
  void keeper_can_be_found(Rendezvous rendezvous) override;
  void keeper_releases() override;
  void keeper_surveys(uint64_t number, std::string_view items) override;
  std::string items() const override;
  bool serving() const override;
  size_t connection_count() const override { return inventory_.connections.count(); }
  void describe(segue_writer& out) const override;
  const Terms& own_terms() const override { return terms_; }

 private:
  // Of an entry point that may call the service, as long as it runs.
  class InCallbacks {
   public:
    explicit InCallbacks(Instance& instance)
        : instance_(instance), before_(std::exchange(instance.in_callbacks_, true)) {}
    ~InCallbacks() { instance_.in_callbacks_ = before_; }
    InCallbacks(const InCallbacks&) = delete;
    InCallbacks& operator=(const InCallbacks&) = delete;

   private:
    Instance& instance_;
    bool before_;
  };

  [[nodiscard]] Status check_on_crash() const;
  Status meet_alone(const std::string& directory);
  void met(UniqueFd link, UniqueFd pidfd, const std::string& nonce);
  Status become_first();
  Status announce_listeners();
  void begin_predecessor(UniqueFd link, UniqueFd pidfd, Terms terms);
  void begin_successor(UniqueFd link, UniqueFd pidfd, Terms terms);
  void run_timers();
  [[nodiscard]] bool seeks_keeper() const;
  [[nodiscard]] bool wants_next_keeper() const { return seeks_keeper() || seeks_fence(); }
  [[nodiscard]] bool seeks_fence() const { return fence_ && rejoin_ && !keeper_ && !ended_; }
  void rejoin_keeper(uint64_t now);
  void ask_next_keeper(uint64_t now);
  void leave_keeper();
  [[nodiscard]] bool surveys() const { return survey_ && !survey_waits_; }
  void work_on_survey();
  void find_directory();
  void settle();
  void settle_meeting();
  void see_off_predecessor();
  void watch_departure(uint64_t now);
  void settle_departure();
  void tell_lingering(uint64_t lingers_ns);
  template <typename Side>
  void watch_side(Side& side);
  void forget_side(int link_fd, int pidfd);
  void forget_predecessor() {
    forget_side(predecessor_->link_fd(), predecessor_->pidfd());
    predecessor_.reset();
  }
  void note(const std::string& text) { error = text; }

  segue_callbacks callbacks_;
  void* user_;
  std::string service_;
  std::string version_;
  std::string directory_;
  std::string flag_;
  bool successor_listens_;
  uint64_t poll_ns_;
  Terms terms_;

  Inventory inventory_;
  Poller poller_;
  OwnerPage page_;
  OwnerName me_ = kNobody;
  segue_progress progress_{};
  uint64_t progressed_ns_ = 0;
  uint32_t progressed_phase_ = 0;
  bool started_ = false;
  bool ended_ = false;
  bool in_callbacks_ = false;
  bool attempt_failed_ = false;  // since dispatch() began

  std::unique_ptr<KeeperChannel> keeper_;
  std::unique_ptr<KeeperRejoin> rejoin_;
  UniqueFd inherited_lock_;  // came with the keeper's channel
  // The keeper is to end the other side of the handoff under way.
  struct Fence {
    uint64_t attempt = 0;
    OwnerName other = kNobody;
    uint64_t asked_ns = 0;
  };
  std::optional<Fence> fence_;
  bool released_ = false;  // the keeper is to be left at the next settle()
  std::unique_ptr<LoneMeeting> meeting_;
  int watched_listener_ = -1;
  uint64_t watched_serial_ = 0;
  bool serve_meeting_ = false;  // at the next settle()
  std::unique_ptr<Predecessor> predecessor_;
  std::unique_ptr<Successor> successor_;
  std::unique_ptr<Departure> departure_;  // of the predecessor, after the commit
  std::unique_ptr<LossSurvey> survey_;
  bool survey_waits_ = false;  // for one of the service's loops
};

}  // namespace segue::handoff

struct segue_instance final : segue::handoff::Instance {
  using Instance::Instance;
};
