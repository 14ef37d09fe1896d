// SPDX-License-Identifier: Apache-2.0
#include "service/compose_values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace segue::service {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(ComposeValues, have_no_variables_put_in) {
  EXPECT_EQ(without_variables("a$$b$$"), "a$b$");
  for (const char* text : {"$A", "${A}", "${A:-b}", "a$", "$$$A"}) {
    EXPECT_FALSE(without_variables(text)) << text;
  }
}

TEST(ComposeValues, of_size_have_powers_of_1024) {
  EXPECT_EQ(parse_compose_size("1048576"), 1'048'576U);
  EXPECT_EQ(parse_compose_size("64m"), std::uint64_t{64} << 20U);
  EXPECT_EQ(parse_compose_size("1GB"), std::uint64_t{1} << 30U);
  EXPECT_EQ(parse_compose_size("512K"), std::uint64_t{512} << 10U);
  for (const char* text : {"", "m", "-1", "1.5g", "1t", "1 g", "99999999999g"}) {
    EXPECT_FALSE(parse_compose_size(text)) << text;
  }
}

TEST(ComposeValues, of_words_are_split_as_a_shell_does) {
  EXPECT_THAT(*split_words("redis-server  --save '' \"a b\" c\\ d"),
              ElementsAre("redis-server", "--save", "", "a b", "c d"));
  EXPECT_THAT(*split_words("\"a\\\"b\\\\c\\d\" 'x\\y'"), ElementsAre("a\"b\\c\\d", "x\\y"));
  EXPECT_THAT(*split_words("  "), IsEmpty());
  for (const char* text : {"'a", "\"a", "a\\"}) EXPECT_FALSE(split_words(text)) << text;
}

TEST(ComposeValues, of_words_are_one_command_again) {
  EXPECT_EQ(shell_command({"curl", "-f", "http://localhost/"}), "curl -f http://localhost/");
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"a b", "", "it's"}, {"$HOME", "`x`", "a;b"}, {"\\", "\"", "'"}}) {
    EXPECT_EQ(split_words(shell_command(words)), words) << shell_command(words);
  }
}

TEST(ComposeValues, of_ports_are_of_all_addresses_unless_one_is_named) {
  EXPECT_EQ(parse_compose_port("8080:80"), (fleet::PublishedPort{"0.0.0.0", 8080, 80}));
  EXPECT_EQ(parse_compose_port("127.0.0.1:8080:80/tcp"),
            (fleet::PublishedPort{"127.0.0.1", 8080, 80}));
  EXPECT_EQ(parse_compose_port("[::1]:8080:80"), (fleet::PublishedPort{"::1", 8080, 80}));
  for (const char* text : {"80", "53:53/udp", "8000-8010:80", "a:80", "0:80", ":80", "65536:1"}) {
    EXPECT_FALSE(parse_compose_port(text)) << text;
  }
}

TEST(ComposeValues, of_paths_begin_at_the_files_directory) {
  EXPECT_EQ(absolute_path("./data/", "/srv/app"), "/srv/app/data");
  EXPECT_EQ(absolute_path("../x", "/srv/app"), "/srv/x");
  EXPECT_EQ(absolute_path(".", "/srv/app"), "/srv/app");
  EXPECT_EQ(absolute_path("/a//b/./c", "/srv"), "/a/b/c");
  EXPECT_EQ(absolute_path("../../../..", "/srv"), "/");
  EXPECT_FALSE(absolute_path("~/x", "/srv"));
}

TEST(ComposeValues, of_environment_files_are_simple_or_refused) {
  const auto variables =
      parse_environment_file("# c\n\nA=1\r\n B = two words \nC='$x \\'\nD=\"q\"\nE=\nF=a=b#c\n");
  ASSERT_TRUE(variables) << variables.error().message();
  std::string all;
  for (const auto& [name, value] : *variables) all += name + "=" + value + ";";
  EXPECT_EQ(all, "A=1;B=two words;C=$x \\;D=q;E=;F=a=b#c;");
  for (const char* text :
       {"A", "=1", "export A=1", "A=$B", "A=\"$B\"", "A='b", "A=b #c", "A='b'c'", "A=\\n"}) {
    const auto refused = parse_environment_file("X=1\n" + std::string(text));
    ASSERT_FALSE(refused) << text;
    EXPECT_THAT(refused.error().message(), HasSubstr("line 2: "));
  }
}

}  // namespace
}  // namespace segue::service
