// SPDX-License-Identifier: Apache-2.0
#include "agent/places_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace segue::agent {
namespace {

using testing::HasSubstr;

std::string file_of(const std::string& place) {
  return R"({"segue_places": 1, "places": [)" + place + "]}";
}

std::string refusal(const std::string& place) {
  const auto places = read_places(file_of(place));
  return places ? "accepted" : places.error().message();
}

constexpr const char* kPlain =
    R"({"component": "chat", "place": "/srv/chat", "library": "http://lib")";

TEST(PlacesFile, says_what_the_options_of_the_command_line_say) {
  const auto places = read_places(
      file_of(std::string(kPlain) +
              R"(, "site": "berlin", "stop": "systemctl stop chat", "start": "systemctl start chat",
         "health_http": "http://127.0.0.1:80/health", "health_within_s": 30,
         "health_good_in_row": 2, "step_limit_s": 60, "undo": false,
         "stage_options": ["--root=/etc/segue/root.json"]})"));
  ASSERT_TRUE(places) << places.error().to_string();
  control::PlaceOptions expected;
  expected.component = "chat";
  expected.place = "/srv/chat";
  expected.library = "http://lib";
  expected.site = "berlin";
  expected.stage_options = {"--root=/etc/segue/root.json"};
  expected.stop = "systemctl stop chat";
  expected.start = "systemctl start chat";
  expected.health_http = "http://127.0.0.1:80/health";
  expected.health_within_s = 30;
  expected.health_good_in_row = 2;
  expected.step_limit_s = 60;
  expected.undoes = false;
  EXPECT_EQ(places->front(), expected);
  EXPECT_EQ(places->front().component, "chat");
}

TEST(PlacesFile, with_anything_wrong_is_refused) {
  const std::string plain = kPlain;
  EXPECT_EQ(refusal(plain + "}"), "accepted");
  EXPECT_THAT(refusal(plain + R"(, "colour": "red"})"), HasSubstr("colour"));
  EXPECT_THAT(refusal(plain + R"(, "site": 7})"), HasSubstr("site"));
  EXPECT_THAT(refusal(plain + R"(, "stage_options": ["x"]})"), HasSubstr("not an option"));
  EXPECT_THAT(refusal(plain + R"(, "stop": "x"})"), HasSubstr("none to start"));
  EXPECT_THAT(refusal(plain + R"(, "upgrade": "x", "start": "y"})"), HasSubstr("one of the two"));
  EXPECT_THAT(refusal(plain + R"(, "health_tcp": "nowhere"})"), HasSubstr("nowhere"));
  EXPECT_THAT(refusal(plain + R"(, "health_http": "https://x"})"), HasSubstr("https://x"));
  EXPECT_THAT(refusal(plain + R"(, "step_limit_s": 0})"), HasSubstr("limit of 0"));
  EXPECT_THAT(refusal(plain + R"(, "step_limit_s": 99999999})"), HasSubstr("more than"));
  EXPECT_THAT(refusal(plain + "}, " + plain + "}"), HasSubstr("twice"));
  EXPECT_THAT(refusal(R"({"component": "chat", "place": "srv", "library": "x"})"),
              HasSubstr("absolute"));
  EXPECT_THAT(refusal(R"({"component": "chat", "place": "/srv"})"), HasSubstr("library"));
  EXPECT_THAT(refusal(""), HasSubstr("no place"));
  EXPECT_FALSE(read_places("{"));
  EXPECT_FALSE(read_places(R"({"segue_places": 2, "places": []})"));
}

}  // namespace
}  // namespace segue::agent
