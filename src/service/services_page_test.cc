// SPDX-License-Identifier: Apache-2.0
// docs/services.md tells the truth: its examples are read, and it names every key.
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "service/service_file.h"

namespace segue::service {
namespace {

std::string page() {
  std::ifstream file(SEGUE_SERVICES_PAGE);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> examples() {
  const std::string text = page();
  const std::string begin = "```yaml\n";
  std::vector<std::string> found;
  for (std::size_t at = text.find(begin); at != std::string::npos; at = text.find(begin, at)) {
    at += begin.size();
    found.push_back(text.substr(at, text.find("```", at) - at));
  }
  return found;
}

// Those that begin a row of a table.
std::set<std::string> keys_of_tables() {
  std::istringstream lines(page());
  std::set<std::string> keys;
  bool is_of_compose = false;
  for (std::string line; std::getline(lines, line);) {
    is_of_compose |= line.starts_with("## From Compose");
    if (!line.starts_with("| `") || is_of_compose) continue;
    const std::string cell = line.substr(2, line.find(" | ") - 2);
    for (std::size_t at = cell.find('`'); at != std::string::npos;) {
      const std::size_t end = cell.find('`', at + 1);
      keys.insert(cell.substr(at + 1, end - at - 1));
      at = cell.find('`', end + 1);
    }
  }
  return keys;
}

TEST(ServicesPage, has_examples_that_are_read) {
  EXPECT_GE(examples().size(), 3U);
  for (const auto& example : examples()) {
    for (const auto& problem : read_service("example", example).problems) {
      ADD_FAILURE() << problem << "\n" << example;
    }
  }
}

TEST(ServicesPage, names_every_key_and_no_other) {
  // Sections are named by what is in them.
  const std::set<std::string> sections = {"release", "limits",        "health", "sharing",
                                          "hosts",   "stop",          "signal", "handoff",
                                          "rollout", "rollout.canary"};
  const auto named = keys_of_tables();
  std::set<std::string> known;
  for (const auto& key : service_file_keys()) {
    known.insert(key);
    EXPECT_TRUE(sections.contains(key) || named.contains(key)) << key << " is not on the page";
  }
  for (const auto& key : named) EXPECT_TRUE(known.contains(key)) << "there is no key " << key;
}

}  // namespace
}  // namespace segue::service
