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
#include "keeper/command_line.h"
#include "keeper/component.h"
#include "keeper/contract/program_host.h"
#include "keeper/control_server.h"
#include "keeper/health_check.h"
#include "keeper/instance_channel.h"
#include "keeper/output_files.h"
#include "keeper/relay.h"
#include "keeper/replacement.h"
#include "keeper/report.h"
#include "keeper/rotating_log.h"
#include "keeper/saved_state.h"
#include "keeper/service_manager.h"
#include "os/clock.h"
#include "os/epoll_loop.h"
#include "os/process.h"

namespace segue::keeper {

// The locks that say whether a keeper, and whether an instance, of the component is alive.
struct ComponentLocks {
  os::UniqueFd keeper;     // held by this process
  os::UniqueFd instances;  // shared with every instance
};
struct ComponentPaths {
  std::string runtime;  // the component's own folders
  std::string state;
};
// Makes and checks the folders; failed_precondition when another keeper, or an instance of one that
// has died, is alive: the text says which, and what to do.
base::Result<ComponentLocks> lock_component(const ComponentPaths& paths, const std::string& name);

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
  };

  Keeper(const os::Clock& clock, CommandLine line, ComponentPaths paths, ComponentLocks locks,
         std::vector<std::string> environment, os::EpollLoop loop);
  base::Result<void> prepare();
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
  void store(std::vector<Stored> listeners);
  void send(Generation generation, handoff::FrameType type, std::string_view payload,
            std::span<const int> fds = {});
  base::Result<void> spawn(const Spawn& command);
  base::Result<void> send_attempt(const SendAttempt& command);
  void write_instances_file() const;
  // Programs that do not link libsegue (keeper_programs.cc)
  base::Result<void> prepare_programs();
  base::Result<void> spawn_program(const Spawn& command, os::SpawnOptions options);
  base::Result<void> watch_end(Generation generation);
  [[nodiscard]] bool is_detecting() const;  // what the program can do is not known yet
  void found_libsegue();
  void adopt_process(Generation from, Generation as, pid_t pid);
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
  void execute(const Leave& command);

  // Requests
  void on_request(RequestId id, base::Result<control::Request> request);
  void answer_status(RequestId id);
  void answer_history(RequestId id);
  void answer_events(RequestId id, const control::ParsedRequest& request);
  void end_request(RequestId id, control::ExitCode exit, const std::string& text);
  // The keeper's own program (keeper_succession.cc)
  void replace_keeper(RequestId id, const control::ParsedRequest& request);
  void keeper_checked(RequestId id, bool dry_run, const Replacement::Checked& checked);
  base::Result<void> become_next_program(const std::string& program, RequestId id);
  [[nodiscard]] std::string why_not_replaceable() const;
  [[nodiscard]] SavedState saved_state() const;
  base::Result<void> take_over(SavedState state);
  base::Result<void> take_over_process(const SavedProcess& saved);

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
  std::unique_ptr<ProgramHost> programs_;  // null where the program links libsegue
  std::map<handoff::OwnerName, Generation> owner_names_;
  std::map<std::string, handoff::UniqueFd> listeners_;
  std::vector<std::unique_ptr<Relay>> relays_;
  std::unique_ptr<HealthCheck> health_;
  std::unique_ptr<Replacement> replacement_;
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
  std::uint64_t last_ping_ = 0;
  std::optional<Fault> fault_;
  std::optional<control::ExitCode> leave_;
};

}  // namespace segue::keeper
