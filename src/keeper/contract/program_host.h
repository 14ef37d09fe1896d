// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "control/contract.h"
#include "keeper/contract/fd_store.h"
#include "keeper/contract/listen_sockets.h"
#include "keeper/contract/notify_socket.h"
#include "keeper/contract/processes.h"
#include "keeper/contract/program_belongings.h"
#include "keeper/events.h"
#include "keeper/service_manager.h"
#include "os/clock.h"
#include "os/epoll_loop.h"
#include "os/process.h"

namespace segue::keeper {

// What a keeper holds and does for a program that does not link libsegue: its listening sockets,
// its stored descriptors, its notify socket. Carries out ProgramOrder.
class ProgramHost {
 public:
  struct Hooks {
    std::function<void(ProgramTold)> tell;
    std::function<void(Step)> step;
    // Process `pid`, of the same family, is from now on the instance `as`; so far it was `from`.
    std::function<void(Generation from, Generation as, pid_t pid)> adopt;
    std::function<void()> settle;  // what was told is handled
  };

  // Binds what `belongings` lacks. `loop`, `clock` and `manager` outlive it; `folder` is the
  // component's own.
  static base::Result<std::unique_ptr<ProgramHost>> create(
      os::EpollLoop& loop, const os::Clock& clock, const ServiceManager& manager,
      control::ContractOptions options, std::string folder, ProgramBelongings belongings,
      Hooks hooks);
  ~ProgramHost();
  ProgramHost(const ProgramHost&) = delete;
  ProgramHost& operator=(const ProgramHost&) = delete;

  // Gives the program its descriptors from 3 up, and its environment. Returns the next free number.
  base::Result<int> equip(const Spawn& command, os::SpawnOptions& options);
  void started(Generation generation, pid_t pid);
  // Its main process has ended and is not reaped yet: what it said last is read, and the rest of it
  // is ended.
  void ending(Generation generation);
  void ended(Generation generation);
  void execute(const ProgramOrder& order);

  // ---- Other keepers, or none (program_custody.cc)
  enum class Descriptors { named, left_out };
  [[nodiscard]] SavedPrograms saved(Descriptors descriptors) const;
  // The program goes on without a keeper: what it can be reached by stays in its place.
  void let_go() { is_let_go_ = true; }
  // Names of stored descriptors that no process of the program is seen to hold.
  [[nodiscard]] std::vector<std::string> only_stored() const;
  // What an adoption could not get back, for people; empty: nothing.
  [[nodiscard]] std::string losses() const;

  [[nodiscard]] std::vector<std::string> listener_names() const;
  [[nodiscard]] const std::vector<ListenSocket>& sockets() const { return sockets_; }
  [[nodiscard]] std::vector<std::string> stored_names() const;

 private:
  static constexpr int kMaxNoticesPerTurn = 256;
  static constexpr base::Duration kReapInterval = std::chrono::seconds(1);

  ProgramHost(os::EpollLoop& loop, const os::Clock& clock, const ServiceManager& manager,
              control::ContractOptions options, std::string folder, NotifySocket notify,
              Hooks hooks);
  base::Result<void> prepare(ProgramBelongings belongings);
  base::Result<void> take_sockets(ProgramBelongings& belongings, bool tells_manager);
  base::Result<std::string> fill_in(std::string text, const std::map<std::string, int>& numbers,
                                    Generation generation) const;
  base::Result<void> place_binary(const std::string& program);
  [[nodiscard]] std::string binary_link() const;

  void read_notices();
  void take(NotifySocket::Message message);
  void store(Generation generation, const Notice& notice, std::vector<os::UniqueFd> fds);
  void follow_main(Generation generation, pid_t main);
  void say(const char* name, Generation generation, Step::Fields fields);
  void reap_orphans();

  void execute(Generation generation, const ProgramOrder::Count& order);
  void execute(Generation generation, const ProgramOrder::LookAccepting& order);
  void execute(Generation generation, const ProgramOrder::Cut& order);
  void execute(Generation generation, const ProgramOrder::PlaceBinary& order);
  void execute(Generation generation, const ProgramOrder::LookNewMain& order);
  void execute(Generation generation, const ProgramOrder::Adopt& order);
  [[nodiscard]] Established connections_of(Generation generation) const;
  [[nodiscard]] bool is_family(pid_t pid) const;

  os::EpollLoop& loop_;
  const os::Clock& clock_;
  const ServiceManager& manager_;
  control::ContractOptions options_;
  control::Contract contract_;
  std::string folder_;
  Hooks hooks_;
  NotifySocket notify_;
  FdStore store_;
  std::vector<ListenSocket> sockets_;
  std::map<Generation, pid_t> pids_;
  std::string binary_name_;                // Contract::signal: of the link to the binary
  std::map<Generation, pid_t> announced_;  // MAINPID of another process
  std::set<pid_t> perhaps_orphans_;        // ended at the last look, and reaped by nobody
  std::optional<os::EpollLoop::TimerId> reap_timer_;
  std::vector<std::string> lost_sockets_;
  std::vector<std::string> lost_stored_;
  bool is_let_go_ = false;
};

}  // namespace segue::keeper
