// SPDX-License-Identifier: Apache-2.0
// Every key that a file of a service may have, with everything that may be wrong there: what it
// refuses it refuses at the line, by the key's name.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "service/service_file.h"
#include "service/service_text.h"
#include "service/test_services.h"
#include "service/test_yaml_fields.h"

namespace segue::service {
namespace {

// The file with what stands around `path` only: other components say nothing of it.
YAML::Node file_around(const Path& path) {
  YAML::Node file = YAML::Load(kWholeFile);
  if (path.front() != "components" || path.size() == 1) return file;
  YAML::Node components;
  components[path[1]] = file["components"][path[1]];
  if (path.size() > 2 && path[2] != "gates" && path[2] != "rollout") {
    components[path[1]].remove("gates");
    components[path[1]].remove("rollout");
  }
  file["components"] = components;
  return file;
}

std::vector<Field> all_fields() {
  return fields_of(YAML::Load(kWholeFile));
}

// Names that people choose, below which there is no table of keys.
bool is_map_of_names(const Path& path) {
  static const std::set<std::string> kMaps = {"components", "gates",  "environment",
                                              "secrets",    "labels", "listen"};
  return kMaps.contains(path.back());
}

class EveryKey : public testing::Test {
 protected:
  // With `put` instead of the value there.
  ServiceReading read_with(const Field& field, const std::string& put) {
    if (field.path != around_) {
      file_.reset(file_around(field.path));
      around_ = field.path;
    }
    written_ = Writer(field.path, put).write(file_);
    auto reading = read_service("s.yaml", written_.text);
    EXPECT_NE(reading.service.has_value(), !reading.problems.empty());
    return reading;
  }

  // That a problem stands at the line of `field`, and is said of it or of what is below it.
  void expect_refused(const Field& field, const std::string& put) {
    const auto reading = read_with(field, put);
    EXPECT_FALSE(reading.service) << name_of(field.path) << ": " << put.substr(0, 40);
    const std::string begin = fmt::format("s.yaml:{}: {}", written_.line, key_of(field));
    EXPECT_TRUE(std::ranges::any_of(
        reading.problems, [&](const auto& problem) { return problem.starts_with(begin); }))
        << begin << " is not in: " << fmt::format("{}", fmt::join(reading.problems, "\n"))
        << "\nwith " << put.substr(0, 40);
  }

  // What `defaults` say is checked of the components that take it.
  static std::string key_of(const Field& field) {
    return field.path.front() == "defaults" ? "" : name_of(field.path);
  }

  Written written_;

 private:
  Path around_;
  YAML::Node file_;
};

TEST_F(EveryKey, refuses_a_value_of_another_kind_at_its_line) {
  for (const Field& field : all_fields()) {
    expect_refused(field, "~");
    if (field.kind != YAML::NodeType::Map) expect_refused(field, "{nonsense: [1]}");
    if (field.kind != YAML::NodeType::Sequence) expect_refused(field, "[[nonsense]]");
    if (field.kind != YAML::NodeType::Scalar) expect_refused(field, "nonsense");
  }
}

TEST_F(EveryKey, refuses_an_unknown_key_beside_it_at_its_line) {
  for (const Field& field : all_fields()) {
    if (field.kind != YAML::NodeType::Map || is_map_of_names(field.path)) continue;
    Field unknown = field;
    unknown.path.emplace_back("nonsense");
    YAML::Node file = file_around(field.path);
    YAML::Node map;
    map.reset(file);
    for (const auto& step : field.path) {
      map.reset(step.front() == '[' ? map[std::stoul(step.substr(1))] : map[step]);
    }
    map["nonsense"] = "1";
    written_ = Writer(unknown.path, "1").write(file);
    const auto reading = read_service("s.yaml", written_.text);
    EXPECT_THAT(reading.problems,
                testing::Contains(testing::HasSubstr(fmt::format(
                    "s.yaml:{}: {}: there is no such key", written_.line, name_of(unknown.path)))));
  }
}

// ---- Texts

const std::string kEmpty = "\"\"";
const std::string kNegative = "-1";
const std::string kHuge = "99999999999999999999999";
const std::string kWord = "nonsense";
const std::string kLong(5'000, 'a');

// What a value may be, nonsense or not, where it is a text or has a usual one; all else is refused.
struct Free {
  std::string_view end;  // of the field's name
  std::set<std::string> may_be;
};
const std::vector<Free>& free_fields() {
  static const std::set<std::string> kName = {kHuge, kWord};
  static const std::set<std::string> kText = {kNegative, kHuge, kWord};
  static const std::set<std::string> kAnything = {kEmpty, kNegative, kHuge, kWord, kLong};
  static const std::set<std::string> kOrNothing = {kEmpty};
  static const std::set<std::string> kNumber = {kNegative, kHuge};
  static const std::vector<Free> kFields = {
      {"service", kName},
      {"release.root", kOrNothing},
      {"release.component", {kEmpty, kHuge, kWord}},
      {"release.version", kName},
      {"image", kName},
      {"environment.LEVEL", kAnything},
      {"environment.ZONE", kAnything},
      {"environment.EMPTY", kAnything},
      {"hub.command[0]", {kNegative, kHuge, kWord}},
      {"worker.command[0]", {kNegative, kHuge, kWord}},
      {"probe.command[0]", {kNegative, kHuge, kWord}},
      {"command[1]", kAnything},
      {"command[2]", kAnything},
      {"command[3]", kAnything},
      {"health.exec", kText},
      {"sharing.proxy_host", {kEmpty, kHuge, kWord}},
      {"sharing.backend", kText},
      {"sharing.stable_server", kOrNothing},
      {"sharing.canary_server", kOrNothing},
      {"sharing.routed[0]", kText},
      {"sharing.routed[1]", kText},
      {"sharing.map_value", {kEmpty, kNegative, kHuge, kWord}},
      {".query", kText},
      {".requests", kText},
      {".failures", kText},
      {".buckets", kText},
      {".above", kNumber},
      {".below", kNumber},
      {"hosts.names[0]", kName},
      {"hosts.sites[0]", kName},
      {"hosts.sites[1]", kName},
      {"hosts.labels.tier", kName},
      {"hub.metrics", kOrNothing},
      {"hub.on_crash", kOrNothing},
      {"stop.signal", kOrNothing},
      {"signal.retire", kOrNothing},
      {"signal.resume", kOrNothing},
      {"signal.then", kOrNothing},
      {"waves[1].name", {kEmpty, kNegative, kHuge, kWord}},
      {"waves[0].site", kText},
      {"waves[2].each_label", kText},
  };
  return kFields;
}

bool may_be(const std::string& name, const std::string& put) {
  return std::ranges::any_of(free_fields(), [&](const Free& free) {
    return name.ends_with(free.end) && free.may_be.contains(put);
  });
}

TEST_F(EveryKey, refuses_what_it_cannot_mean_at_its_line) {
  // Left empty they are as if they were not there, and something else misses them.
  const std::set<std::string> missed = {"defaults.release.library",
                                        "components.worker.signal.upgrade",
                                        "components.worker.signal.new_pid"};
  for (const Field& field : all_fields()) {
    if (field.kind != YAML::NodeType::Scalar) continue;
    const std::string name = name_of(field.path);
    for (const auto& put : {kEmpty, kNegative, kHuge, kWord, kLong}) {
      if (!may_be(name, put)) {
        if (put != kEmpty || !missed.contains(name)) expect_refused(field, put);
        continue;
      }
      const auto reading = read_with(field, put);
      ASSERT_TRUE(reading.service) << name << ": " << put << ": " << reading.problems.front();
      EXPECT_EQ(read_service("again", service_text(*reading.service)).service, reading.service)
          << name << ": " << put;
    }
    expect_refused(field, R"("a\0b")");
  }
}

TEST_F(EveryKey, may_be_left_out_or_is_missed_with_a_line) {
  for (const Field& field : all_fields()) {
    if (field.path.back().front() == '[') continue;
    YAML::Node file = file_around(field.path);
    YAML::Node map;
    map.reset(file);
    for (std::size_t i = 0; i + 1 < field.path.size(); ++i) {
      const std::string& step = field.path[i];
      map.reset(step.front() == '[' ? map[std::stoul(step.substr(1))] : map[step]);
    }
    map.remove(field.path.back());
    const auto reading = read_service("s.yaml", Writer({}, "").write(file).text);
    EXPECT_NE(reading.service.has_value(), !reading.problems.empty()) << name_of(field.path);
    for (const auto& problem : reading.problems) {
      EXPECT_THAT(problem, testing::MatchesRegex("s\\.yaml:[1-9][0-9]*: .+"));
    }
  }
}

}  // namespace
}  // namespace segue::service
