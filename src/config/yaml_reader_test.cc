// SPDX-License-Identifier: Apache-2.0
#include "config/yaml_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace segue::config {
namespace {

using base::Result;
using testing::ElementsAre;
using testing::HasSubstr;

// What is wrong with `text`, of which only the keys count, list and flag are known.
std::string problem_of(const std::string& text) {
  const auto read = read_yaml<bool>(
      "x.yaml", text, [](const YAML::Node& root, const YamlReader& reader) -> Result<bool> {
        SEGUE_TRY(reader.check_keys(root, "", {"count", "list", "flag"}));
        if (root["count"]) SEGUE_TRY(reader.number(root["count"], "count", 1, 9));
        if (root["flag"]) SEGUE_TRY(reader.truth(root["flag"], "flag"));
        if (root["list"]) SEGUE_TRY(reader.scalars(root["list"], "list"));
        return true;
      });
  return read ? "" : read.error().message();
}

TEST(YamlReader, refuses_by_line_and_with_a_suggestion) {
  EXPECT_EQ(problem_of("count: 3\nflag: true\nlist: [a, b]\n"), "");
  EXPECT_EQ(problem_of("flag: true\ncuont: 3\n"),
            "x.yaml:2: there is no key 'cuont'; did you mean 'count'?");
  EXPECT_EQ(problem_of("zzzzzzzz: 3\n"), "x.yaml:1: there is no key 'zzzzzzzz'");
  EXPECT_EQ(problem_of("count: 3\ncount: 4\n"), "x.yaml:2: 'count' is there twice");
  EXPECT_THAT(problem_of("count: 10\n"), HasSubstr("x.yaml:1: count: '10' is not a whole number"));
  EXPECT_THAT(problem_of("count: -1\n"), HasSubstr("'-1' is not a whole number, 1 to 9"));
  EXPECT_THAT(problem_of("flag: yes\n"), HasSubstr("'yes' is neither true nor false"));
  EXPECT_THAT(problem_of("list: [{a: b}]\n"), HasSubstr("a value of list is not a single value"));
  EXPECT_THAT(problem_of("just text\n"), HasSubstr("the file is not a list of keys"));
  EXPECT_EQ(problem_of(""), "x.yaml: there is nothing in it");
  EXPECT_THAT(problem_of("count: [1\n"), HasSubstr("x.yaml:"));
}

TEST(YamlReader, takes_one_value_for_a_list_of_one) {
  const YamlReader reader("x.yaml");
  EXPECT_THAT(*reader.scalars(YAML::Load("make"), "build"), ElementsAre("make"));
  EXPECT_THAT(*reader.scalars(YAML::Load("[make, make install]"), "build"),
              ElementsAre("make", "make install"));
}

}  // namespace
}  // namespace segue::config
