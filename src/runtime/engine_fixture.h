// SPDX-License-Identifier: Apache-2.0
// Tests that are run with each real engine, and what they do again and again.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/docker_engine.h"
#include "runtime/test_engines.h"

namespace segue::runtime {

class EngineTest : public ::testing::TestWithParam<EngineKind> {
 protected:
  void SetUp() override {
    if (const std::string why = TestEngine::why_not(GetParam()); !why.empty()) GTEST_SKIP() << why;
    engine_.emplace(GetParam());
    if (!engine_->is_up()) GTEST_SKIP() << "it does not run on this host: see what it says above";
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
  base::Result<void> stop(const std::string& name) {
    return await<void>(
        [&](auto answer) { return api().stop_container(name, std::chrono::seconds(20), answer); });
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
  // Whether its standard output comes to begin so.
  bool wait_for_output(const std::string& name, const std::string& text) {
    std::string seen;
    const CallHandle logs = api().read_logs(
        name, {.is_followed = true}, [&](OutputStream, std::string_view bytes) { seen += bytes; },
        [](const base::Result<void>&) {});
    return engine_->run_until([&] { return seen.starts_with(text); });
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

}  // namespace segue::runtime
