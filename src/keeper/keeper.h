// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "handoff/link.h"
#include "handoff/owner_page.h"
#include "health/health_check.h"
#include "keeper/attempt_slots.h"
#include "keeper/command_line.h"
#include "keeper/component.h"
#include "keeper/contract/program_host.h"
#include "keeper/control_server.h"
#include "keeper/instance_channel.h"
#include "keeper/left_processes.h"
#include "keeper/metrics.h"
#include "keeper/metrics_server.h"
#include "keeper/output_files.h"
#include "keeper/relay.h"
#include "keeper/replacement.h"
#include "keeper/report.h"
#include "keeper/reunion.h"
#include "keeper/rotating_log.h"
#include "keeper/saved_state.h"
#include "keeper/service_manager.h"
#include "os/clock.h"
#include "os/epoll_loop.h"
#include "os/process.h"

namespace segue::keeper {

// The locks that say whether a keeper, and whether an instance, of the component is alive.
struct ComponentLocks {
  os::UniqueFd keeper;           // held by this process
  os::UniqueFd instances;        // shared with every instance
  bool instances_alive = false;  // of a keeper that has died: they hold that lock
};
struct ComponentPaths {
  std::string runtime;  // the component's own folders
  std::string state;
};
// Makes and checks the folders; failed_precondition when another keeper is alive: the text says
// which, and what to do.
base::Result<ComponentLocks> lock_component(const ComponentPaths& paths, const std::string& name);
// Instances live that no new keeper can adopt.
base::Error instances_in_the_way(const ComponentPaths& paths, const std::string& name,
                                 std::string_view why);

// What the last keeper has written down; of another boot it is failed_precondition.
base::Result<SavedState> read_saved_state(const ComponentPaths& paths);
// Whether a dead keeper has left programs that do not link libsegue: they may not hold its locks.
bool programs_are_left(const ComponentPaths& paths);

// Carries out what the Decider decides: processes, sockets, files, timers.
class Keeper {
 public:
  static base::Result<std::unique_ptr<Keeper>> create(const os::Clock& clock, CommandLine line,
                                                      ComponentPaths paths, ComponentLocks locks,
                                                      std::vector<std::string> environment);
  // Goes on where another program of this process stopped (keeper_succession.cc).
  static base::Result<std::unique_ptr<Keeper>> resume(const os::Clock& clock, SavedState state,
                                                      ComponentPaths paths,
                                                      std::vector<std::string> environment);
  // Goes on with the instances that a dead keeper has left (keeper_adoption.cc); blocks until they
  // have come. not_found: nobody serves any more, and nothing was done.
  static base::Result<std::unique_ptr<Keeper>> adopt(const os::Clock& clock, CommandLine line,
                                                     ComponentPaths paths, ComponentLocks& locks,
                                                     std::vector<std::string> environment);
  ~Keeper();
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  // Until the component has stopped.
  base::Result<control::ExitCode> run();

 private:
  static constexpr std::size_t kMaxListeners = 252;  // K_START: one message, with the page
  static constexpr std::size_t kMaxEvents = 1'000;   // remembered for `segue events`
  static constexpr std::size_t kMaxHistory = 200;    // … and for `segue history`
  static constexpr base::Duration kProgressInterval = std::chrono::milliseconds(100);
  static constexpr base::Duration kHousekeepingInterval = std::chrono::seconds(5);
  static constexpr base::Duration kFarewellLimit = std::chrono::seconds(2);

  struct Process {
    handoff::Link channel;
    os::Child child;
    handoff::OwnerName owner_name = handoff::kNobody;
    bool channel_open = true;
    bool wants_write = false;
    bool is_child = true;  // otherwise how it ends is not known
    std::uint64_t start_ticks = 0;
  };

  Keeper(const os::Clock& clock, CommandLine line, ComponentPaths paths, ComponentLocks locks,
         std::vector<std::string> environment, os::EpollLoop loop);
  base::Result<void> prepare();
  void keep_for_libsegue(std::vector<KeptFd>& kept);
  base::Result<void> bind_for_libsegue();
  base::Result<void> watch_signals();

  // Events
  void post(Event event) { events_.push_back(std::move(event)); }
  void settle();
  void schedule();
  [[nodiscard]] Ownership ownership() const;
  [[nodiscard]] Now now() const { return {clock_.monotonic_now(), clock_.realtime_now()}; }

  // Instances
  void on_channel(Generation generation);
  void read_channel(Generation generation);
  void close_channel(Generation generation, const std::string& why);
  void on_exit(Generation generation);
  void bury(Generation generation);
  void bury_the_dead_beside(Generation generation);
  void store(std::vector<Stored> listeners);
  void send(Generation generation, handoff::FrameType type, std::string_view payload,
            std::span<const int> fds = {});
  base::Result<void> spawn(const Spawn& command);
  base::Result<void> send_attempt(const SendAttempt& command);
  void write_instances_file() const;
  // Programs that do not link libsegue (keeper_programs.cc)
  base::Result<void> prepare_programs(ProgramBelongings belongings);
  base::Result<void> spawn_program(const Spawn& command, os::SpawnOptions options);
  base::Result<void> watch_end(Generation generation);
  [[nodiscard]] bool links_libsegue() const;
  [[nodiscard]] bool is_detecting() const;  // what the program can do is not known yet
  void found_libsegue();
  void adopt_process(Generation from, Generation as, pid_t pid);
  // Instances that are not what was started: in a container, or behind a wrapper
  // (keeper_starters.cc)
  void note_sender(Generation generation, handoff::MessageOrigin sender);
  void on_starter_exit(Generation generation);
  base::Result<void> keep_starter(Generation generation, os::Child starter);
  [[nodiscard]] base::Result<std::optional<os::ExitStatus>> end_of(Generation generation) const;
  void fence(Generation generation, handoff::OwnerName other);

  [[nodiscard]] std::unique_ptr<Decider> make_decider(Generation last_generation) const;
  base::Result<os::SpawnOptions> spawn_options(const Spawn& command, os::UniqueFd& output);
  [[nodiscard]] handoff::OwnerName name_owner(Generation generation);

  // Commands
  void execute(const Spawn& command);
  void execute(const SendStart& command);
  void execute(const SendAttempt& command);
  void execute(const SendCommit& command);
  void execute(const SendAbort& command);
  void execute(const SendEnd& command);
  void execute(const SendRelease& command);
  void execute(const SendPing& command);
  void execute(const Signal& command);
  void execute(const RaisePriority& command);
  void execute(const Vacate& command);
  void execute(const CheckHealth& command);
  void execute(const ProgramOrder& command);
  void execute(const Finish& command);
  void execute(const ShowProgress& command);
  void execute(const ShowQueued& command);
  void execute(const Step& command);
  void execute(const Record& command);
  void execute(const FaultPoint& command);
  void execute(const LetGo& command);
  void execute(const Leave& command);

  // Requests
  void on_request(RequestId id, base::Result<control::Request> request);
  void answer_status(RequestId id);
  void answer_history(RequestId id);
  void answer_sockets(RequestId id);
  void answer_events(RequestId id, const control::ParsedRequest& request);
  // Figures (keeper_metrics.cc)
  [[nodiscard]] std::string metrics_text() const;
  void start_metrics();
  void answer_metrics(RequestId id);
  // What the owner has registered, asked of it
  void ask_registered(RequestId id);
  void answer_registered(const PongReceived& pong);
  void end_request(RequestId id, control::ExitCode exit, const std::string& text);
  // Room on the host, and turns (keeper_admission.cc)
  struct Admission {
    RequestId request = 0;
    Event event;
    control::AttemptOptions options;
    base::MonotonicTime since{};
    std::string told;  // whom it waits for
  };
  void admit(RequestId id, Event event, const control::AttemptOptions& options);
  void try_admission();
  void release_slot();
  [[nodiscard]] AttemptSlots attempt_slots() const;

  // What an older form cannot hold (keeper_losses.cc)
  using LossesThen = std::function<void(const LossReport& report)>;
  struct LossQuestion {
    std::uint64_t number = 0;
    std::string forms;
    base::Duration limit{};
    LossesThen then;
  };
  struct UndoTarget {
    std::string label;
    std::string forms;
  };
  void ask_losses(const std::string& forms, base::Duration limit, LossesThen then);
  void send_loss_question();
  void answer_losses(std::uint64_t number, const LossReport& report);
  void tell_who_asked(LossesThen then, const LossReport& report);
  void give_up_losses();
  void tell_losses(RequestId id, const LossReport& report, const std::string& to);
  [[nodiscard]] std::optional<UndoTarget> undo_target() const;
  void request_undo(RequestId id, const control::AttemptOptions& options);
  void answer_undo_losses(RequestId id);
  void greet(HelloReceived hello);

  // The keeper's own program (keeper_succession.cc)
  void replace_keeper(RequestId id, const control::ParsedRequest& request);
  void keeper_checked(RequestId id, bool dry_run, const Replacement::Checked& checked);
  base::Result<void> become_next_program(const std::string& program, RequestId id);
  [[nodiscard]] std::string why_not_replaceable() const;
  [[nodiscard]] std::size_t listener_count() const {
    return programs_ ? programs_->listener_names().size() : listeners_.size();
  }
  [[nodiscard]] SavedState saved_state() const;
  [[nodiscard]] SavedState lasting_state() const;
  base::Result<void> take_over(SavedState state);
  base::Result<void> take_over_process(const SavedProcess& saved);
  base::Result<void> take_over_process(Generation generation, Process process);

  // For the keeper after this one (keeper_adoption.cc)
  void offer_rendezvous(Generation generation);
  void save_state();
  base::Result<void> take_over(SavedState saved, Reunion::Result found);
  base::Result<void> finish_adoption(Generation owner, const std::string& losses);
  void load_steps();
  // … of programs that do not link libsegue (keeper_programs_adoption.cc)
  static base::Result<std::unique_ptr<Keeper>> adopt_programs(
      const os::Clock& clock, CommandLine line, ComponentPaths paths, ComponentLocks& locks,
      std::vector<std::string> environment, SavedState saved);
  base::Result<void> take_over_programs(SavedState saved, std::vector<LeftProcess> left);

  void show_progress();
  void load_history();
  void housekeeping();

  const os::Clock& clock_;
  CommandLine line_;
  ComponentPaths paths_;
  ComponentLocks locks_;
  std::vector<std::string> environment_;
  os::EpollLoop loop_;
  ServiceManager manager_;
  os::UniqueFd signals_;
  base::MonotonicTime since_;
  handoff::OwnerPage page_;
  OutputFiles output_;
  RotatingLog step_log_;
  RotatingLog history_log_;
  ControlServer server_;
  std::unique_ptr<Decider> component_;

  std::map<Generation, Process> processes_;
  std::map<Generation, os::Child> starters_;
  std::unique_ptr<ProgramHost> programs_;  // null where the program links libsegue
  std::map<handoff::OwnerName, Generation> owner_names_;
  std::map<std::string, handoff::UniqueFd> listeners_;
  std::vector<std::unique_ptr<Relay>> relays_;
  std::unique_ptr<health::HealthCheck> health_;
  std::unique_ptr<Replacement> replacement_;
  std::optional<Admission> admission_;  // waits for its turn
  os::UniqueFd slot_;                   // … and has it, until the attempt is over
  bool let_go_ = false;  // the instances go on without a keeper, and without the next one
  std::string boot_id_ = os::boot_id();
  std::string nonce_;        // of K_RENDEZVOUS
  std::string saved_bytes_;  // as the state was written last
  std::uint64_t saves_failed_ = 0;
  std::uint32_t replaced_ = 0;  // how often this keeper was replaced by another program
  std::deque<Event> events_;
  std::deque<Command> commands_;
  std::optional<os::EpollLoop::TimerId> timer_;
  std::optional<os::EpollLoop::TimerId> progress_timer_;
  base::MonotonicTime last_progress_{};

  struct Remembered {
    std::uint64_t number;
    std::string json;
  };
  std::deque<Remembered> steps_;
  std::uint64_t last_step_ = 0;
  std::deque<std::string> history_;
  std::vector<RequestId> followers_;
  std::vector<RequestId> survey_requests_;
  std::uint64_t survey_ping_ = 0;  // the last ping that asked for them
  std::uint64_t last_ping_ = 0;
  std::deque<LossQuestion> loss_questions_;  // the first was sent to the owner
  std::uint64_t last_survey_ = 0;
  Metrics metrics_;
  std::unique_ptr<MetricsServer> metrics_server_;
  std::optional<Fault> fault_;
  std::optional<control::ExitCode> leave_;
};

}  // namespace segue::keeper
