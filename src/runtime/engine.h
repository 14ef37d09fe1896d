// SPDX-License-Identifier: Apache-2.0
// A container engine, without blocking: what deciders and tests can stand in front of. The real one
// is DockerEngine.
//
// All of it belongs to the loop's thread. A call's answer comes from the loop, once, never from
// within the call itself; its callback may destroy the call and the engine. Containers are named by
// id or name, images by id or reference. Besides what stands at each:
//   invalid_argument     the engine does not take the request as it is
//   unavailable          the engine does not run, or broke the connection; nothing has changed
//   permission_denied    its socket may not be used
//   deadline_exceeded    it did not answer in time; nothing was to change
//   unknown_outcome      the connection broke, or time ran out, in the middle of a change: look
//   data_loss            what it answered is not what its API says
//   resource_exhausted   too many calls are under way, or the answer passes its bound
//   internal             it failed, in its own words
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "os/unique_fd.h"
#include "runtime/container_spec.h"

namespace segue::runtime {

// A call under way. Destroyed before its answer came, it is given up: its callback is not called;
// what the engine has begun it may finish.
class Call {
 public:
  Call() = default;
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  virtual ~Call() = default;
};
using CallHandle = std::unique_ptr<Call>;

template <class T>
using OnAnswer = std::function<void(base::Result<T> answer)>;

struct EngineVersion {
  EngineKind kind = EngineKind::docker;
  std::string version;      // of the engine
  std::string api_version;  // that is spoken with it: "1.41"
};

struct Image {
  std::string id;                    // "sha256:…"
  std::vector<std::string> names;    // NAME:TAG
  std::vector<std::string> digests;  // NAME@sha256:…
  Labels labels;
  std::uint64_t size_bytes = 0;
};

struct PullRequest {
  std::string reference;  // NAME:TAG or NAME@sha256:…
  // Credentials as `docker login` and `podman login` keep them; empty: none.
  std::string credentials_file;
  base::Duration limit = std::chrono::minutes(30);
};
struct Progress {
  std::uint64_t done_bytes = 0;
  std::optional<std::uint64_t> total_bytes;
  std::string text;  // the engine's own words; may be empty
};
using OnProgress = std::function<void(const Progress& progress)>;

enum class ContainerPhase { created, running, paused, restarting, removing, exited, dead };
std::string_view to_string(ContainerPhase phase);

struct ContainerState {
  std::string id;
  std::string name;
  std::string image_id;
  Labels labels;
  ContainerPhase phase = ContainerPhase::created;
  std::int32_t pid = 0;  // in the host's namespace; 0: it does not run
  int exit_code = 0;     // once it has exited; 128 + signal
  // As the engine says; Podman says false for what Docker says true: see MemoryWatch.
  bool was_out_of_memory = false;
  std::string error;  // why it could not be started
  base::RealTime started{};
  base::RealTime finished{};
};
struct ContainerSummary {
  std::string id;
  std::string name;
  std::string image_id;
  Labels labels;
  ContainerPhase phase = ContainerPhase::created;
};

enum class OutputStream { standard_output, standard_error };
using OnOutput = std::function<void(OutputStream stream, std::string_view bytes)>;
struct LogRequest {
  bool is_followed = false;  // until the container ends
  std::optional<base::RealTime> since;
  std::optional<std::uint64_t> last_lines;
};

struct ExecRequest {
  std::vector<std::string> arguments;
  std::vector<std::string> environment;              // NAME=value
  std::string user;                                  // empty: the container's
  base::Duration limit = std::chrono::seconds(10);   // the command is not ended when it is over
  std::size_t output_bytes = std::size_t{16} << 10;  // more is thrown away
};
struct ExecResult {
  int exit_code = 0;
  std::string output;  // of both streams
};

enum class EventKind { created, started, died, out_of_memory, removed, other };
struct ContainerEvent {
  EventKind kind = EventKind::other;
  std::string action;  // the engine's word
  std::string container_id;
  std::string container_name;
  Labels labels;
  std::optional<int> exit_code;  // of `died`
  base::RealTime at{};
};
using OnEvent = std::function<void(const ContainerEvent& event)>;

struct ContainerStats {
  base::Duration cpu_time{};
  std::uint64_t memory_bytes = 0;
  std::uint64_t memory_limit_bytes = 0;
  std::uint64_t processes = 0;
};

class ContainerEngine {
 public:
  ContainerEngine() = default;
  ContainerEngine(const ContainerEngine&) = delete;
  ContainerEngine& operator=(const ContainerEngine&) = delete;
  virtual ~ContainerEngine() = default;

  // Whether it is there, and which; agrees on the version of the API anew. failed_precondition: it
  // is too old or too new.
  [[nodiscard]] virtual CallHandle version(OnAnswer<EngineVersion> on_answer) = 0;

  // not_found: there is no such image.
  [[nodiscard]] virtual CallHandle inspect_image(const std::string& image,
                                                 OnAnswer<Image> on_answer) = 0;
  // Those with all of these labels; an empty value stands for any.
  [[nodiscard]] virtual CallHandle list_images(const Labels& labels,
                                               OnAnswer<std::vector<Image>> on_answer) = 0;
  // From a docker-archive or oci-archive (`segue image`): a file, or a pipe that does not block.
  // The answer is what was loaded, as names or ids.
  [[nodiscard]] virtual CallHandle load_image(os::UniqueFd archive, base::Duration limit,
                                              OnProgress on_progress,
                                              OnAnswer<std::vector<std::string>> on_answer) = 0;
  // From its registry; the answer is the image as it is now. not_found, permission_denied,
  // unavailable: as the registry says, if the engine passes that on.
  [[nodiscard]] virtual CallHandle pull_image(const PullRequest& request, OnProgress on_progress,
                                              OnAnswer<Image> on_answer) = 0;
  // failed_precondition: a container uses it. One that is gone is well removed.
  [[nodiscard]] virtual CallHandle remove_image(const std::string& image,
                                                OnAnswer<void> on_answer) = 0;

  // The answer is its id. already_exists: the name is in use. not_found: there is no such image.
  // failed_precondition: the source of a mount is missing.
  [[nodiscard]] virtual CallHandle create_container(const ContainerSpec& spec,
                                                    OnAnswer<std::string> on_answer) = 0;
  // All of these: not_found when there is no such container. One that runs is well started.
  [[nodiscard]] virtual CallHandle start_container(const std::string& container,
                                                   OnAnswer<void> on_answer) = 0;
  // Its stop signal, then SIGKILL after `grace` (whole seconds, rounded up). The answer comes when
  // it has ended; one that had ended is well stopped.
  [[nodiscard]] virtual CallHandle stop_container(const std::string& container,
                                                  base::Duration grace,
                                                  OnAnswer<void> on_answer) = 0;
  // failed_precondition: it does not run.
  [[nodiscard]] virtual CallHandle kill_container(const std::string& container, int signal,
                                                  OnAnswer<void> on_answer) = 0;
  // Its exit code, once it has ended, however long that takes.
  [[nodiscard]] virtual CallHandle wait_container(const std::string& container,
                                                  OnAnswer<int> on_answer) = 0;
  // With its anonymous volumes. failed_precondition: it runs. One that is gone is well removed.
  [[nodiscard]] virtual CallHandle remove_container(const std::string& container,
                                                    OnAnswer<void> on_answer) = 0;
  [[nodiscard]] virtual CallHandle inspect_container(const std::string& container,
                                                     OnAnswer<ContainerState> on_answer) = 0;
  // Those with all of these labels, running or not; an empty value stands for any.
  [[nodiscard]] virtual CallHandle list_containers(
      const Labels& labels, OnAnswer<std::vector<ContainerSummary>> on_answer) = 0;

  // What it has written; `on_end` when there is no more.
  [[nodiscard]] virtual CallHandle read_logs(const std::string& container,
                                             const LogRequest& request, OnOutput on_output,
                                             OnAnswer<void> on_end) = 0;
  // Runs a command in it. failed_precondition: it does not run. A command that is not there has the
  // exit code 126 or 127.
  [[nodiscard]] virtual CallHandle exec(const std::string& container, const ExecRequest& request,
                                        OnAnswer<ExecResult> on_answer) = 0;
  [[nodiscard]] virtual CallHandle stats(const std::string& container,
                                         OnAnswer<ContainerStats> on_answer) = 0;

  // What happens to containers with all of these labels, from `since` (now, when there is none) on.
  // `on_end` always has an error: the stream ends with the engine. Then look at what is: an event
  // may have been missed.
  [[nodiscard]] virtual CallHandle watch_events(const Labels& labels,
                                                std::optional<base::RealTime> since,
                                                OnEvent on_event, OnAnswer<void> on_end) = 0;
};

}  // namespace segue::runtime
