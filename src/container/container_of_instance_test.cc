// SPDX-License-Identifier: Apache-2.0
#include "container/container_of_instance.h"

#include <gtest/gtest.h>

#include "container/command_line.h"

namespace segue::container {
namespace {

const Place kPlace{.component = "kv", .generation = 3, .folder = "/run/segue/kv"};

TEST(ContainerOfInstance, sees_its_own_socket_and_the_next_keepers_and_nothing_else_of_it) {
  control::ContainerOptions options;
  options.image = "localhost/kv:1";
  options.env = {"LEVEL=a=b", "SEGUE_NAME=other"};
  options.network = "bridge";
  options.ports = {{"127.0.0.1", 8'080, 80}};
  options.max_processes = 64;
  const auto spec = container_of_instance(kPlace, options, {"--port", "1"},
                                          "sha256:" + std::string(64, 'a'), "77 1234", true);
  EXPECT_EQ(spec.name, "segue-kv-3-77");
  EXPECT_EQ(spec.network, runtime::NetworkMode::bridge);
  EXPECT_EQ(spec.ports, (std::vector<runtime::PublishedPort>{{"127.0.0.1", 8'080, 80, false}}));
  EXPECT_EQ(spec.max_processes, 64U);
  EXPECT_EQ(spec.dropped_capabilities, std::vector<std::string>{"ALL"});
  EXPECT_EQ(spec.environment.at("LEVEL"), "a=b");
  EXPECT_EQ(spec.environment.at("SEGUE_NAME"), "kv");
  EXPECT_EQ(spec.environment.at("SEGUE_KEEPER_SOCKET"), "/run/segue-instance/keeper.sock");
  ASSERT_EQ(spec.mounts.size(), 2U);
  EXPECT_EQ(std::get<runtime::BindMount>(spec.mounts[0]),
            (runtime::BindMount{"/run/segue/kv/containers/3", "/run/segue-instance", true}));
  EXPECT_EQ(std::get<runtime::BindMount>(spec.mounts[1]),
            (runtime::BindMount{"/run/segue/kv/rendezvous", "/run/segue/kv", true}))
      << "the path that the keeper names is the same inside";
  const auto fine = runtime::check(spec);
  EXPECT_TRUE(fine) << fine.error().message();
}

TEST(ContainerOfInstance, a_program_that_does_not_link_libsegue_sees_nothing_of_the_keeper) {
  control::ContainerOptions options;
  options.image = "localhost/kv:1";
  const auto spec = container_of_instance(kPlace, options, {}, "sha256:" + std::string(64, 'a'),
                                          "77 1234", false);
  EXPECT_TRUE(spec.mounts.empty());
  EXPECT_FALSE(spec.environment.contains("SEGUE_KEEPER_SOCKET"));
}

TEST(ContainerOfInstance, what_a_killed_starter_left_goes_unless_it_may_serve) {
  runtime::ContainerSummary found;
  found.phase = runtime::ContainerPhase::running;
  EXPECT_EQ(judge(found, true, false), Leftover::keep);
  EXPECT_EQ(judge(found, false, true), Leftover::keep);
  EXPECT_EQ(judge(found, false, false), Leftover::kill_and_remove);
  found.phase = runtime::ContainerPhase::exited;
  EXPECT_EQ(judge(found, false, true), Leftover::remove);
  EXPECT_EQ(judge(found, true, true), Leftover::keep);
}

TEST(CommandLine, takes_what_segue_writes) {
  const std::vector<std::string> words = {
      "--image=kv:1", "--network=host", "--env=A=b", "--", "--port", "--", "x"};
  const auto line = parse_command_line(words);
  ASSERT_TRUE(line) << line.error().message();
  EXPECT_EQ(line->options.image, "kv:1");
  EXPECT_EQ(line->options.network, "host");
  EXPECT_EQ(line->arguments, (std::vector<std::string>{"--port", "--", "x"}));
  for (const std::string wrong : {"--network=host", "kv:1", "--imago=x", "--memory"}) {
    EXPECT_FALSE(parse_command_line(std::vector{wrong})) << wrong;
  }
}

}  // namespace
}  // namespace segue::container
