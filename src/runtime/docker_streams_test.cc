// SPDX-License-Identifier: Apache-2.0
// Streams, and what is left after the worst moments: asked of the real Docker and the real Podman.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>

#include "runtime/engine_fixture.h"
#include "runtime/ensure_container.h"
#include "runtime/health_calls.h"

namespace segue::runtime {
namespace {

using base::ErrorCode;
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST_P(EngineTest, an_image_comes_through_a_pipe_too) {
  std::ifstream file(engine_->image_archive(), std::ios::binary);
  const std::string archive{std::istreambuf_iterator<char>(file), {}};
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK), 0);
  os::UniqueFd reader(ends[0]);
  os::UniqueFd writer(ends[1]);
  std::optional<base::Result<std::vector<std::string>>> loaded;
  std::uint64_t seen_bytes = 0;
  const CallHandle call = api().load_image(
      std::move(reader), std::chrono::minutes(1),
      [&](const Progress& progress) { seen_bytes = std::max(seen_bytes, progress.done_bytes); },
      [&](base::Result<std::vector<std::string>> answer) { loaded = std::move(answer); });
  std::size_t written = 0;
  ASSERT_TRUE(engine_->run_until([&] {
    if (writer) {
      const ssize_t put = ::write(writer.get(), archive.data() + written, archive.size() - written);
      if (put > 0) written += static_cast<std::size_t>(put);
      if (written == archive.size()) writer.reset();
    }
    return loaded.has_value();
  }));
  ASSERT_TRUE(*loaded) << loaded->error().to_string();
  EXPECT_THAT(**loaded, ElementsAre("localhost/segue-probe:1"));
  EXPECT_EQ(seen_bytes, archive.size());
}

TEST_P(EngineTest, what_is_no_image_is_not_loaded) {
  std::ofstream(engine_->path("junk")) << std::string(100'000, 'x');
  const auto loaded = await<std::vector<std::string>>([&](auto answer) {
    return api().load_image(
        os::UniqueFd(::open(engine_->path("junk").c_str(), O_RDONLY | O_CLOEXEC)),
        std::chrono::minutes(1), nullptr, answer);
  });
  ASSERT_FALSE(loaded);
  EXPECT_THAT(loaded.error().to_string(), HasSubstr("cannot load an image"));
}

TEST_P(EngineTest, a_registry_that_is_not_reached_is_said_so) {
  std::ofstream(engine_->path("auth.json"))
      << R"({"auths":{"127.0.0.1:1":{"auth":"bmFtZTpwYXNzd29yZA=="}}})";
  const auto image = await<Image>([&](auto answer) {
    return api().pull_image({.reference = "127.0.0.1:1/chat:1",
                             .credentials_file = engine_->path("auth.json"),
                             .limit = std::chrono::minutes(1)},
                            nullptr, answer);
  });
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().code(), ErrorCode::unavailable) << image.error().to_string();
  EXPECT_THAT(image.error().to_string(), HasSubstr("127.0.0.1:1/chat:1"));
  EXPECT_THAT(image.error().to_string(), HasSubstr("connection refused"));
}

TEST_P(EngineTest, output_is_followed_until_the_end) {
  ASSERT_TRUE(create(spec_of({"burst", "20000", "err", "last", "wait"})));
  ASSERT_TRUE(start("probe-1"));
  std::string text;
  std::string error;
  std::optional<base::Result<void>> end;
  const CallHandle logs = api().read_logs(
      "probe-1", {.is_followed = true},
      [&](OutputStream stream, std::string_view bytes) {
        (stream == OutputStream::standard_output ? text : error) += bytes;
      },
      [&](base::Result<void> ended) { end = std::move(ended); });
  ASSERT_TRUE(engine_->run_until([&] { return error == "last\n" && text.ends_with("19999\n"); }));
  EXPECT_FALSE(end);
  ASSERT_TRUE(stop("probe-1"));
  ASSERT_TRUE(engine_->run_until([&] { return end.has_value(); }));
  EXPECT_TRUE(*end);
  std::string expected;
  for (int i = 0; i < 20'000; ++i) expected += fmt::format("line {}\n", i);
  EXPECT_EQ(text, expected);
}

TEST_P(EngineTest, output_is_read_from_a_time_or_a_line_on) {
  EXPECT_EQ(run(spec_of({"burst", "5"})), 0);
  const auto read = [&](const LogRequest& request) {
    std::string text;
    auto ended = await<void>([&](auto answer) {
      return api().read_logs(
          "probe-1", request, [&](OutputStream, std::string_view bytes) { text += bytes; }, answer);
    });
    EXPECT_TRUE(ended) << ended.error().to_string();
    return text;
  };
  EXPECT_EQ(read({.last_lines = 2}), "line 3\nline 4\n");
  const auto hour = std::chrono::hours(1);
  EXPECT_EQ(read({.since = engine_->clock().realtime_now() + hour}), "");
  EXPECT_EQ(read({.since = engine_->clock().realtime_now() - hour}),
            "line 0\nline 1\nline 2\nline 3\nline 4\n");
}

TEST_P(EngineTest, a_command_runs_inside) {
  ASSERT_TRUE(create(spec_of({"wait"})));
  const auto exec = [&](const std::vector<std::string>& words) {
    return await<ExecResult>([&](auto answer) {
      return api().exec("probe-1", {.arguments = words, .output_bytes = 100}, answer);
    });
  };
  EXPECT_EQ(exec({"/probe"}).error().code(), ErrorCode::failed_precondition);
  ASSERT_TRUE(start("probe-1"));
  const auto good = exec({"/probe", "out", "fine", "exit", "0"});
  ASSERT_TRUE(good) << good.error().to_string();
  EXPECT_EQ(good->exit_code, 0);
  EXPECT_EQ(good->output, "fine\n");
  const auto bad = exec({"/probe", "burst", "5000", "exit", "9"});
  ASSERT_TRUE(bad) << bad.error().to_string();
  EXPECT_EQ(bad->exit_code, 9);
  EXPECT_EQ(bad->output.size(), 100U);
  const auto missing = exec({"/nothing"});
  ASSERT_TRUE(missing) << missing.error().to_string();
  EXPECT_THAT(missing->exit_code, AnyOf(126, 127));
}

TEST_P(EngineTest, a_health_check_is_a_command_inside) {
  ASSERT_TRUE(create(spec_of({"wait"})));
  ASSERT_TRUE(start("probe-1"));
  const auto check = [&](const std::vector<std::string>& words, base::Duration limit) {
    std::optional<health::HealthCheck::Result> result;
    const CallHandle call =
        check_by_exec(api(), "probe-1", words, limit, [&](const auto& given) { result = given; });
    EXPECT_TRUE(engine_->run_until([&] { return result.has_value(); }));
    return result.value_or(health::HealthCheck::Result{});
  };
  EXPECT_TRUE(check({"/probe", "exit", "0"}, std::chrono::seconds(30)).good);
  const auto bad = check({"/probe", "err", "not now", "exit", "1"}, std::chrono::seconds(30));
  EXPECT_FALSE(bad.good);
  EXPECT_EQ(bad.text, "'/probe' exited with 1: not now");
  EXPECT_FALSE(check({"/probe", "wait"}, std::chrono::seconds(1)).good) << "it does not end";
}

TEST_P(EngineTest, events_tell_what_happens_to_ones_own) {
  std::vector<ContainerEvent> events;
  std::optional<base::Result<void>> end;
  const CallHandle watch = api().watch_events(
      {{"segue.component", "probe"}}, std::nullopt,
      [&](const ContainerEvent& event) { events.push_back(event); },
      [&](base::Result<void> ended) { end = std::move(ended); });
  auto other = spec_of({"exit", "1"});
  other.name = "other";
  other.identity.component = "other";
  // The watch has no beginning that is seen: until the first event comes, make something happen.
  ASSERT_TRUE(engine_->run_until([&] {
    EXPECT_TRUE(create(spec_of({"exit", "5"})));
    EXPECT_TRUE(remove("probe-1"));
    return !events.empty();
  }));
  EXPECT_EQ(run(other), 1);
  EXPECT_EQ(run(spec_of({"exit", "5"})), 5);
  const auto died = [&] {
    return std::ranges::find(events, EventKind::died, &ContainerEvent::kind);
  };
  ASSERT_TRUE(engine_->run_until([&] { return died() != events.end(); }));
  EXPECT_EQ(died()->container_name, "probe-1");
  EXPECT_EQ(died()->exit_code, 5);
  EXPECT_EQ(died()->labels.at("segue.release"), "1.0.0");
  EXPECT_GT(died()->at, base::RealTime{});
  EXPECT_THAT(events, Not(Contains(::testing::Field(&ContainerEvent::container_name, "other"))));

  engine_->kill();
  ASSERT_TRUE(engine_->run_until([&] { return end.has_value(); }));
  EXPECT_EQ(end->error().code(), ErrorCode::unavailable);
}

TEST_P(EngineTest, a_call_that_is_given_up_says_nothing_more) {
  ASSERT_TRUE(create(spec_of({"wait"})));
  ASSERT_TRUE(start("probe-1"));
  bool was_called = false;
  CallHandle wait = api().wait_container("probe-1", [&](auto) { was_called = true; });
  CallHandle look = api().inspect_container("probe-1", [&](auto) { was_called = true; });
  look.reset();
  ASSERT_TRUE(inspect("probe-1"));
  wait.reset();
  ASSERT_TRUE(stop("probe-1"));
  EXPECT_FALSE(was_called);
}

TEST_P(EngineTest, a_killed_agent_finds_its_container_again) {
  const auto ensure = [&](const ContainerSpec& spec) {
    return await<Ensured>([&](auto answer) { return ensure_container(api(), spec, answer); });
  };
  auto spec = spec_of({"wait"});
  auto first = ensure(spec);
  ASSERT_TRUE(first) << first.error().to_string();
  EXPECT_EQ(first->adoption, Adoption::created);
  ASSERT_TRUE(start(first->container.id));
  spec.identity.generation = 8;  // asks for the same again
  auto second = ensure(spec);
  ASSERT_TRUE(second) << second.error().to_string();
  EXPECT_EQ(second->adoption, Adoption::adopted);
  EXPECT_EQ(second->container.id, first->container.id);
  EXPECT_EQ(second->container.phase, ContainerPhase::running);
  spec.environment["LEVEL"] = "high";
  EXPECT_EQ(ensure(spec)->adoption, Adoption::outdated);

  auto foreign = spec_of({"wait"});
  foreign.identity.component = "other";
  const auto refused = ensure(foreign);
  EXPECT_EQ(refused.error().code(), ErrorCode::already_exists);
  EXPECT_EQ(inspect("probe-1")->phase, ContainerPhase::running) << "and is left alone";
}

TEST_P(EngineTest, what_is_left_over_is_removed_by_its_label_alone) {
  auto spec = spec_of({"wait"});
  for (const char* name : {"old", "wanted", "runs"}) {
    spec.name = name;
    ASSERT_TRUE(create(spec));
  }
  ASSERT_TRUE(start("runs"));
  const std::string foreign =
      R"({"Image":")" + image_ +
      R"(","Labels":{"segueish":"x"},"HostConfig":{"NetworkMode":"none","Ulimits":[)"
      R"({"Name":"nofile","Soft":1024,"Hard":1024},{"Name":"nproc","Soft":1024,"Hard":1024}]}})";
  ASSERT_TRUE(engine_->post("/v1.41/containers/create?name=foreign", foreign));
  const auto pruned = await<Pruned>([&](auto answer) {
    return prune_containers(
        api(), [](const ContainerSummary& container) { return container.name == "wanted"; },
        answer);
  });
  ASSERT_TRUE(pruned) << pruned.error().to_string();
  EXPECT_THAT(pruned->removed, ElementsAre("old"));
  EXPECT_TRUE(pruned->errors.empty());
  EXPECT_TRUE(inspect("foreign"));
  EXPECT_TRUE(inspect("runs"));
}

// At whatever point of a start or a stop an engine dies: once it is back, another try finds what is
// there, and gets to where it should be.
TEST_P(EngineTest, an_engine_that_is_killed_in_the_middle_loses_nothing) {
  const auto spec = spec_of({"wait"});
  for (int round = 0; round < 4; ++round) {
    auto ensured =
        await<Ensured>([&](auto answer) { return ensure_container(api(), spec, answer); });
    ASSERT_TRUE(ensured) << ensured.error().to_string();
    const std::string id = ensured->container.id;
    const bool is_start = round % 2 == 0;
    std::optional<base::Result<void>> answer;
    const auto on_answer = [&](base::Result<void> given) { answer = std::move(given); };
    const CallHandle call = is_start ? api().start_container(id, on_answer)
                                     : api().stop_container(id, std::chrono::seconds(5), on_answer);
    // Let the request go, and the engine begin, by different amounts of the loop's turns.
    for (int turn = 0; turn < 1 + round; ++turn) {
      (void)engine_->loop().run_once(std::chrono::milliseconds(10));
    }
    engine_->kill();
    ASSERT_TRUE(engine_->run_until([&] { return answer.has_value(); }));
    if (!*answer) {
      EXPECT_THAT(answer->error().code(), AnyOf(ErrorCode::unknown_outcome, ErrorCode::unavailable))
          << answer->error().to_string();
    }
    ASSERT_TRUE(engine_->start());
    // What is said now is the truth, whatever was answered before.
    auto found = await<Ensured>([&](auto given) { return ensure_container(api(), spec, given); });
    ASSERT_TRUE(found) << found.error().to_string();
    EXPECT_EQ(found->adoption, Adoption::adopted);
    EXPECT_EQ(found->container.id, id);
    if (is_start) {
      found = await<Ensured>([&](auto given) { return ensure_running(api(), spec, given); });
      ASSERT_TRUE(found) << found.error().to_string();
    } else {
      const auto stopped = stop(id);
      ASSERT_TRUE(stopped) << stopped.error().to_string();
    }
    const auto state = inspect(spec.name);
    ASSERT_TRUE(state);
    EXPECT_EQ(state->phase, is_start ? ContainerPhase::running : ContainerPhase::exited);
    EXPECT_EQ(is_start, state->pid > 0 && ::kill(state->pid, 0) == 0) << "the kernel agrees";
  }
}

}  // namespace
}  // namespace segue::runtime
