// SPDX-License-Identifier: Apache-2.0
// The Docker Engine API (1.41 and later) on its Unix socket, as Docker and Podman speak it.
#pragma once

#include <memory>

#include "os/clock.h"
#include "os/epoll_loop.h"
#include "runtime/engine.h"

namespace segue::runtime {

struct EngineOptions {
  std::string socket_path;  // /run/docker.sock, /run/podman/podman.sock, …
  base::Duration connect_limit = std::chrono::seconds(5);
  // For an answer that needs no work beyond itself. A start, a removal, which do, have
  // `work_limit`.
  base::Duration answer_limit = std::chrono::seconds(30);
  base::Duration work_limit = std::chrono::minutes(2);
  std::size_t answer_bytes = std::size_t{8} << 20;
};

struct EngineLine;

// Every call has a connection of its own, so that none waits behind another, and none is ever sent
// twice.
class DockerEngine final : public ContainerEngine {
 public:
  // `loop` and `clock` outlive it. It need not run: every call says whether it does.
  static base::Result<std::unique_ptr<DockerEngine>> create(os::EpollLoop& loop,
                                                            const os::Clock& clock,
                                                            EngineOptions options);
  ~DockerEngine() override;

  CallHandle version(OnAnswer<EngineVersion> on_answer) override;

  CallHandle inspect_image(const std::string& image, OnAnswer<Image> on_answer) override;
  CallHandle list_images(const Labels& labels, OnAnswer<std::vector<Image>> on_answer) override;
  CallHandle load_image(os::UniqueFd archive, base::Duration limit, OnProgress on_progress,
                        OnAnswer<std::vector<std::string>> on_answer) override;
  CallHandle pull_image(const PullRequest& request, OnProgress on_progress,
                        OnAnswer<Image> on_answer) override;
  CallHandle remove_image(const std::string& image, OnAnswer<void> on_answer) override;

  CallHandle create_container(const ContainerSpec& spec, OnAnswer<std::string> on_answer) override;
  CallHandle start_container(const std::string& container, OnAnswer<void> on_answer) override;
  CallHandle stop_container(const std::string& container, base::Duration grace,
                            OnAnswer<void> on_answer) override;
  CallHandle kill_container(const std::string& container, int signal,
                            OnAnswer<void> on_answer) override;
  CallHandle wait_container(const std::string& container, OnAnswer<int> on_answer) override;
  CallHandle remove_container(const std::string& container, OnAnswer<void> on_answer) override;
  CallHandle inspect_container(const std::string& container,
                               OnAnswer<ContainerState> on_answer) override;
  CallHandle list_containers(const Labels& labels,
                             OnAnswer<std::vector<ContainerSummary>> on_answer) override;

  CallHandle read_logs(const std::string& container, const LogRequest& request, OnOutput on_output,
                       OnAnswer<void> on_end) override;
  CallHandle exec(const std::string& container, const ExecRequest& request,
                  OnAnswer<ExecResult> on_answer) override;
  CallHandle stats(const std::string& container, OnAnswer<ContainerStats> on_answer) override;
  CallHandle watch_events(const Labels& labels, std::optional<base::RealTime> since,
                          OnEvent on_event, OnAnswer<void> on_end) override;

 private:
  explicit DockerEngine(std::shared_ptr<EngineLine> line);
  std::shared_ptr<EngineLine> line_;
};

}  // namespace segue::runtime
