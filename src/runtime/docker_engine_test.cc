// SPDX-License-Identifier: Apache-2.0
// Everything here is asked of the real Docker and of the real Podman.
#include "runtime/docker_engine.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/files.h"
#include "runtime/engine_fixture.h"
#include "runtime/memory_watch.h"

namespace segue::runtime {
namespace {

using base::ErrorCode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

TEST_P(EngineTest, says_which_engine_it_is) {
  auto version = await<EngineVersion>([&](auto answer) { return api().version(answer); });
  ASSERT_TRUE(version) << version.error().to_string();
  EXPECT_EQ(version->kind, GetParam());
  EXPECT_FALSE(version->version.empty());
  EXPECT_FALSE(version->api_version.empty());
}

TEST_P(EngineTest, a_container_lives_from_its_creation_to_its_removal) {
  auto id = create(spec_of({"out", "hello", "err", "trouble", "wait"}));
  ASSERT_TRUE(id) << id.error().to_string();
  EXPECT_EQ(inspect("probe-1")->phase, ContainerPhase::created);
  ASSERT_TRUE(start("probe-1"));
  ASSERT_TRUE(start(*id)) << "one that runs is well started";

  auto state = inspect("probe-1");
  ASSERT_TRUE(state) << state.error().to_string();
  EXPECT_EQ(state->phase, ContainerPhase::running);
  EXPECT_EQ(state->id, *id);
  EXPECT_EQ(state->name, "probe-1");
  EXPECT_EQ(state->image_id, image_);
  EXPECT_GT(state->pid, 0);
  EXPECT_GT(state->started, base::RealTime{});
  EXPECT_EQ(state->labels.at("segue.component"), "probe");
  EXPECT_EQ(state->labels.at("segue.slot"), "1");
  EXPECT_EQ(state->labels.at("segue.release"), "1.0.0");
  EXPECT_EQ(state->labels.at("segue.generation"), "7");

  ASSERT_TRUE(stop("probe-1"));
  ASSERT_TRUE(stop("probe-1")) << "one that has ended is well stopped";
  state = inspect("probe-1");
  EXPECT_EQ(state->phase, ContainerPhase::exited);
  EXPECT_EQ(state->exit_code, 7);
  EXPECT_FALSE(state->was_out_of_memory);
  EXPECT_GE(state->finished, state->started);
  EXPECT_EQ(wait("probe-1"), 7);
  EXPECT_EQ(output("probe-1"), std::pair(std::string("hello\n"), std::string("trouble\n")));

  ASSERT_TRUE(remove("probe-1"));
  ASSERT_TRUE(remove("probe-1")) << "one that is gone is well removed";
  EXPECT_EQ(inspect("probe-1").error().code(), ErrorCode::not_found);
}

TEST_P(EngineTest, errors_say_which_container_which_engine_and_what_next) {
  auto spec = spec_of({"wait"});
  ASSERT_TRUE(create(spec));
  const auto taken = create(spec);
  EXPECT_EQ(taken.error().code(), ErrorCode::already_exists);
  EXPECT_THAT(taken.error().to_string(), HasSubstr("'probe-1'"));
  EXPECT_THAT(taken.error().to_string(), HasSubstr(std::string(to_string(GetParam()))));
  EXPECT_THAT(taken.error().to_string(), HasSubstr("take another name"));

  EXPECT_EQ(start("nobody").error().code(), ErrorCode::not_found);
  const auto killed =
      await<void>([&](auto answer) { return api().kill_container("probe-1", SIGKILL, answer); });
  EXPECT_EQ(killed.error().code(), ErrorCode::failed_precondition);

  ASSERT_TRUE(start("probe-1"));
  EXPECT_EQ(remove("probe-1").error().code(), ErrorCode::failed_precondition);

  spec.name = "probe-2";
  spec.image = "sha256:" + std::string(64, '0');
  EXPECT_EQ(create(spec).error().code(), ErrorCode::not_found);
  spec.image = "probe:latest";
  EXPECT_EQ(create(spec).error().code(), ErrorCode::invalid_argument);
  spec.image = image_;
  spec.mounts = {BindMount{engine_->path("missing"), "/somewhere"}};
  EXPECT_EQ(create(spec).error().code(), ErrorCode::failed_precondition);
}

TEST_P(EngineTest, an_engine_that_does_not_run_is_unavailable) {
  engine_->kill();
  const auto state = inspect("probe-1");
  EXPECT_EQ(state.error().code(), ErrorCode::unavailable);
  EXPECT_THAT(state.error().to_string(), HasSubstr(engine_->socket_path()));
  EXPECT_THAT(state.error().to_string(), HasSubstr("start the engine"));
}

TEST_P(EngineTest, what_a_spec_says_is_so_inside) {
  const std::string secrets = engine_->path("secrets");
  ASSERT_TRUE(os::ensure_private_directory(secrets));
  ASSERT_TRUE(os::write_file_atomically(secrets + "/key", "s3cret\n", 0400));
  ASSERT_EQ(::chown((secrets + "/key").c_str(), 1234, 1234), 0);
  auto spec = spec_of({"limits", "show", "/run/secrets/key", "environment", "LEVEL", "show",
                       "/proc/self/status", "write", "/here", "write", "/tmp/there", "show",
                       "/proc/net/dev", "show", "/proc/self/mounts"});
  spec.user = "1234:1234";
  spec.environment = {{"LEVEL", "high"}};
  spec.descriptors = {"nofile", 900, 1000};
  spec.processes = {"nproc", 1900, 2000};
  spec.limits = {{"core", 0, 0}};
  spec.mounts = {MemoryMount{"/tmp", 1 << 20, 01777}};
  spec.secrets = {{secrets + "/key", "/run/secrets/key", "sha256:" + std::string(64, 'a')}};
  EXPECT_EQ(run(spec), 0);
  const auto [text, error] = output("probe-1");
  EXPECT_THAT(text, HasSubstr("nofile=900:1000 nproc=1900:2000 uid=1234 gid=1234\n"));
  EXPECT_THAT(text, HasSubstr("s3cret\n"));
  EXPECT_THAT(text, HasSubstr("high\n"));
  EXPECT_THAT(text, HasSubstr("NoNewPrivs:\t1"));
  EXPECT_THAT(text, HasSubstr("CapBnd:\t0000000000000000"));
  EXPECT_THAT(text, HasSubstr("/here: Read-only file system\nwritten\n"));
  EXPECT_THAT(text, HasSubstr("lo:"));
  EXPECT_THAT(text, Not(HasSubstr("eth0")));
  EXPECT_THAT(text, ::testing::ContainsRegex("/tmp tmpfs [^\n]*size=1024k"));
  EXPECT_EQ(error, "");
}

TEST_P(EngineTest, a_secret_that_others_may_read_is_refused) {
  const std::string secrets = engine_->path("secrets");
  ASSERT_TRUE(os::ensure_private_directory(secrets));
  ASSERT_TRUE(os::write_file_atomically(secrets + "/key", "s3cret\n", 0440));
  auto spec = spec_of({"wait"});
  spec.secrets = {{secrets + "/key", "/run/secrets/key", "sha256:" + std::string(64, 'a')}};
  EXPECT_EQ(create(spec).error().code(), ErrorCode::failed_precondition);
  ASSERT_EQ(::chmod((secrets + "/key").c_str(), 0400), 0);
  ASSERT_EQ(::chmod(secrets.c_str(), 0755), 0);
  EXPECT_EQ(create(spec).error().code(), ErrorCode::failed_precondition);
  ASSERT_EQ(::chmod(secrets.c_str(), 0700), 0);
  EXPECT_TRUE(create(spec));
}

TEST_P(EngineTest, a_volume_outlives_its_containers) {
  auto spec = spec_of({"write", "/data/kept"});
  spec.mounts = {VolumeMount{"segue-test", "/data"}};
  EXPECT_EQ(run(spec), 0);
  ASSERT_TRUE(remove("probe-1"));
  spec.arguments = {"show", "/data/kept", "exit", "3"};
  EXPECT_EQ(run(spec), 3);
  EXPECT_EQ(output("probe-1").first, "");
}

TEST_P(EngineTest, limits_hold_the_container) {
  auto spec = spec_of({"out", "ready", "wait"});
  spec.memory_bytes = std::uint64_t{32} << 20;
  spec.cpu_millicores = 500;
  spec.max_processes = 5;
  ASSERT_TRUE(create(spec));
  ASSERT_TRUE(start("probe-1"));
  // Until then what counts may still be the engine's own start of it, which has several threads.
  ASSERT_TRUE(wait_for_output("probe-1", "ready\n"));
  const auto stats =
      await<ContainerStats>([&](auto answer) { return api().stats("probe-1", answer); });
  ASSERT_TRUE(stats) << stats.error().to_string();
  EXPECT_EQ(stats->memory_limit_bytes, spec.memory_bytes);
  EXPECT_GT(stats->memory_bytes, 0U);
  EXPECT_EQ(stats->processes, 1U);
  EXPECT_GT(stats->cpu_time, base::Duration(0));
}

TEST_P(EngineTest, its_own_stop_signal_is_sent_and_then_the_one_that_kills) {
  auto spec = spec_of({"out", "ready", "wait"});
  spec.stop_signal = "SIGINT";
  ASSERT_TRUE(create(spec));
  ASSERT_TRUE(start("probe-1"));
  ASSERT_TRUE(wait_for_output("probe-1", "ready\n"));
  ASSERT_TRUE(stop("probe-1"));
  EXPECT_EQ(inspect("probe-1")->exit_code, 8);
  ASSERT_TRUE(remove("probe-1"));

  spec = spec_of({"ignore", "out", "ready", "wait"});
  ASSERT_TRUE(create(spec));
  ASSERT_TRUE(start("probe-1"));
  ASSERT_TRUE(wait_for_output("probe-1", "ready\n"));
  ASSERT_TRUE(await<void>([&](auto answer) {
    return api().stop_container("probe-1", std::chrono::milliseconds(1), answer);
  }));
  EXPECT_EQ(inspect("probe-1")->exit_code, 128 + SIGKILL);
}

TEST_P(EngineTest, a_container_that_runs_out_of_memory_is_known_as_such) {
  auto spec = spec_of({"out", "ready", "wait"});
  spec.memory_bytes = std::uint64_t{32} << 20;
  ASSERT_TRUE(create(spec));
  ASSERT_TRUE(start("probe-1"));
  auto watch = MemoryWatch::create(inspect("probe-1")->pid);
  if (!watch && watch.error().code() == ErrorCode::failed_precondition) {
    GTEST_SKIP() << watch.error().message();
  }
  ASSERT_TRUE(watch) << watch.error().to_string();
  EXPECT_FALSE(watch->was_out_of_memory());
  ASSERT_TRUE(stop("probe-1"));
  EXPECT_FALSE(watch->was_out_of_memory()) << "an end is none";
  ASSERT_TRUE(remove("probe-1"));

  const std::string fifo_folder = engine_->path("gate");
  ASSERT_TRUE(os::ensure_private_directory(fifo_folder));
  ASSERT_EQ(::mkfifo((fifo_folder + "/go").c_str(), 0600), 0);
  spec.mounts = {BindMount{fifo_folder, "/gate"}};
  spec.arguments = {"show", "/gate/go", "eat"};  // waits until somebody writes
  ASSERT_TRUE(create(spec));
  ASSERT_TRUE(start("probe-1"));
  watch = MemoryWatch::create(inspect("probe-1")->pid);
  ASSERT_TRUE(watch) << watch.error().to_string();
  os::UniqueFd gate;
  ASSERT_TRUE(engine_->run_until([&] {  // once somebody reads there
    gate.reset(::open((fifo_folder + "/go").c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
    return static_cast<bool>(gate);
  }));
  gate.reset();
  EXPECT_EQ(wait("probe-1"), 128 + SIGKILL);
  EXPECT_TRUE(engine_->run_until([&] { return watch->was_out_of_memory(); }));
}

TEST_P(EngineTest, containers_and_images_are_found_by_their_labels) {
  auto spec = spec_of({"wait"});
  spec.labels = {{"team", "blue"}};
  ASSERT_TRUE(create(spec));
  spec.name = "probe-2";
  spec.labels = {{"team", "red"}};
  ASSERT_TRUE(create(spec));
  const auto names = [&](const Labels& labels) {
    std::vector<std::string> found;
    auto listed = await<std::vector<ContainerSummary>>(
        [&](auto answer) { return api().list_containers(labels, answer); });
    EXPECT_TRUE(listed) << listed.error().to_string();
    for (const auto& container : *listed) {
      EXPECT_EQ(container.phase, ContainerPhase::created);
      EXPECT_EQ(container.image_id, image_);
      found.push_back(container.name);
    }
    return found;
  };
  EXPECT_THAT(names({{"segue.component", "probe"}}), UnorderedElementsAre("probe-1", "probe-2"));
  EXPECT_THAT(names({{"segue.component", "probe"}, {"team", "red"}}), ElementsAre("probe-2"));
  EXPECT_THAT(names({{"team", ""}}), UnorderedElementsAre("probe-1", "probe-2"));
  EXPECT_THAT(names({{"team", "green"}}), IsEmpty());

  const auto images = [&](const Labels& labels) {
    return await<std::vector<Image>>(
        [&](auto answer) { return api().list_images(labels, answer); });
  };
  ASSERT_EQ(images({{"test.image", "probe"}})->size(), 1U);
  EXPECT_EQ(images({{"test.image", "probe"}})->front().id, image_);
  EXPECT_EQ(images({{"test.image", "other"}})->size(), 0U);
  const auto remove_image = [&] {
    return await<void>([&](auto answer) { return api().remove_image(image_, answer); });
  };
  EXPECT_EQ(remove_image().error().code(), ErrorCode::failed_precondition);
  ASSERT_TRUE(remove("probe-1"));
  ASSERT_TRUE(remove("probe-2"));
  const auto removed = remove_image();
  EXPECT_TRUE(removed) << removed.error().to_string();
  EXPECT_TRUE(remove_image()) << "one that is gone is well removed";
}

TEST_P(EngineTest, a_program_that_is_not_there_cannot_be_started) {
  auto spec = spec_of({"wait"});
  spec.entrypoint = {"/nothing"};
  ASSERT_TRUE(create(spec));
  const auto started = start("probe-1");
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().to_string(), HasSubstr("no such file or directory"));
  EXPECT_NE(inspect("probe-1")->phase, ContainerPhase::running);
}

INSTANTIATE_TEST_SUITE_P(Engines, EngineTest,
                         ::testing::Values(EngineKind::docker, EngineKind::podman),
                         [](const auto& kind) { return std::string(to_string(kind.param)); });

}  // namespace
}  // namespace segue::runtime
