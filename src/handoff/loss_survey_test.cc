// SPDX-License-Identifier: Apache-2.0
// What an older form cannot hold, counted on the records.
#include "handoff/loss_survey.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "handoff/terms.h"

namespace segue::handoff {
namespace {

using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr uint32_t kKept = 2;     // since version 2
constexpr uint32_t kDropped = 3;  // since version 3
constexpr uint32_t kRounded = 4;  // version 2 counts in tens

int copy(const segue_record* in, segue_writer* out, uint64_t (*round)(uint64_t), bool drop) {
  size_t cursor = 0;
  uint32_t tag = 0;
  const void* data = nullptr;
  size_t size = 0;
  while (segue_next(in, &cursor, &tag, &data, &size) == SEGUE_OK) {
    if (tag == kDropped && drop) continue;
    if (tag == kRounded) {
      segue_put_u64(out, tag, round(segue_get_u64(in, tag, 0)));
    } else {
      segue_put(out, tag, data, size);
    }
  }
  return SEGUE_OK;
}

int up(void* /*user*/, uint32_t from, const segue_record* in, segue_writer* out) {
  return copy(
             in, out, [](uint64_t n) { return n; }, false) == SEGUE_OK &&
                 from < 3
             ? SEGUE_OK
             : SEGUE_INVALID;
}

int down(void* user, uint32_t from, const segue_record* in, segue_writer* out) {
  if (user != nullptr) return SEGUE_INVALID;
  return copy(in, out, [](uint64_t n) { return n / 10 * 10; }, from == 3);
}

constexpr segue_form_field kFields[] = {
    {kKept, 2, "kept"}, {kDropped, 3, "dropped"}, {kRounded, 1, "rounded"}};

class LossSurveyTest : public testing::Test {
 protected:
  using Records = std::map<std::string, segue_writer>;

  static Form form(uint32_t version, void* user = nullptr) {
    segue_form declared{};
    declared.size = sizeof declared;
    declared.version = version;
    declared.oldest = 1;
    declared.name = "test.form";
    declared.up = up;
    declared.down = down;
    declared.user = user;
    declared.fields = kFields;
    declared.field_count = 3;
    Form form;
    EXPECT_TRUE(Form::make(declared, form).ok());
    return form;
  }

  static void declare(Inventory& inventory, const std::string& name, Form form,
                      Records* records = nullptr) {
    auto table = std::make_unique<segue_table>();
    table->name = name;
    table->form = std::move(form);
    table->user = records;
    table->ops.scan = [](void* user, uint64_t* cursor, uint32_t max_keys, segue_scan* out) {
      const auto& all = *static_cast<Records*>(user);
      uint64_t number = 0;
      for (const auto& [key, record] : all) {
        if (number >= *cursor && number < *cursor + max_keys) {
          segue_scan_key(out, key.data(), key.size());
        }
        ++number;
      }
      *cursor += max_keys;
      return *cursor < all.size() ? 1 : 0;
    };
    table->ops.encode = [](void* user, const void* key, size_t size, segue_writer* out) -> int {
      const auto& all = *static_cast<Records*>(user);
      const auto found = all.find(std::string(static_cast<const char*>(key), size));
      if (found == all.end()) return SEGUE_GONE;
      segue_put_fields(out, found->second.fields.data(), found->second.fields.size());
      return SEGUE_OK;
    };
    inventory.tables.push_back(std::move(table));
  }

  segue_writer& record(const std::string& key) { return records_[key]; }

  // "1 keys/kept 3" of kind, item, field, records.
  static std::vector<std::string> run(Inventory& own, const Inventory& theirs) {
    LossSurvey survey(own, 5, describe_items(theirs));
    while (!survey.over()) survey.work(0);  // a step each
    const segue_writer result = survey.result();
    EXPECT_EQ(get_number(result.fields, 1, 0), 5U);
    std::vector<std::string> lines;
    std::string_view rest = result.fields;
    while (!rest.empty()) {
      const auto field = take_field(rest);
      if (!field) break;
      if (field->tag != 2) continue;
      lines.push_back(std::to_string(get_number(field->bytes, 1, 0)) + " " +
                      std::string(get_bytes(field->bytes, 2)) + "/" +
                      std::string(get_bytes(field->bytes, 7)) + " " +
                      std::to_string(get_number(field->bytes, 8, 0)));
    }
    return lines;
  }

  std::vector<std::string> run_to(uint32_t version) {
    Inventory own;
    Inventory theirs;
    declare(own, "keys", form(3), &records_);
    declare(theirs, "keys", form(version));
    return run(own, theirs);
  }

  Records records_;
};

TEST_F(LossSurveyTest, what_comes_back_as_it_was_is_no_loss) {
  for (int i = 0; i < 1000; ++i) segue_put_u64(&record(std::to_string(i)), 1, 7);
  EXPECT_THAT(run_to(2), IsEmpty());
  EXPECT_THAT(run_to(3), IsEmpty());
}

TEST_F(LossSurveyTest, fields_that_do_not_come_back_are_counted_by_name) {
  for (int i = 0; i < 1000; ++i) {
    segue_put_u64(&record(std::to_string(i)), 1, 7);
    if (i % 10 == 0) segue_put_u64(&record(std::to_string(i)), kDropped, 7);
    if (i % 4 == 0) segue_put_u64(&record(std::to_string(i)), kRounded, i % 8 == 0 ? 42 : 40);
  }
  EXPECT_THAT(run_to(2), UnorderedElementsAre("1 keys/dropped 100", "2 keys/rounded 125"));
}

TEST_F(LossSurveyTest, a_field_that_the_older_version_keeps_is_said_to_be_kept) {
  segue_put_u64(&record("a"), kKept, 7);
  EXPECT_THAT(run_to(2), IsEmpty());
  EXPECT_THAT(run_to(1), UnorderedElementsAre("3 keys/kept 1"));
}

TEST_F(LossSurveyTest, repeated_fields_are_compared_in_their_order) {
  for (const char* text : {"x", "y", "z"}) segue_put(&record("a"), kDropped, text, 1);
  EXPECT_THAT(run_to(1), UnorderedElementsAre("1 keys/dropped 1"));
}

TEST_F(LossSurveyTest, what_would_be_refused_is_said) {
  Inventory own;
  Inventory theirs;
  declare(own, "keys", form(3), &records_);
  EXPECT_THAT(run(own, theirs), UnorderedElementsAre("5 keys/the successor does not declare it 0"));
}

TEST_F(LossSurveyTest, a_converter_that_fails_is_said) {
  segue_put_u64(&record("a"), 1, 7);
  Inventory own;
  Inventory theirs;
  declare(own, "keys", form(3, this), &records_);
  declare(theirs, "keys", form(2));
  EXPECT_THAT(
      run(own, theirs),
      UnorderedElementsAre("5 keys/form test.form: the converter from version 3 to 2 failed 0"));
}

TEST_F(LossSurveyTest, an_item_that_the_other_does_without_is_counted) {
  for (const char* key : {"a", "b"}) segue_put_u64(&record(key), 1, 7);
  Inventory own;
  Inventory theirs;
  declare(own, "keys", form(3), &records_);
  theirs.retired.emplace_back("keys");
  EXPECT_THAT(run(own, theirs), UnorderedElementsAre("4 keys/ 2"));
}

TEST_F(LossSurveyTest, items_that_cannot_be_read_are_refused) {
  Inventory own;
  declare(own, "keys", form(3), &records_);
  const LossSurvey survey(own, 5, "\xff");
  EXPECT_TRUE(survey.over());
}

}  // namespace
}  // namespace segue::handoff
