// SPDX-License-Identifier: Apache-2.0
#include "prometheus/answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace segue::prometheus {
namespace {

using base::ErrorCode;
using testing::ElementsAre;
using testing::HasSubstr;

std::string success(const std::string& type, const std::string& result,
                    const std::string& more = "") {
  return R"({"status":"success","data":{"resultType":")" + type + R"(","result":)" + result + "}" +
         more + "}";
}

TEST(Answer, takes_a_scalar_and_a_vector_with_labels) {
  const auto scalar = parse_answer(success("scalar", R"([1435781451.781,"0.5"])"));
  ASSERT_TRUE(scalar.has_value());
  EXPECT_TRUE(scalar->is_scalar);
  EXPECT_EQ(single_value(*scalar).value(), 0.5);

  const auto vector = parse_answer(success(
      "vector",
      R"([{"metric":{"host":"a","__name__":"up"},"value":[1,"1"]},{"metric":{},"value":[2.5,"1e-07"]}])"));
  ASSERT_TRUE(vector.has_value());
  ASSERT_EQ(vector->samples.size(), 2U);
  EXPECT_EQ(vector->samples[0].labels.at("host"), "a");
  EXPECT_EQ(vector->samples[1].value, 1e-7);
  EXPECT_EQ(vector->samples[1].at_s, 2.5);
}

TEST(Answer, nothing_and_nan_are_no_data) {
  EXPECT_EQ(single_value(*parse_answer(success("vector", "[]"))).value(), std::nullopt);
  EXPECT_EQ(single_value(*parse_answer(success("scalar", R"([1,"NaN"])"))).value(), std::nullopt);
}

TEST(Answer, infinite_and_several_values_are_no_single_value) {
  for (const char* number : {"+Inf", "-Inf"}) {
    const auto answer = parse_answer(success("scalar", std::string("[1,\"") + number + "\"]"));
    ASSERT_TRUE(answer.has_value());
    EXPECT_TRUE(std::isinf(answer->samples.front().value));
    EXPECT_EQ(single_value(*answer).error().code(), ErrorCode::failed_precondition);
  }
  const auto two = parse_answer(
      success("vector", R"([{"metric":{},"value":[1,"1"]},{"metric":{},"value":[1,"2"]}])"));
  EXPECT_THAT(single_value(*two).error().message(), HasSubstr("gives 2 samples"));
}

TEST(Answer, with_warnings_the_value_is_not_taken) {
  const auto answer =
      parse_answer(success("scalar", R"([1,"1"])", R"(,"warnings":["store b did not answer"])"));
  ASSERT_TRUE(answer.has_value());
  EXPECT_THAT(answer->warnings, ElementsAre("store b did not answer"));
  EXPECT_THAT(single_value(*answer).error().message(), HasSubstr("store b did not answer"));
}

TEST(Answer, says_whether_the_query_or_the_server_is_at_fault) {
  const auto query =
      parse_answer(R"({"status":"error","errorType":"bad_data","error":"parse error at char 3"})");
  EXPECT_EQ(query.error().code(), ErrorCode::invalid_argument);
  EXPECT_EQ(query.error().message(), "Prometheus says bad_data: parse error at char 3");
  const auto server = parse_answer(
      R"({"status":"error","errorType":"timeout","error":"query timed out in expression evaluation"})");
  EXPECT_EQ(server.error().code(), ErrorCode::unavailable);
}

TEST(Answer, a_matrix_a_string_and_a_histogram_are_no_values_of_one_moment) {
  EXPECT_EQ(parse_answer(success("matrix", "[]")).error().code(), ErrorCode::failed_precondition);
  EXPECT_EQ(parse_answer(success("string", R"([1,"x"])")).error().code(),
            ErrorCode::failed_precondition);
  EXPECT_THAT(
      parse_answer(success("vector", R"([{"metric":{},"histogram":[1,{}]}])")).error().message(),
      HasSubstr("histogram_quantile()"));
}

TEST(Answer, whatever_else_comes_is_refused) {
  for (const std::string& body : {std::string(),
                                  std::string("<html>"),
                                  std::string("[]"),
                                  std::string("{}"),
                                  std::string(R"({"status":"success"})"),
                                  std::string(R"({"status":"error"})"),
                                  success("scalar", R"([1,2])"),
                                  success("scalar", R"([1,"0x10"])"),
                                  success("scalar", R"([1,"1 "])"),
                                  success("scalar", R"([1,""])"),
                                  success("scalar", R"([1,"1e999"])"),
                                  success("scalar", R"([1,"nan"])"),
                                  success("scalar", R"(["1","1"])"),
                                  success("vector", "{}"),
                                  success("vector", "[1]"),
                                  success("vector", R"([{"value":[1,"1"]}])"),
                                  success("vector", R"([{"metric":{"a":1},"value":[1,"1"]}])"),
                                  success("tensor", "[]"),
                                  success("scalar", R"([1,"1"])", R"(,"warnings":[1])"),
                                  std::string(100'000, '[')}) {
    const auto answer = parse_answer(body);
    ASSERT_FALSE(answer.has_value()) << body;
    EXPECT_EQ(answer.error().code(), ErrorCode::data_loss) << body;
  }
}

TEST(Answer, a_vector_has_a_bound) {
  std::string result = "[";
  for (std::size_t sample = 0; sample <= kMaxSamples; ++sample) {
    result += std::string(sample == 0 ? "" : ",") + R"({"metric":{},"value":[1,"1"]})";
  }
  EXPECT_THAT(parse_answer(success("vector", result + "]")).error().message(),
              HasSubstr("10001 samples"));
}

}  // namespace
}  // namespace segue::prometheus
