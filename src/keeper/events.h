// SPDX-License-Identifier: Apache-2.0
// What the decider is told and what it asks for. Plain data.
#pragma once

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "control/exit_code.h"
#include "keeper/contract/notice.h"
#include "keeper/types.h"

namespace segue::keeper {

// ---- Events: from people

struct RunRequested {
  RequestId request = 0;
  control::Launch launch;
};
struct UpgradeRequested {
  RequestId request = 0;
  Kind kind = Kind::upgrade;  // or rehearse
  control::Launch launch;
  control::AttemptOptions options;
};
struct UndoRequested {
  RequestId request = 0;
  control::AttemptOptions options;
  LossReport losses = {};
};
struct StopRequested {
  RequestId request = 0;
};
struct EjectRequested {
  RequestId request = 0;
  bool force = false;  // also where the instance cannot be told, or loses what the keeper holds
  // Where the program does not link libsegue: how many descriptors are stored, and the names of
  // those that none of its processes is seen to hold.
  std::size_t stored = 0;
  std::vector<std::string> only_stored = {};
};

// ---- Events: from instances. Whatever an instance says may be wrong or late.

struct SpawnFailed {
  Generation generation = 0;
  std::string why;
};
struct Spawned {
  Generation generation = 0;
  std::int32_t pid = 0;
};
struct HelloReceived {
  Generation generation = 0;
  std::uint64_t lowest_protocol = 0;
  std::uint64_t highest_protocol = 0;
  std::string service;
  std::string version;
  std::uint64_t abilities = 0;
  std::string forms = {};  // what it declares, as in HELLO
  // Of a successor: what the owner said of its own state in these forms.
  LossReport losses = {};
};
struct ProgressReceived {
  Generation generation = 0;
  AttemptId attempt = 0;
  Progress progress;
};
// The K_EVENTs of protocol/handoff.md.
enum class Said {
  activated = 1,
  resumed,
  failed,
  rehearsed,
  committed,
  vote,
  round_begun,
  frozen,
  released
};
inline constexpr int kSaidCount = 9;
struct EventReceived {
  Generation generation = 0;
  AttemptId attempt = 0;
  Said said = Said::activated;
  std::string text;
  std::uint64_t number = 0;
};
struct PongReceived {
  Generation generation = 0;
  std::uint64_t connections = 0;
  std::uint64_t number = 0;  // of the ping that it answers
  std::string registered;    // JSON, where it was asked for; for people
};
struct ChannelClosed {
  Generation generation = 0;
  std::string why;  // empty: by the instance
};
// The process has ended, and all that it had said before was delivered.
struct Exited {
  Generation generation = 0;
  std::string how;  // "exited with 3"
  int signal = 0;   // that ended it
};
// An instance cannot end the other side of its handoff itself.
struct FenceAsked {
  Generation generation = 0;  // who asks
  Generation other = 0;       // who is to end
};
struct HealthChecked {
  AttemptId attempt = 0;
  bool good = false;
  std::string text;
};

// ---- Events: of programs that do not link libsegue. What notices say may be wrong or late.

struct ProgramTold {
  struct Counted {
    std::uint64_t established = 0;  // that would end with the process
    std::uint64_t kept = 0;         // … that the keeper has stored as well
  };
  struct Accepting {};  // it waits for connections on every listening socket
  struct Cut {
    std::uint64_t cut = 0;
    std::uint64_t left = 0;
  };
  struct NewMain {  // another process is now the program's main one
    std::int32_t pid = 0;
  };
  Generation generation = 0;
  std::variant<Notice, Counted, Accepting, Cut, NewMain> what;
};

// ---- Events: from the keeper itself

struct TimePassed {};
// A fault point that was asked for fires as an error.
struct FaultInjected {
  std::string point;
};

using Event = std::variant<RunRequested, UpgradeRequested, UndoRequested, StopRequested,
                           EjectRequested, SpawnFailed, Spawned, HelloReceived, ProgressReceived,
                           EventReceived, PongReceived, ChannelClosed, Exited, FenceAsked,
                           HealthChecked, ProgramTold, TimePassed, FaultInjected>;

// ---- Commands

struct Spawn {
  Generation generation = 0;
  control::Launch launch;
};
struct SendStart {
  Generation generation = 0;
};
struct SendAttempt {
  AttemptId attempt = 0;
  Kind kind = Kind::upgrade;
  Generation predecessor = 0;
  Generation successor = 0;
  control::AttemptOptions options;
};
struct SendCommit {
  Generation generation = 0;
  AttemptId attempt = 0;
};
struct SendAbort {
  Generation generation = 0;
  AttemptId attempt = 0;
  std::string text;
};
struct SendEnd {
  Generation generation = 0;
  std::uint32_t reason = 0;  // segue_end_reason
};
// Go on without a keeper.
struct SendRelease {
  Generation generation = 0;
};
struct SendPing {
  Generation generation = 0;
};
struct Signal {
  Generation generation = 0;
  int signal = 0;
};
struct RaisePriority {
  Generation generation = 0;
};
// The dead owner's name leaves the ownership page, unless somebody else's is there already.
struct Vacate {
  Generation generation = 0;
};
struct CheckHealth {
  AttemptId attempt = 0;
  control::AttemptOptions options;
  Generation generation = 0;  // whose health; 0: the owner's
};
// For a program that does not link libsegue. The answers are ProgramTold.
struct ProgramOrder {
  struct Count {};          // its connections
  struct LookAccepting {};  // whether it waits for connections
  struct Cut {              // ends some of its connections
    std::uint64_t count = 0;
  };
  struct PlaceBinary {  // where it looks when it replaces itself
    control::Launch launch;
  };
  struct LookNewMain {};  // whether another process says that it is the main one
  struct Adopt {          // the process is from now on the instance `as`
    Generation as = 0;
    std::int32_t pid = 0;
  };
  Generation generation = 0;
  std::variant<Count, LookAccepting, Cut, PlaceBinary, LookNewMain, Adopt> what;
};
// Answers and forgets the request.
struct Finish {
  RequestId request = 0;
  control::ExitCode exit = control::ExitCode::done;
  std::string text;
  std::optional<Attempt> attempt;
};
// Tells who waits that the attempt has moved on, or what it waits for.
struct ShowProgress {};
struct ShowQueued {
  RequestId request = 0;
  std::string behind;
};
// Into the step log; decisive ones are on the disk before the next command is carried out.
struct Step {
  using Fields = std::vector<std::pair<std::string, std::string>>;
  std::string name;
  Fields fields;
  bool decisive = false;
};
// Into the history.
struct Record {
  Attempt attempt;
};
// Where a test may let the keeper be killed, stopped, or fail.
struct FaultPoint {
  std::string point;
};
// What instances still live are nobody's any more: they go on.
struct LetGo {};
// The keeper ends, with this exit code.
struct Leave {
  control::ExitCode exit = control::ExitCode::done;
};

using Command =
    std::variant<Spawn, SendStart, SendAttempt, SendCommit, SendAbort, SendEnd, SendRelease,
                 SendPing, Signal, RaisePriority, Vacate, CheckHealth, ProgramOrder, Finish,
                 ShowProgress, ShowQueued, Step, Record, FaultPoint, LetGo, Leave>;
using Commands = std::vector<Command>;

}  // namespace segue::keeper
