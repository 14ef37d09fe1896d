// SPDX-License-Identifier: Apache-2.0
// Everything here is asked of the real Docker and of the real Podman.
#include "runtime/docker_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "runtime/test_engines.h"

namespace segue::runtime {
namespace {

using base::ErrorCode;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class DockerEngineTest : public ::testing::TestWithParam<EngineKind> {
 protected:
  void SetUp() override {
    if (const std::string why = TestEngine::why_not(GetParam()); !why.empty()) GTEST_SKIP() << why;
    engine_.emplace(GetParam());
    image_ = engine_->load_image();
  }

  [[nodiscard]] ContainerSpec spec_of(std::vector<std::string> words) const {
    ContainerSpec spec;
    spec.name = "probe-1";
    spec.identity = {.component = "probe", .slot = "1", .release = "1.0.0", .generation = 7};
    spec.image = image_;
    spec.arguments = std::move(words);
    return spec;
  }
  ContainerEngine& api() { return engine_->api(); }
  template <class T, class Begin>
  base::Result<T> await(Begin begin) {
    return engine_->await<T>(std::move(begin));
  }
  base::Result<std::string> create(const ContainerSpec& spec) {
    return await<std::string>([&](auto answer) { return api().create_container(spec, answer); });
  }
  base::Result<void> start(const std::string& name) {
    return await<void>([&](auto answer) { return api().start_container(name, answer); });
  }
  base::Result<int> wait(const std::string& name) {
    return await<int>([&](auto answer) { return api().wait_container(name, answer); });
  }
  base::Result<void> remove(const std::string& name) {
    return await<void>([&](auto answer) { return api().remove_container(name, answer); });
  }
  base::Result<ContainerState> inspect(const std::string& name) {
    return await<ContainerState>(
        [&](auto answer) { return api().inspect_container(name, answer); });
  }
  // Its standard output and error.
  std::pair<std::string, std::string> output(const std::string& name) {
    std::pair<std::string, std::string> texts;
    auto ended = await<void>([&](auto answer) {
      return api().read_logs(
          name, {},
          [&](OutputStream stream, std::string_view bytes) {
            (stream == OutputStream::standard_output ? texts.first : texts.second) += bytes;
          },
          answer);
    });
    EXPECT_TRUE(ended) << ended.error().to_string();
    return texts;
  }
  // Creates and starts it, and waits for its end.
  int run(const ContainerSpec& spec) {
    auto id = create(spec);
    EXPECT_TRUE(id) << id.error().to_string();
    auto started = start(spec.name);
    EXPECT_TRUE(started) << started.error().to_string();
    return wait(spec.name).value_or(-1);
  }

  std::optional<TestEngine> engine_;
  std::string image_;
};

TEST_P(DockerEngineTest, says_which_engine_it_is) {
  auto version = await<EngineVersion>([&](auto answer) { return api().version(answer); });
  ASSERT_TRUE(version) << version.error().to_string();
  EXPECT_EQ(version->kind, GetParam());
  EXPECT_FALSE(version->version.empty());
  EXPECT_FALSE(version->api_version.empty());
}

TEST_P(DockerEngineTest, a_container_lives_from_its_creation_to_its_removal) {
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

  const auto stop = [&] {
    return await<void>([&](auto answer) {
      return api().stop_container("probe-1", std::chrono::seconds(20), answer);
    });
  };
  ASSERT_TRUE(stop());
  ASSERT_TRUE(stop()) << "one that has ended is well stopped";
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

TEST_P(DockerEngineTest, errors_say_which_container_which_engine_and_what_next) {
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

TEST_P(DockerEngineTest, an_engine_that_does_not_run_is_unavailable) {
  engine_->kill();
  const auto state = inspect("probe-1");
  EXPECT_EQ(state.error().code(), ErrorCode::unavailable);
  EXPECT_THAT(state.error().to_string(), HasSubstr(engine_->socket_path()));
  EXPECT_THAT(state.error().to_string(), HasSubstr("start the engine"));
}

INSTANTIATE_TEST_SUITE_P(Engines, DockerEngineTest,
                         ::testing::Values(EngineKind::docker, EngineKind::podman),
                         [](const auto& kind) { return std::string(to_string(kind.param)); });

}  // namespace
}  // namespace segue::runtime
