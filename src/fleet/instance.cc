// SPDX-License-Identifier: Apache-2.0
#include "fleet/instance.h"

#include "fleet/words.h"

namespace segue::fleet {
namespace {

constexpr Words<Slot, 2> kSlots = {{{Slot::stable, "stable"}, {Slot::canary, "canary"}}};

constexpr Words<Activity, 6> kActivities = {{{Activity::idle, "idle"},
                                             {Activity::staging, "staging"},
                                             {Activity::starting, "starting"},
                                             {Activity::handing_off, "handing-off"},
                                             {Activity::probation, "probation"},
                                             {Activity::stopping, "stopping"}}};

constexpr Words<OrderResult, 7> kResults = {{{OrderResult::none, "none"},
                                             {OrderResult::under_way, "under-way"},
                                             {OrderResult::done, "done"},
                                             {OrderResult::refused, "refused"},
                                             {OrderResult::undone, "undone"},
                                             {OrderResult::failed, "failed"},
                                             {OrderResult::unknown, "unknown"}}};

constexpr Words<Health, 3> kHealths = {
    {{Health::unknown, "unknown"}, {Health::good, "good"}, {Health::bad, "bad"}}};

}  // namespace

std::string_view to_string(Slot slot) {
  return word_of(kSlots, slot);
}
std::optional<Slot> slot_of(std::string_view word) {
  return value_of(kSlots, word);
}

std::string_view to_string(Activity activity) {
  return word_of(kActivities, activity);
}
std::optional<Activity> activity_of(std::string_view word) {
  return value_of(kActivities, word);
}

std::string_view to_string(OrderResult result) {
  return word_of(kResults, result);
}
std::optional<OrderResult> order_result_of(std::string_view word) {
  return value_of(kResults, word);
}

std::string_view to_string(Health health) {
  return word_of(kHealths, health);
}
std::optional<Health> health_of(std::string_view word) {
  return value_of(kHealths, word);
}

}  // namespace segue::fleet
