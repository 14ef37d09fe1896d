// SPDX-License-Identifier: Apache-2.0
// What this program's state would lose in a program that declares older forms: counted on the
// records themselves, while the service serves.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "handoff/inventory.h"
#include "handoff/loss_kind.h"
#include "handoff/negotiation.h"

namespace segue::handoff {

class LossSurvey {
 public:
  // `theirs`: the items that the other program declares, as in HELLO.
  LossSurvey(Inventory& inventory, uint64_t number, std::string_view theirs);

  [[nodiscard]] uint64_t number() const { return number_; }
  [[nodiscard]] bool over() const { return at_ >= tasks_.size(); }
  // Whose records come next; it stops in front of a loop that is not held.
  LoopNumber wanted_loop();
  void work(uint64_t until_ns);
  // The payload of K_LOSSES.
  [[nodiscard]] segue_writer result() const;

 private:
  struct Task {  // one of the three
    segue_table* table = nullptr;
    segue_class* cls = nullptr;
    segue_heap* heap = nullptr;
    uint32_t to = 0;
    bool retired = false;  // its records are counted, and that is all

    [[nodiscard]] const Form& form() const {
      if (table != nullptr) return table->form;
      return cls != nullptr ? cls->form : heap->form;
    }
    [[nodiscard]] const std::string& name() const {
      if (table != nullptr) return table->name;
      return cls != nullptr ? cls->name : heap->name;
    }
  };
  struct Key {
    LossKind kind{};
    std::string item;
    uint32_t tag = 0;
    std::string detail;  // of refused: why
    auto operator<=>(const Key&) const = default;
  };
  struct Found {
    std::string form;
    std::string field;  // its name, empty where none was declared
    uint32_t from = 0;
    uint32_t to = 0;
    uint64_t records = 0;
  };

  void plan(Task task, ItemKind kind, const ItemOffers& offers);
  void refuse(const std::string& item, const std::string& why);
  Found* find(Key key);
  void step();
  void step_table(Task& task);
  void step_class(Task& task);
  void step_heap(Task& task);
  void next_task();
  void count(const Task& task, LossKind kind, uint32_t tag);
  void look(const Task& task, segue_writer& record);
  void compare(const Task& task, std::string_view original, std::string_view down,
               std::string_view back);

  Inventory& inventory_;
  uint64_t number_;
  std::vector<Task> tasks_;
  size_t at_ = 0;
  uint64_t cursor_ = 0;
  bool scan_more_ = true;
  std::vector<std::string> keys_;
  size_t key_at_ = 0;
  uint32_t slot_at_ = 0;
  LoopNumber loop_at_ = kInstanceThread;
  uint64_t looked_at_ = 0;
  bool more_ = false;  // kinds of losses than are told
  std::map<Key, Found> found_;
};

}  // namespace segue::handoff
