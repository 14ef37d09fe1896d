// SPDX-License-Identifier: Apache-2.0
#include "cli/manual.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "cli/arguments.h"
#include "cli/completion.h"

namespace segue::cli {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::Not;

const CommandText& find(const CommandText& program, const std::string& name) {
  return *std::find_if(program.commands.begin(), program.commands.end(),
                       [&](const CommandText& command) { return command.name == name; });
}

CommandText small_program() {
  const OptionText json{.names = {"--json"}, .value = "", .text = "Answer with JSON"};
  const OptionText limit{.names = {"-l", "--limit"}, .value = "N", .text = "It's [a] limit: N"};
  const OptionText half{.names = {"--half"}, .value = "", .text = "… of it"};
  const OptionText name{.names = {"NAME"}, .value = "TEXT", .text = "What", .required = true};
  CommandText start{.name = "start", .aliases = {"begin"}, .text = ".Start -x \\ it"};
  start.options = {json, limit, half};
  start.positionals = {name};
  start.takes_program = true;
  CommandText program{.name = "tool", .aliases = {}, .text = "A tool"};
  program.commands = {start};
  return program;
}

TEST(Description, has_every_command_with_its_options) {
  const CommandText program = describe_arguments();
  std::vector<std::string> names;
  for (const auto& command : program.commands) names.push_back(command.name);
  EXPECT_THAT(names, IsSupersetOf({"run", "upgrade", "undo", "stop", "status", "doctor"}));

  const CommandText& upgrade = find(program, "upgrade");
  EXPECT_TRUE(upgrade.takes_program);
  ASSERT_EQ(upgrade.positionals.size(), 1U);
  EXPECT_EQ(upgrade.positionals.front().names.front(), "NAME");
  std::vector<std::string> options;
  for (const auto& option : upgrade.options) {
    options.insert(options.end(), option.names.begin(), option.names.end());
  }
  EXPECT_THAT(options, IsSupersetOf({"--help", "--json", "--dry-run", "--budget-ms"}));
  EXPECT_THAT(find(program, "undo").aliases, Contains("rollback"));
}

TEST(Description, every_command_answers_with_json) {
  for (const auto& command : describe_arguments().commands) {
    if (!command.commands.empty()) continue;
    EXPECT_TRUE(std::any_of(command.options.begin(), command.options.end(), [](const auto& option) {
      return option.names.back() == "--json";
    })) << command.name;
  }
}

TEST(Manual, has_a_page_for_the_program_and_for_every_command) {
  EXPECT_THAT(page_names(small_program()), testing::ElementsAre("tool", "tool-start"));
  EXPECT_EQ(manual_page(small_program(), "tool-stop", "1"), std::nullopt);
}

TEST(Manual, escapes_what_roff_would_read) {
  const std::string page = *manual_page(small_program(), "tool-start", "1.2");
  EXPECT_THAT(page, HasSubstr(".TH TOOL\\-START 1 \"\" \"segue 1.2\""));
  EXPECT_THAT(page, HasSubstr("\n\\&.Start \\-x \\e it"));
  EXPECT_THAT(page, HasSubstr("\\fB\\-l\\fR, \\fB\\-\\-limit\\fR \\fIN\\fR\n"));
  EXPECT_THAT(page, HasSubstr("\\fINAME\\fR [\\fB\\-\\-\\fR] \\fIPROGRAM\\fR"));
  EXPECT_THAT(page, HasSubstr("\n\\&... of it\n"));
  EXPECT_THAT(page, HasSubstr("Also called \\fBbegin\\fR"));
}

TEST(Completion, knows_options_values_and_positions) {
  const std::string bash = bash_completion(small_program());
  EXPECT_THAT(bash, HasSubstr("    'start')\n      options='--json -l --limit --half'\n"
                              "      valued='-l --limit'\n      commands=''\n"
                              "      positionals='NAME PROGRAM' ;;\n"));
  EXPECT_THAT(bash, HasSubstr("    'begin')\n"));
  EXPECT_THAT(bash, Not(HasSubstr("@NAMES@")));
}

TEST(Completion, quotes_texts_for_each_shell) {
  EXPECT_THAT(zsh_completion(small_program()),
              HasSubstr("'--limit[It'\\''s \\[a\\] limit\\: N]:N:_files'"));
  EXPECT_THAT(fish_completion(small_program()), HasSubstr("-d 'It\\'s [a] limit: N'"));
}

}  // namespace
}  // namespace segue::cli
