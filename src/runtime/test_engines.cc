// SPDX-License-Identifier: Apache-2.0
#include "runtime/test_engines.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/assert.h"
#include "crypto/digest.h"
#include "http/client.h"
#include "os/files.h"

namespace segue::runtime {
namespace {

constexpr auto kPatience = std::chrono::minutes(1);
constexpr std::size_t kMaxCommandBytes = std::size_t{128} << 10;
constexpr auto kTick = std::chrono::milliseconds(50);

// Its own folder for everything: tests run beside each other, and events come from a file.
constexpr std::string_view kPodmanConfiguration = R"([containers]
default_ulimits = ["nofile=16384:16384", "nproc=16384:16384"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
tmp_dir = "{0}/libpod"
)";

// As on hosts, containerd is a program of its own: whoever kills Docker does not kill it.
constexpr std::string_view kContainerdConfiguration = R"(version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs"]
root = "{0}/containerd"
state = "{0}/run-containerd"
[grpc]
  address = "{0}/c"
[debug]
  level = "error"
)";

// POSIX.1-1988, ustar.
std::string tar_member(const std::string& name, std::string_view bytes, char type, unsigned mode) {
  constexpr std::size_t kBlock = 512;
  std::array<char, kBlock> header{};
  const auto put = [&](std::size_t at, std::size_t size, unsigned long long value) {
    const std::string digits = fmt::format("{:0{}o}", value, size - 1);
    std::memcpy(&header[at], digits.data(), digits.size());
  };
  std::memcpy(header.data(), name.data(), name.size());
  put(100, 8, mode);
  put(108, 8, 0);
  put(116, 8, 0);
  put(124, 12, bytes.size());
  put(136, 12, 0);
  header[156] = type;
  std::memcpy(&header[257], "ustar\00000", 8);
  std::memset(&header[148], ' ', 8);
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  put(148, 7, sum);
  std::string member(header.data(), header.size());
  member += bytes;
  member.resize((member.size() + kBlock - 1) / kBlock * kBlock);
  return member;
}

std::string tar_of(std::initializer_list<std::string> members) {
  std::string tar;
  for (const std::string& member : members) tar += member;
  tar.resize(tar.size() + 1024);
  return tar;
}

std::string whole_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  SEGUE_ASSERT(file.good());
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> environment_with(const std::string& more) {
  std::vector<std::string> variables;
  for (char** variable = ::environ; *variable != nullptr; ++variable) {
    variables.emplace_back(*variable);
  }
  variables.push_back(more);
  return variables;
}

// The processes that wait, five minutes after each exec, to clean up in a folder that has gone
// then.
void kill_processes_of(const std::string& folder) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    if (pid <= 1 || pid == ::getpid()) continue;
    const auto command = os::read_file(entry.path().string() + "/cmdline", kMaxCommandBytes);
    if (command && command->find(folder + "/") != std::string::npos) (void)::kill(pid, SIGKILL);
  }
}

// What an engine that was killed has left.
void unmount_below(const std::string& folder) {
  std::ifstream mounts("/proc/self/mounts");
  std::vector<std::string> points;
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream words(line);
    std::string source;
    std::string point;
    words >> source >> point;
    if (point.starts_with(folder + "/")) points.push_back(point);
  }
  std::ranges::reverse(points);
  for (const std::string& point : points) ::umount2(point.c_str(), MNT_DETACH);
}

}  // namespace

std::string TestEngine::why_not(EngineKind kind) {
  if (::geteuid() != 0) return "an engine without root needs a user's namespaces";
  const char* const program = kind == EngineKind::docker ? "/usr/sbin/dockerd" : "/usr/bin/podman";
  return ::access(program, X_OK) == 0 ? "" : std::string(program) + " is not installed";
}

TestEngine::TestEngine(EngineKind kind)
    : kind_(kind), loop_(os::EpollLoop::create(clock_).value()) {
  std::ofstream(path("containers.conf")) << fmt::format(kPodmanConfiguration, directory_.path());
  std::ofstream(path("containerd.toml"))
      << fmt::format(kContainerdConfiguration, directory_.path());
  api_ = DockerEngine::create(loop_, clock_, {.socket_path = socket_path()}).value();
  if (kind_ == EngineKind::docker && !start_containerd()) return;
  (void)start();
}

bool TestEngine::start_containerd() {
  os::SpawnOptions options;
  options.argv = {"/usr/bin/containerd", "--config", path("containerd.toml")};
  options.env = environment_with("SEGUE_TEST=1");
  options.ends_with_parent = true;
  containerd_ = os::spawn(options).value();
  bool has_ended = false;
  SEGUE_ASSERT(run_until([&] {
    has_ended = os::wait_for_exit(containerd_.pidfd, base::Duration(0)).value().has_value();
    return has_ended || ::access(path("c").c_str(), F_OK) == 0;
  }));
  if (has_ended) containerd_ = {};
  return !has_ended;
}

bool TestEngine::start() {
  SEGUE_ASSERT(!process_.pidfd);
  os::SpawnOptions options;
  options.env = environment_with("CONTAINERS_CONF=" + path("containers.conf"));
  options.cwd = directory_.path();  // conmon writes a file "oom" where it is
  options.ends_with_parent = true;
  if (kind_ == EngineKind::docker) {
    options.argv = {"/usr/sbin/dockerd",          "--bridge=none",
                    "--iptables=false",           "--storage-driver=vfs",
                    "--log-level=warn",           "--data-root=" + path("root"),
                    "--exec-root=" + path("run"), "--pidfile=" + path("pid"),
                    "--containerd=" + path("c"),  "--host=unix://" + socket_path()};
  } else {
    options.argv = {"/usr/bin/podman", "--root",           path("root"), "--runroot",
                    path("run"),       "--storage-driver", "vfs",        "system",
                    "service",         "--time",           "0",          "unix://" + socket_path()};
  }
  process_ = os::spawn(options).value();
  const auto until = clock_.monotonic_now() + kPatience;
  while (!await<EngineVersion>([&](auto on_answer) { return api_->version(on_answer); })) {
    SEGUE_ASSERT(clock_.monotonic_now() < until);
    (void)loop_.run_once(kTick);
    if (os::wait_for_exit(process_.pidfd, base::Duration(0)).value()) {
      process_ = {};
      return false;
    }
  }
  return true;
}

void TestEngine::kill() {
  was_up_ = true;
  (void)os::send_signal(process_.pidfd, SIGKILL);
  (void)os::wait_for_exit(process_.pidfd, kPatience);
  process_ = {};
}

void TestEngine::stop() {
  if (!is_up() && !(was_up_ && start())) return;  // to end what it has started
  auto left = await<std::vector<ContainerSummary>>(
      [&](auto on_answer) { return api_->list_containers({}, on_answer); });
  for (const auto& container : left.value_or(std::vector<ContainerSummary>{})) {
    (void)await<void>(
        [&](auto on_answer) { return api_->kill_container(container.id, SIGKILL, on_answer); });
    (void)await<int>([&](auto on_answer) { return api_->wait_container(container.id, on_answer); });
    (void)await<void>(
        [&](auto on_answer) { return api_->remove_container(container.id, on_answer); });
  }
  (void)os::send_signal(process_.pidfd, SIGTERM);
  if (!os::wait_for_exit(process_.pidfd, kPatience).value_or(std::nullopt)) kill();
}

TestEngine::~TestEngine() {
  stop();
  if (containerd_.pidfd) {
    (void)os::send_signal(containerd_.pidfd, SIGTERM);
    (void)os::wait_for_exit(containerd_.pidfd, kPatience);
  }
  kill_processes_of(directory_.path());
  unmount_below(directory_.path());
}

bool TestEngine::run_until(const std::function<bool()>& done) {
  const auto until = clock_.monotonic_now() + kPatience;
  while (!done()) {
    if (clock_.monotonic_now() > until) return false;
    if (!loop_.run_once(kTick)) return false;
  }
  return true;
}

bool TestEngine::post(const std::string& path, const std::string& body) {
  auto client = http::Client::create(loop_).value();
  std::optional<base::Result<http::Answer>> answer;
  http::Handlers handlers;
  handlers.on_end = [&](base::Result<http::Answer> given) { answer = std::move(given); };
  const auto exchange = client.start({.method = "POST",
                                      .url = "http://engine" + path,
                                      .unix_socket = socket_path(),
                                      .fields = {"Content-Type: application/json"},
                                      .body = body},
                                     std::move(handlers));
  return run_until([&] { return answer.has_value(); }) && *answer && (*answer)->status < 300;
}

std::string TestEngine::image_archive() {
  const std::string layer =
      tar_of({tar_member("probe", whole_file(SEGUE_PROBE), '0', 0755),
              tar_member("tmp/", "", '5', 01777), tar_member("data/", "", '5', 0777)});
  const nlohmann::json config{
      {"architecture", "amd64"},
      {"os", "linux"},
      {"config",
       {{"Entrypoint", {"/probe"}}, {"Cmd", {"wait"}}, {"Labels", {{"test.image", "probe"}}}}},
      {"rootfs",
       {{"type", "layers"},
        {"diff_ids",
         nlohmann::json::array({"sha256:" + crypto::to_hex(crypto::digest_of(layer))})}}}};
  const nlohmann::json manifest =
      nlohmann::json::array({{{"Config", "config.json"},
                              {"RepoTags", nlohmann::json::array({"localhost/segue-probe:1"})},
                              {"Layers", nlohmann::json::array({"layer.tar"})}}});
  const std::string archive = path("image.tar");
  std::ofstream(archive, std::ios::binary)
      << tar_of({tar_member("config.json", config.dump(), '0', 0644),
                 tar_member("layer.tar", layer, '0', 0644),
                 tar_member("manifest.json", manifest.dump(), '0', 0644)});
  return archive;
}

std::string TestEngine::load_image() {
  const std::string archive = image_archive();
  auto loaded = await<std::vector<std::string>>([&](auto on_answer) {
    return api_->load_image(os::UniqueFd(::open(archive.c_str(), O_RDONLY | O_CLOEXEC)), kPatience,
                            nullptr, on_answer);
  });
  SEGUE_ASSERT(loaded.has_value() && loaded->size() == 1);
  auto image =
      await<Image>([&](auto on_answer) { return api_->inspect_image(loaded->front(), on_answer); });
  SEGUE_ASSERT(image.has_value());
  return image->id;
}

}  // namespace segue::runtime
