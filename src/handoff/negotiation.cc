// SPDX-License-Identifier: Apache-2.0
#include "handoff/negotiation.h"

#include <algorithm>

#include "handoff/frame.h"

namespace segue::handoff {
namespace {

constexpr uint32_t kRetiredTag = 5;

void describe(std::string& batch, const Item& item, ItemKind kind, FormRange range,
              const std::string& form) {
  segue_writer out;
  put_number(out, 1, static_cast<uint64_t>(kind));
  put_number(out, 2, range.version);
  put_number(out, 3, range.oldest);
  put_field(out, 4, form);
  append_batch_entry(batch, item.name, out.fields);
}

class Agreement {
 public:
  explicit Agreement(ItemOffers offers) : offers_(std::move(offers)) {}

  Status add(Item& item, ItemKind kind, FormRange range, const std::string& form,
             uint64_t max_size) {
    segue_writer more;
    return add(item, kind, range, form, max_size, more);
  }
  // `successor_version`: what it declares.
  Status add(segue_heap& heap) {
    const HeapGuard guard(heap);
    const FormRange range = heap.form.range();
    const auto found = offers_.find(heap.name);
    const uint32_t theirs = found == offers_.end() ? 0 : found->second.range.version;
    segue_writer more;
    put_number(more, 4, range.version);
    put_number(more, 5, heap.image.data_used());
    Status status =
        add(heap, ItemKind::heap, range, heap.form.name(), heap.image.places().data_capacity, more);
    heap.way = way_of(range.version, theirs, heap.wire_version);
    return status;
  }
  std::string take() { return std::move(agreed_); }

 private:
  Status add(Item& item, ItemKind kind, FormRange range, const std::string& form, uint64_t max_size,
             const segue_writer& more) {
    const auto found = offers_.find(item.name);
    if (found == offers_.end()) {
      return Status::bad(SEGUE_REFUSED, "the successor does not declare " + item.name);
    }
    const ItemOffer& offer = found->second;
    item.retired = offer.retired;
    if (item.retired && kind != ItemKind::connection_class) return Status::good();
    if (item.retired) {
      return Status::bad(SEGUE_REFUSED,
                         "the successor retires " + item.name +
                             ", but connections cannot be retired: close them first");
    }
    if (offer.kind != kind || offer.form != form) {
      return Status::bad(SEGUE_REFUSED, "the successor declares " + item.name +
                                            " differently: form " + offer.form + ", here " + form);
    }
    const auto version = agree(range, offer.range);
    if (!version) {
      return Status::bad(SEGUE_REFUSED, no_common_version(item.name, form, range, offer.range));
    }
    item.number = count_++;
    item.wire_version = *version;
    segue_writer out;
    put_number(out, 1, static_cast<uint64_t>(kind));
    put_number(out, 2, *version);
    put_number(out, 3, max_size);
    segue_put_fields(&out, more.fields.data(), more.fields.size());
    append_batch_entry(agreed_, item.name, out.fields);
    return Status::good();
  }

  ItemOffers offers_;
  uint32_t count_ = 0;
  std::string agreed_;
};

}  // namespace

std::optional<uint32_t> agree_protocol(uint64_t lowest, uint64_t highest) {
  const uint64_t version = std::min<uint64_t>(highest, kHighestProtocol);
  if (version < std::max<uint64_t>(lowest, kLowestProtocol)) return std::nullopt;
  return static_cast<uint32_t>(version);
}

bool same_secret(std::string_view a, std::string_view b) {
  if (a.empty() || a.size() != b.size()) return false;
  unsigned difference = 0;
  for (size_t i = 0; i < a.size(); ++i) difference |= static_cast<unsigned>(a[i] ^ b[i]);
  return difference == 0;
}

std::string describe_items(const Inventory& inventory) {
  std::string batch;
  for (const auto& table : inventory.tables) {
    describe(batch, *table, ItemKind::table, table->form.range(), table->form.name());
  }
  for (const auto& cls : inventory.classes) {
    describe(batch, *cls, ItemKind::connection_class, cls->form.range(), cls->form.name());
  }
  for (const auto& arena : inventory.arenas) {
    describe(batch, *arena, ItemKind::arena, {arena->form_version, arena->form_version},
             arena->name);
  }
  for (const auto& heap : inventory.heaps) {
    describe(batch, *heap, ItemKind::heap, heap->form.range(), heap->form.name());
  }
  for (const std::string& name : inventory.retired) {
    segue_writer out;
    put_number(out, kRetiredTag, 1);
    append_batch_entry(batch, name, out.fields);
  }
  return batch;
}

std::string no_common_version(const std::string& item, const std::string& form, FormRange own,
                              FormRange successor) {
  const auto text = [](FormRange range) {
    if (range.oldest == range.version) return "version " + std::to_string(range.version);
    return "versions " + std::to_string(range.oldest) + " to " + std::to_string(range.version);
  };
  return "form " + form + " of " + item + ": this program writes " + text(own) +
         ", the successor reads " + text(successor);
}

Status read_offers(std::string_view offered, ItemOffers& offers) {
  constexpr size_t kMaxItems = 4096;
  while (!offered.empty()) {
    const auto entry = take_batch_entry(offered);
    if (!entry || !is_record(entry->value) || offers.size() == kMaxItems) {
      return Status::bad(SEGUE_PEER, "the successor sent a malformed HELLO");
    }
    const std::string_view record = entry->value;
    offers[std::string(entry->key)] = {static_cast<ItemKind>(get_number(record, 1, 0)),
                                       {static_cast<uint32_t>(get_number(record, 2, 0)),
                                        static_cast<uint32_t>(get_number(record, 3, 0))},
                                       std::string(get_bytes(record, 4)),
                                       get_number(record, kRetiredTag, 0) == 1};
  }
  return Status::good();
}

Status agree_forms(Inventory& inventory, std::string_view offered, std::string& agreed) {
  ItemOffers offers;
  if (Status status = read_offers(offered, offers); !status.ok()) return status;
  Agreement agreement(std::move(offers));
  for (const auto& table : inventory.tables) {
    Status status =
        agreement.add(*table, ItemKind::table, table->form.range(), table->form.name(), 0);
    if (!status.ok()) return status;
  }
  for (const auto& cls : inventory.classes) {
    Status status =
        agreement.add(*cls, ItemKind::connection_class, cls->form.range(), cls->form.name(), 0);
    if (!status.ok()) return status;
  }
  for (const auto& arena : inventory.arenas) {
    Status status =
        agreement.add(*arena, ItemKind::arena, {arena->form_version, arena->form_version},
                      arena->name, arena->max_size);
    if (!status.ok()) return status;
  }
  for (const auto& heap : inventory.heaps) {
    if (Status status = agreement.add(*heap); !status.ok()) return status;
  }
  agreed = agreement.take();
  return Status::good();
}

std::string printable(std::string_view key) {
  constexpr size_t kMaxShown = 96;
  constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (const char c : key.substr(0, kMaxShown)) {
    if (c >= ' ' && c <= '~') {
      text.push_back(c);
    } else {
      const auto byte = static_cast<uint8_t>(c);
      text.append("\\x").append(1, kHex[byte >> 4]).append(1, kHex[byte & 15]);
    }
  }
  if (key.size() > kMaxShown) text += "...";
  return text;
}

}  // namespace segue::handoff
