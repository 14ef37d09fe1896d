// SPDX-License-Identifier: Apache-2.0
#include "cli/arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace segue::cli {
namespace {

using control::ExitCode;
using testing::ElementsAre;
using testing::HasSubstr;

Arguments parsed(std::vector<std::string> words) {
  auto result = parse_arguments(std::move(words));
  EXPECT_TRUE(result.arguments) << result.usage.text;
  return result.arguments.value_or(Arguments{});
}

std::string refused(std::vector<std::string> words) {
  const auto result = parse_arguments(std::move(words));
  EXPECT_FALSE(result.arguments);
  EXPECT_EQ(result.usage.exit, ExitCode::usage);
  return result.usage.text;
}

TEST(Arguments, what_is_behind_the_program_belongs_to_it) {
  const auto arguments =
      parsed({"upgrade", "--budget-us", "500", "kv", "./v2", "--port", "1", "-x"});
  EXPECT_EQ(arguments.command, Command::upgrade);
  EXPECT_EQ(arguments.name, "kv");
  EXPECT_EQ(arguments.attempt.budget_us, 500U);
  EXPECT_THAT(arguments.program, ElementsAre("./v2", "--port", "1", "-x"));
}

TEST(Arguments, two_dashes_may_stand_before_the_program) {
  EXPECT_THAT(parsed({"run", "kv", "--", "v1", "--json", "--", "x"}).program,
              ElementsAre("v1", "--json", "--", "x"));
  EXPECT_FALSE(parsed({"run", "kv", "--", "v1", "--json"}).json);
  EXPECT_THAT(parsed({"run", "kv", "v1", "a", "--", "b"}).program,
              ElementsAre("v1", "a", "--", "b"));
}

TEST(Arguments, options_may_stand_behind_the_name_before_two_dashes) {
  const auto arguments =
      parsed({"run", "kv", "--env", "A=1", "--env", "B=2", "--json", "--", "v1"});
  EXPECT_THAT(arguments.env, ElementsAre("A=1", "B=2"));
  EXPECT_TRUE(arguments.json);
  EXPECT_THAT(arguments.program, ElementsAre("v1"));
}

TEST(Arguments, a_file_takes_the_place_of_name_and_program) {
  EXPECT_EQ(parsed({"run", "--file", "segue.yaml"}).file, "segue.yaml");
  EXPECT_EQ(parsed({"upgrade", "--json", "--file=a.yaml"}).file, "a.yaml");
  EXPECT_THAT(refused({"run", "--file", "segue.yaml", "kv", "v1"}), HasSubstr("in the file"));
  EXPECT_THAT(refused({"run", "--listen", "web=tcp:127.0.0.1:1"}), HasSubstr("NAME"));
}

TEST(Arguments, contracts_have_their_options) {
  const auto arguments =
      parsed({"run", "--upgrade", "listeners", "--listen", "web=tcp:127.0.0.1:80", "--listen",
              "admin=unix:/run/a.sock", "--drain-s", "1.5", "web", "v1", "--listen"});
  EXPECT_EQ(arguments.contract.upgrade, "listeners");
  EXPECT_EQ(arguments.contract.listen.size(), 2U);
  EXPECT_EQ(arguments.contract.drain_ms, 1'500U);
  EXPECT_THAT(arguments.program, ElementsAre("v1", "--listen"));
  EXPECT_THAT(refused({"run", "--listen", "web=8080", "web", "v1"}), HasSubstr("listen"));
}

TEST(Arguments, a_container_takes_the_place_of_the_program) {
  const auto arguments =
      parsed({"run", "kv", "--container", "kv:1", "--network", "host", "--mount", "/a:/b:ro",
              "--memory", "1g", "--cap-drop", "all", "--", "--listen", "x"});
  EXPECT_EQ(arguments.container.image, "kv:1");
  EXPECT_EQ(arguments.container.network, "host");
  EXPECT_EQ(arguments.container.memory_bytes, std::uint64_t{1} << 30);
  EXPECT_EQ(arguments.container.mounts.size(), 1U);
  EXPECT_THAT(arguments.program, ElementsAre("--listen", "x"));
  EXPECT_TRUE(parsed({"upgrade", "--container", "kv:2", "kv"}).program.empty());
  EXPECT_THAT(refused({"upgrade", "--network", "host", "kv", "v2"}), HasSubstr("--container"));
  EXPECT_THAT(refused({"run", "--container", "x", "--network", "lan", "kv"}),
              HasSubstr("'lan' is none of none, host, bridge"));
  EXPECT_THAT(refused({"run", "--container", "x", "kv", "--colour"}), HasSubstr("--colour"));
}

TEST(Arguments, seconds_and_milliseconds_become_the_keepers_units) {
  const auto arguments = parsed({"upgrade", "--budget-ms", "2.5", "--probation-s", "0.25",
                                 "--timeout", "3", "--start-s", "7", "kv", "v2"});
  EXPECT_EQ(arguments.attempt.budget_us, 2'500U);
  EXPECT_EQ(arguments.attempt.probation_ms, 250U);
  EXPECT_EQ(arguments.attempt.timeout_ms, 3'000U);
  EXPECT_EQ(arguments.attempt.start_ms, 7'000U);
}

TEST(Arguments, of_every_command) {
  EXPECT_EQ(parsed({"rollback", "kv"}).command, Command::undo);
  EXPECT_EQ(parsed({"undo", "kv", "--probation-s", "0"}).attempt.probation_ms, 0U);
  EXPECT_EQ(parsed({"rehearse", "kv", "v2"}).command, Command::rehearse);
  EXPECT_TRUE(parsed({"status"}).name.empty());
  EXPECT_TRUE(parsed({"status", "-w", "kv"}).watch);
  EXPECT_TRUE(parsed({"events", "kv", "-f"}).follow);
  EXPECT_EQ(parsed({"history", "kv"}).command, Command::history);
  EXPECT_EQ(parsed({"history", "--last", "3", "kv"}).last, 3U);
  EXPECT_EQ(parsed({"doctor"}).command, Command::doctor);
  EXPECT_EQ(parsed({"doctor", "4711"}).name, "4711");
  EXPECT_TRUE(parsed({"stop", "--dry-run", "kv"}).dry_run);
}

TEST(Arguments, of_those_who_sign) {
  const auto person =
      parsed({"person", "set", "ada", "--right", "sign", "--key", "a.pub", "--key", "b.pub"});
  EXPECT_EQ(person.fleet.keys, (std::vector<std::string>{"a.pub", "b.pub"}));
  const auto deploy = parsed({"deploy", "--sign-with", "a", "--sign-with", "b", "segue.yaml",
                              "--passphrase-file", "p", "--signatures", "in"});
  EXPECT_EQ(deploy.fleet.signers, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(deploy.fleet.file, "segue.yaml");
  EXPECT_EQ(deploy.fleet.passphrase_file, "p");
  EXPECT_EQ(deploy.fleet.signatures, "in");
  EXPECT_EQ(
      parsed({"deploy", "--sign-with", "a", "--write-signatures", "out"}).fleet.write_signatures,
      "out");
  EXPECT_THAT(refused({"deploy", "--write-signatures", "out"}), HasSubstr("--sign-with"));
}

TEST(Arguments, of_people_and_of_what_happened) {
  EXPECT_TRUE(parsed({"history"}).name.empty());
  EXPECT_TRUE(parsed({"history", "--fleet", "kv"}).fleet.fleet);
  EXPECT_EQ(parsed({"events", "--object", "kv-2", "-f"}).fleet.object, "kv-2");
  const auto person = parsed({"person", "set", "ci", "--right", "deploy", "--right", "approve",
                              "--component", "kv", "--write", "ci.json"});
  EXPECT_EQ(person.command, Command::person_set);
  EXPECT_EQ(person.fleet.rights, (std::vector<std::string>{"deploy", "approve"}));
  EXPECT_EQ(person.fleet.components, std::vector<std::string>{"kv"});
  EXPECT_THAT(refused({"person", "set", "ci", "--right", "fly"}), HasSubstr("fly"));
  const auto webhook = parsed({"webhook", "add", "ci", "https://x/", "--kind", "rollout"});
  EXPECT_EQ(webhook.fleet.url, "https://x/");
  EXPECT_EQ(webhook.fleet.kinds, std::vector<std::string>{"rollout"});
  const auto logs = parsed({"logs", "kv", "--host", "berlin-1", "-n", "5", "-f", "--canary"});
  EXPECT_EQ(logs.command, Command::logs);
  EXPECT_EQ(logs.fleet.component, "kv");
  EXPECT_EQ(logs.fleet.lines, 5U);
  EXPECT_TRUE(logs.follow && logs.fleet.canary);
  EXPECT_THAT(refused({"logs", "kv", "-n", "0"}), HasSubstr("0"));
  EXPECT_EQ(parsed({"audit", "verify", "--expect", "00"}).fleet.expect, "00");
  EXPECT_EQ(parsed({"audit", "list", "-n", "0"}).fleet.count, 0U);
  EXPECT_TRUE(parsed({"emergency-stop", "--lift"}).fleet.off);
  EXPECT_TRUE(parsed({"emergency-stop", "--dry-run"}).dry_run);
}

TEST(Arguments, every_command_takes_json) {
  for (const char* name : {"status", "history", "stop", "events", "undo"}) {
    EXPECT_TRUE(parsed({name, "--json", "kv"}).json) << name;
  }
  EXPECT_TRUE(parsed({"doctor", "--json"}).json);
}

TEST(Arguments, mistakes_are_one_line_that_says_where_to_look) {
  EXPECT_THAT(refused({"upgade", "kv", "v2"}), HasSubstr("did you mean upgrade?"));
  EXPECT_THAT(refused({"upgrade", "kv"}),
              HasSubstr("PROGRAM is missing; see `segue upgrade --help`"));
  EXPECT_THAT(refused({"upgrade"}), HasSubstr("NAME"));
  EXPECT_THAT(refused({"upgrade", "--colour", "kv", "v2"}), HasSubstr("--colour"));
  EXPECT_THAT(refused({"upgrade", "--budget-us", "5", "kv", "v2"}), HasSubstr("--budget-us"));
  EXPECT_THAT(refused({"upgrade", "--retries", "x", "kv", "v2"}), HasSubstr("--retries"));
  EXPECT_THAT(refused({"stop", "a", "b"}), HasSubstr("b"));
  EXPECT_THAT(refused({"stop", "a", "--", "b"}), HasSubstr("do not belong here"));
  EXPECT_THAT(refused({}), HasSubstr("--help"));
  for (const auto& words : std::vector<std::vector<std::string>>{{"upgrade", "kv"}, {"x"}, {}}) {
    EXPECT_EQ(refused(words).find('\n'), std::string::npos);
  }
}

TEST(Arguments, a_share_is_shown_or_set) {
  EXPECT_EQ(parsed({"share", "chat"}).share.share, "");
  const auto set = parsed({"share", "chat", "10%", "--sticky", "source", "--salt", "7"});
  EXPECT_EQ(set.name, "chat");
  EXPECT_EQ(set.share.share, "10%");
  EXPECT_EQ(set.share.sticky, "source");
  EXPECT_EQ(set.share.salt, 7U);
  EXPECT_THAT(refused({"share", "chat", "10%", "--sticky", "moon"}), HasSubstr("moon"));
  EXPECT_THAT(refused({"share", "chat", "--keep-s", "0"}), HasSubstr("keep-s"));
  EXPECT_THAT(parsed({"share", "chat", "--haproxy", "/s", "--canary-server", "a", "--canary-server",
                      "b=127.0.0.1:80"})
                  .share.canary_servers,
              ElementsAre("a", "b=127.0.0.1:80"));
}

TEST(Arguments, a_mistake_after_json_is_answered_in_json) {
  EXPECT_TRUE(parse_arguments({"stop", "--json"}).json);
  EXPECT_FALSE(parse_arguments({"run", "kv", "--", "--json"}).json);
}

TEST(Arguments, help_is_no_mistake) {
  for (const auto& words : std::vector<std::vector<std::string>>{
           {"--help"}, {"upgrade", "--help"}, {"--version"}, {"run", "-h"}}) {
    const auto result = parse_arguments(words);
    EXPECT_EQ(result.usage.exit, ExitCode::done);
    EXPECT_FALSE(result.usage.text.empty());
  }
  EXPECT_THAT(parse_arguments({"run", "--help"}).usage.text, HasSubstr("UNSAFE"));
}

}  // namespace
}  // namespace segue::cli
