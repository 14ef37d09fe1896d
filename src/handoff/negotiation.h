// SPDX-License-Identifier: Apache-2.0
// What two instances settle before anything is touched. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "handoff/inventory.h"

namespace segue::handoff {

inline constexpr std::string_view kMagic = "SEGUE";

// The highest protocol version that both speak.
std::optional<uint32_t> agree_protocol(uint64_t lowest, uint64_t highest);

// Compares in a time that does not depend on where they differ. Empty secrets never match.
bool same_secret(std::string_view a, std::string_view b);

// The `items` of HELLO.
std::string describe_items(const Inventory& inventory);

// What a successor says of one of its items.
struct ItemOffer {
  ItemKind kind{};
  FormRange range;
  std::string form;
  bool retired = false;
};
using ItemOffers = std::map<std::string, ItemOffer, std::less<>>;
Status read_offers(std::string_view offered, ItemOffers& offers);

// Why the two cannot meet.
std::string no_common_version(const std::string& item, const std::string& form, FormRange own,
                              FormRange successor);

// The predecessor's answer to `offered` (the items of HELLO): numbers its items, settles the
// version of each form, and fills `agreed` (the items of ACCEPT). SEGUE_REFUSED by name where the
// successor lacks an item or no version fits.
Status agree_forms(Inventory& inventory, std::string_view offered, std::string& agreed);

// A key for a person: at most 96 bytes, others than printable ASCII as \xNN.
std::string printable(std::string_view key);

}  // namespace segue::handoff
