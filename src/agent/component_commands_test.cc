// SPDX-License-Identifier: Apache-2.0
#include "agent/component_commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace segue::agent {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsSupersetOf;
using testing::Not;

const InstanceHome kHome{.segue = "/usr/bin/segue",
                         .name = "kv",
                         .place = "/agent/instances/kv",
                         .runtime = "/run/segue",
                         .engine = "unix:///run/e"};
const std::string kImage = "sha256:" + std::string(64, 'a');

fleet::ComponentSpec container() {
  fleet::ComponentSpec spec;
  spec.name = "kv";
  spec.driver = fleet::Driver::container;
  spec.release.registry = "registry.example/kv:1";
  spec.contract.upgrade = "auto";
  return spec;
}

Words words_behind(const Words& words, const std::string& word) {
  const auto found = std::find(words.begin(), words.end(), word);
  return found == words.end() ? Words{} : Words(found + 1, words.end());
}

TEST(ComponentCommands, of_history_only_the_end_is_asked_for_however_long_it_is) {
  EXPECT_THAT(history_words(kHome),
              ElementsAre(kHome.segue, "history", "--json", "--last=1", "kv"));
}

TEST(ComponentCommands, a_container_is_what_its_component_says) {
  fleet::ComponentSpec spec = container();
  spec.command = {"--port", "--", "7000"};
  spec.environment = {"LEVEL=a b"};
  spec.secrets = {{"key", "/etc/kv/key"}};
  spec.volumes = {{"/srv/kv", "/data", true}};
  spec.network = fleet::Network::bridge;
  spec.ports = {{"127.0.0.1", 8'080, 80}};
  spec.capabilities = {"NET_BIND_SERVICE"};
  spec.limits = {
      .memory_bytes = 64 << 20, .cpu_thousandths = 1'500, .processes = 20, .descriptors = 1'024};
  for (const Words& words :
       {run_words(kHome, spec, 7, kImage), upgrade_words(kHome, spec, 7, kImage)}) {
    EXPECT_THAT(
        words,
        IsSupersetOf(Words{
            "--container=registry.example/kv:1", "--image-id=" + kImage, "--engine=unix:///run/e",
            "--network=bridge", "--cap-add=NET_BIND_SERVICE", "--memory=67108864", "--cpus=1.500",
            "--pids=20", "--nofile=1024", "--mount=/srv/kv:/data:ro", "--secret=key=/etc/kv/key",
            "--publish=127.0.0.1:8080:80", "--env=LEVEL=a b"}));
    EXPECT_THAT(words_behind(words, "--"), ElementsAre("--port", "--", "7000"));
  }
}

TEST(ComponentCommands, what_served_before_is_made_live_by_its_name_however_it_is) {
  fleet::ComponentSpec spec = container();
  spec.driver = fleet::Driver::process;
  spec.release = {.library = "/lib", .component = "kv", .version = "2"};
  EXPECT_THAT(hand_back_words(kHome, spec),
              ElementsAre(kHome.segue, "go-live", kHome.place, "2", "--component", "kv", "--json",
                          "--check", "none"));
}

TEST(ComponentCommands, a_process_is_started_only_as_the_program_that_its_release_has) {
  fleet::ComponentSpec spec = container();
  spec.driver = fleet::Driver::process;
  spec.release = {.library = "/lib", .component = "kv", .version = "2"};
  spec.command = {"bin/kv"};
  EXPECT_THAT(go_live_words(kHome, spec),
              ElementsAre(kHome.segue, "go-live", kHome.place, "2", "--component", "kv", "--json",
                          "--program", "bin/kv"));
  EXPECT_EQ(read_program(R"({"exit":0,"program":")" + kImage + R"("})"), kImage);
  EXPECT_EQ(read_program(R"({"exit":0})"), "") << "of a link that leads out of the release";
  for (const Words& words :
       {run_words(kHome, spec, 7, kImage), upgrade_words(kHome, spec, 7, kImage)}) {
    EXPECT_THAT(words, Contains("--program-digest=" + kImage));
    EXPECT_EQ(revision_of(kHome, words_behind(words, "--start-link").front()), 7U);
    EXPECT_THAT(words_behind(words, "--"), ElementsAre(revision_link(kHome, 7) + "/bin/kv"));
  }
}

TEST(ComponentCommands, which_revision_a_container_is_can_be_told_from_its_program) {
  const Words words = run_words(kHome, container(), 7, kImage);
  const Words behind = words_behind(words, "--start-link");
  ASSERT_FALSE(behind.empty());
  EXPECT_EQ(revision_of(kHome, behind.front()), 7U);
}

TEST(ComponentCommands,
     a_process_is_within_the_limits_of_its_component_and_still_told_by_revision) {
  fleet::ComponentSpec spec = container();
  spec.driver = fleet::Driver::process;
  spec.release = {.library = "/lib", .component = "kv", .version = "2"};
  spec.command = {"bin/kv", "--memory=1"};
  EXPECT_THAT(run_words(kHome, spec, 7, ""), Not(Contains("--start-link")));
  spec.secrets = {{"key", "/etc/kv/key"}};
  spec.limits = {.memory_bytes = 64 << 20, .processes = 20, .descriptors = 1'024};
  for (const Words& words : {run_words(kHome, spec, 7, ""), upgrade_words(kHome, spec, 7, "")}) {
    EXPECT_THAT(words, IsSupersetOf(Words{"--memory=67108864", "--pids=20", "--nofile=1024",
                                          "--secret=key=/etc/kv/key"}));
    const Words behind = words_behind(words, "--start-link");
    ASSERT_FALSE(behind.empty());
    EXPECT_EQ(revision_of(kHome, behind.front()), 7U);
    EXPECT_THAT(words_behind(words, "--"),
                ElementsAre(revision_link(kHome, 7) + "/bin/kv", "--memory=1"));
  }
}

TEST(ComponentCommands, a_container_is_handed_over_unless_it_says_otherwise) {
  fleet::ComponentSpec spec = container();
  EXPECT_THAT(run_words(kHome, spec, 1, kImage), Not(Contains("upgrade=auto")));
  spec.driver = fleet::Driver::process;
  spec.command = {"bin/kv"};
  EXPECT_THAT(run_words(kHome, spec, 1, ""), Contains("upgrade=auto"));
  EXPECT_THAT(run_words(kHome, spec, 1, ""), Not(Contains("--container=registry.example/kv:1")));
}

TEST(ComponentCommands, an_image_comes_from_its_registry_or_from_the_staged_tree) {
  fleet::ComponentSpec spec = container();
  EXPECT_THAT(image_words(kHome, spec, ""),
              ElementsAre("/usr/bin/segue", "image", "registry.example/kv:1", "--pull", "--engine",
                          "unix:///run/e", "--json"));
  EXPECT_THAT(image_words(kHome, spec, kImage), Contains(kImage))
      << "what it was when it was staged, wherever the tag is now";
  spec.release = {.library = "/lib", .component = "chat", .version = "2"};
  EXPECT_THAT(image_words(kHome, spec, kImage),
              ElementsAre("/usr/bin/segue", "image", kHome.place, "--version", "2", "--load",
                          "--engine", "unix:///run/e", "--json"));
}

TEST(ComponentCommands, an_answer_that_names_no_image_is_none) {
  EXPECT_EQ(read_image(R"({"exit":0,"image":")" + kImage + R"("})").value_or(""), kImage);
  for (const char* wrong : {"", "{}", R"({"image":""})", R"({"image":7})", R"({"image":"kv:1"})",
                            R"({"image":"sha256:"})"}) {
    EXPECT_FALSE(read_image(wrong)) << wrong;
  }
}

TEST(ComponentCommands, which_container_serves_is_in_the_description_of_its_generation) {
  const std::string line = R"({"exit":0,"status":{"pid":5,"connections":3,"generation":4,)"
                           R"("program":["/agent/instances/kv/revisions/7/segue-container"]}})";
  const auto status = read_status(kHome, 0, line);
  ASSERT_TRUE(status);
  EXPECT_EQ(status->revision, 7U);
  EXPECT_EQ(status->generation, 4U);
  EXPECT_EQ(read_container(R"({"container":"c0ffee","image":"kv:1"})"), "c0ffee");
  EXPECT_EQ(read_container(""), "");
  EXPECT_EQ(read_container(R"({"container":7})"), "");
}

}  // namespace
}  // namespace segue::agent
