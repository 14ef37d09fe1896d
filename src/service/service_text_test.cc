// SPDX-License-Identifier: Apache-2.0
#include "service/service_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include "service/service_file.h"
#include "service/test_services.h"
#include "service/yaml_text.h"

namespace segue::service {
namespace {

using testing::HasSubstr;

Service service_of(const std::string& text) {
  auto reading = read_service("s.yaml", text);
  for (const auto& problem : reading.problems) ADD_FAILURE() << problem << "\n" << text;
  return reading.service ? *std::move(reading.service) : Service();
}

TEST(ServiceText, is_read_as_the_same_service) {
  const Service service = service_of(kWholeFile);
  EXPECT_EQ(service_of(service_text(service)), service);
  EXPECT_EQ(service_of(service_text(service, {.with_defaults = true})), service);
}

TEST(ServiceText, has_one_form_for_one_meaning) {
  const Service service = service_of(kWholeFile);
  EXPECT_EQ(service_text(service_of(service_text(service))), service_text(service));
}

TEST(ServiceText, leaves_out_what_is_at_its_default_unless_asked) {
  const Service service =
      service_of("service: s\ncomponents: {r: {driver: container, image: \"redis:7\"}}\n");
  EXPECT_EQ(service_text(service),
            "service: s\ncomponents:\n  r:\n    driver: container\n    image: redis:7\n");
  const std::string whole = service_text(service, {.with_defaults = true});
  EXPECT_THAT(whole, HasSubstr("    network: host\n"));
  EXPECT_THAT(whole, HasSubstr("      strategy: rolling\n"));
  EXPECT_THAT(whole, HasSubstr("      bake: 1m\n"));
}

TEST(ServiceText, has_comments_where_they_belong) {
  const Service service =
      service_of("service: s\ncomponents: {r: {driver: container, image: \"redis:7\"}}\n");
  EXPECT_EQ(service_text(service, {.with_defaults = false,
                                   .heading = {"From\ncompose.yaml"},
                                   .comments = {{"r", {"a", "b"}}}}),
            "# From compose.yaml\nservice: s\ncomponents:\n  # a\n  # b\n  r:\n"
            "    driver: container\n    image: redis:7\n");
}

TEST(YamlScalar, is_read_as_what_was_written) {
  for (const std::string text : {"",           "a",
                                 "true",       "No",
                                 "~",          "null",
                                 "1.10",       "0x1f",
                                 "-",          "- a",
                                 "a: b",       "a #b",
                                 "#b",         "'",
                                 "\"",         "\\",
                                 "a\nb",       "\x01\x1f",
                                 "\x7f",       "ü€😀",
                                 " a ",        "{a}",
                                 "[a]",        "*a",
                                 "&a",         "!a",
                                 "%a",         "@a",
                                 "`a",         "a,b",
                                 "a:",         "tcp:127.0.0.1:80",
                                 "/a/b:/c:ro", "${A}",
                                 "<<",         "=",
                                 "?",          "\u0085\u2028",
                                 "2026-01-31"}) {
    EXPECT_EQ(YAML::Load(yaml_scalar(text)).Scalar(), text) << yaml_scalar(text);
    EXPECT_EQ(YAML::Load(yaml_list({text, text}))[1].Scalar(), text);
    EXPECT_EQ(YAML::Load("{" + yaml_scalar(text) + ": 1}").begin()->first.Scalar(), text);
  }
  EXPECT_EQ(yaml_scalar("bin/hub"), "bin/hub");
  EXPECT_EQ(yaml_scalar("yes"), "\"yes\"");
  EXPECT_EQ(yaml_scalar("1.10"), "\"1.10\"");
}

}  // namespace
}  // namespace segue::service
