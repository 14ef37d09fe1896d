// SPDX-License-Identifier: Apache-2.0
#include "load/model.h"

#include <gtest/gtest.h>

namespace segue::load {
namespace {

using Verdict = WriteModel::Verdict;

TEST(WriteModel, acknowledged_value_has_to_be_there_exactly) {
  WriteModel model(2);
  model.acknowledge(1, model.send(1));
  model.acknowledge(1, model.send(1));
  EXPECT_EQ(model.check(1, 2), Verdict::good);
  EXPECT_EQ(model.check(1, 1), Verdict::lost);
  EXPECT_EQ(model.check(1, 3), Verdict::wrong);
  EXPECT_EQ(model.check(1, std::nullopt), Verdict::lost);
}

TEST(WriteModel, unanswered_write_may_be_there_or_not) {
  WriteModel model(1);
  model.acknowledge(0, model.send(0));
  model.send(0);
  EXPECT_EQ(model.check(0, 1), Verdict::good);
  EXPECT_EQ(model.check(0, 2), Verdict::good);
  EXPECT_EQ(model.check(0, std::nullopt), Verdict::lost);
}

TEST(WriteModel, key_that_was_never_written_is_absent) {
  const WriteModel model(1);
  EXPECT_FALSE(model.was_written(0));
  EXPECT_EQ(model.check(0, std::nullopt), Verdict::good);
  EXPECT_EQ(model.check(0, 1), Verdict::wrong);
}

}  // namespace
}  // namespace segue::load
