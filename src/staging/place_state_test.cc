// SPDX-License-Identifier: Apache-2.0
#include "staging/place_state.h"

#include <gtest/gtest.h>

#include "staging/stage.h"
#include "staging/stamps.h"

namespace segue::staging {
namespace {

TreeRecord record(std::uint64_t number) {
  return {.number = number,
          .directory = {.inode = 100 + number, .born_ns = 5},
          .component = "chat",
          .version = "1." + std::to_string(number),
          .root = delta::digest_of(delta::view_of("tree")),
          .bytes = 7,
          .files = 2};
}

PlaceState state_with_two() {
  PlaceState state;
  state.trees = {record(1), record(2)};
  state.trees[0].root.reset();
  state.next_number = 3;
  return state;
}

TEST(PlaceState, is_the_same_after_it_was_written) {
  PlaceState state = state_with_two();
  EXPECT_EQ(decode_state(encode(state)).value(), state);
  state.previous = 1;
  state.intent = Intent{.from = 1, .to = 2};
  EXPECT_EQ(decode_state(encode(state)).value(), state);
  state.intent->from.reset();
  EXPECT_EQ(decode_state(encode(state)).value(), state);
}

TEST(PlaceState, refuses_what_it_did_not_write) {
  const std::string good = encode(state_with_two());
  for (const char* bad : {"", "{}", "[]", "{\"format\":2}"}) {
    EXPECT_FALSE(decode_state(bad)) << bad;
  }
  for (std::size_t cut = 1; cut + 2 < good.size(); cut += 7) {
    EXPECT_FALSE(decode_state(good.substr(0, cut))) << cut;
  }
  PlaceState twice = state_with_two();
  twice.trees[1].number = 1;
  EXPECT_FALSE(decode_state(encode(twice)));
}

TEST(PlaceState, switch_that_happened_makes_the_old_tree_the_previous_one) {
  PlaceState state = state_with_two();
  state.intent = Intent{.from = 1, .to = 2};
  settle(state, record(2).directory);
  EXPECT_EQ(state.previous, 1U);
  EXPECT_FALSE(state.intent);
}

TEST(PlaceState, switch_that_did_not_happen_changes_nothing) {
  PlaceState state = state_with_two();
  state.previous = 2;
  state.intent = Intent{.from = 1, .to = 2};
  settle(state, record(1).directory);
  EXPECT_EQ(state.previous, 2U);
  EXPECT_FALSE(state.intent);
}

TEST(PlaceState, first_switch_has_nothing_to_go_back_to) {
  PlaceState state = state_with_two();
  state.intent = Intent{.from = {}, .to = 2};
  settle(state, record(2).directory);
  EXPECT_FALSE(state.previous);
}

TEST(Stamps, are_the_same_after_they_were_written) {
  const std::vector<tree::FileStamp> stamps{{1, 2, 3, 4}, {}, {~0ULL, ~0ULL, -1, -2}};
  EXPECT_EQ(decode_stamps(encode_stamps(stamps)).value(), stamps);
}

TEST(Stamps, every_flipped_byte_is_found) {
  const std::string good = encode_stamps({{1, 2, 3, 4}});
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    EXPECT_FALSE(decode_stamps(bad)) << i;
  }
  EXPECT_FALSE(decode_stamps(good.substr(1)));
}

TEST(Writable, pattern_means_a_file_or_a_folder_with_all_in_it) {
  EXPECT_TRUE(matches_path("data/db.sqlite", "data"));
  EXPECT_TRUE(matches_path("data/db.sqlite", "data/"));
  EXPECT_TRUE(matches_path("data/db.sqlite", "data/*.sqlite"));
  EXPECT_TRUE(matches_path("a/logs/x/y", "*/logs"));
  EXPECT_FALSE(matches_path("database", "data"));
  EXPECT_FALSE(matches_path("x/data", "data"));
}

}  // namespace
}  // namespace segue::staging
