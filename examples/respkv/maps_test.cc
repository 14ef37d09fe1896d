// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <string>

#include "compact_map.h"
#include "slot_map.h"

namespace respkv {
namespace {

constexpr int kSteps = 50'000;

TEST(CompactMap, agrees_with_a_model) {
  CompactMap<int> map;
  std::map<std::string, int> model;
  std::mt19937 random(1);
  for (int step = 0; step < kSteps; ++step) {
    const std::string key = std::to_string(random() % (step < kSteps / 2 ? 500 : 12));
    if (random() % 2 == 0) {
      *map.insert(key).first = step;
      model[key] = step;
    } else {
      EXPECT_EQ(map.erase(key), model.erase(key) == 1);
    }
    ASSERT_EQ(map.size(), model.size());
  }
  for (const auto& [key, value] : model) ASSERT_EQ(*map.find(key), value);
}

TEST(CompactMap, order_depends_only_on_the_calls) {
  CompactMap<Nothing> map;
  for (int i = 0; i < 100; ++i) map.insert(std::to_string(i));
  for (int i = 0; i < 100; i += 3) map.erase(std::to_string(i));
  CompactMap<Nothing> copy;
  for (const auto& item : map.items()) copy.insert(item.key);
  for (std::size_t i = 0; i < map.size(); ++i) {
    ASSERT_EQ(map.items()[i].key, copy.items()[i].key);
  }
}

TEST(SlotMap, agrees_with_a_model) {
  SlotMap<int> map;
  std::map<std::string, int> model;
  std::mt19937 random(2);
  for (int step = 0; step < kSteps; ++step) {
    const std::string key = std::to_string(random() % 20'000);
    auto* node = map.find(key);
    ASSERT_EQ(node != nullptr, model.contains(key));
    if (node != nullptr && random() % 4 == 0) {
      map.erase(*node);
      model.erase(key);
    } else {
      if (node == nullptr) node = &map.insert(key);
      node->data = step;
      model[key] = step;
    }
  }
  ASSERT_EQ(map.size(), model.size());
  for (const auto& [key, value] : model) ASSERT_EQ(map.find(key)->data, value);
}

TEST(SlotMap, a_scan_over_slots_finds_what_is_there_all_the_time) {
  SlotMap<int> map;
  for (int i = 0; i < 3000; ++i) map.insert("old" + std::to_string(i));
  std::set<std::string> listed;
  for (std::uint32_t slot = 0; slot < map.slot_count(); ++slot) {
    if (auto* node = map.at(slot)) listed.insert(node->key);
    map.insert("new" + std::to_string(slot));
    if (slot > 2000 && slot < 3000) map.erase(*map.find("new" + std::to_string(slot - 1)));
    if (map.size() > 10'000) break;
  }
  for (int i = 0; i < 3000; ++i) ASSERT_TRUE(listed.contains("old" + std::to_string(i)));
}

}  // namespace
}  // namespace respkv
