// SPDX-License-Identifier: Apache-2.0
// What a program with older forms cannot hold of a component's state, as its owner counted it.
// Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json_writer.h"
#include "handoff/loss_kind.h"

namespace segue::keeper {

using handoff::LossKind;

struct Loss {
  LossKind kind = LossKind::dropped;
  std::string item;  // a table, class of connections, or heap
  std::string form;
  std::uint32_t from = 0;
  std::uint32_t to = 0;
  std::uint32_t tag = 0;
  std::string field;  // its name; of refused: why
  std::uint64_t records = 0;
};

struct LossReport {
  bool known = false;
  std::string why_not;  // known
  std::uint64_t looked_at = 0;
  bool more = false;  // than stand here
  std::vector<Loss> losses;
};

inline constexpr std::size_t kMaxFormsBytes = std::size_t{64} << 10;  // of what a program declares

// Reads K_LOSSES (protocol/handoff.md).
LossReport losses_of(std::string_view record);

// True if something does not come back; what is only kept for later does.
bool loses(const LossReport& report);
// A line for each, for people; `to` is the program that the state would go to.
std::vector<std::string> loss_lines(const LossReport& report, std::string_view to);
// … and in one line what does not come back.
std::string loss_text(const LossReport& report, std::string_view to);
void write_losses(base::JsonWriter& json, const LossReport& report, std::string_view to);
std::string losses_json(const LossReport& report, std::string_view to);

}  // namespace segue::keeper
