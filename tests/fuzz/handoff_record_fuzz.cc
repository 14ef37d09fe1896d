// SPDX-License-Identifier: Apache-2.0
// Records, batches, the C readers on them, and the negotiation of a HELLO's items.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "handoff/fields.h"
#include "handoff/frame.h"
#include "handoff/inventory.h"
#include "handoff/negotiation.h"

namespace {

namespace handoff = segue::handoff;

void read_as_record(std::string_view bytes) {
  if (!handoff::is_record(bytes)) return;
  const segue_record record{bytes};
  size_t cursor = 0;
  uint32_t tag = 0;
  const void* data = nullptr;
  size_t size = 0;
  segue_writer copy;
  while (segue_next(&record, &cursor, &tag, &data, &size) == SEGUE_OK) {
    segue_put(&copy, tag, data, size);
  }
  handoff::finish(copy);
  if (copy.fields != bytes) abort();  // what is well-formed comes back as it was
  const uint32_t known[] = {1, 2, 3};
  std::string kept(segue_unknown(&record, known, 3, nullptr, 0), '\0');
  segue_unknown(&record, known, 3, kept.data(), kept.size());
  if (!handoff::is_record(kept)) abort();
}

void read_as_batch(std::string_view bytes) {
  std::string copy;
  std::string_view rest = bytes;
  while (!rest.empty()) {
    const auto entry = handoff::take_batch_entry(rest);
    if (!entry) return;
    handoff::append_batch_entry(copy, entry->key, entry->value);
  }
  if (copy != bytes) abort();
}

void negotiate(std::string_view items) {
  handoff::Inventory inventory;
  auto table = std::make_unique<segue_table>();
  table->name = "data";
  segue_form form{};
  form.size = sizeof form;
  form.version = 2;
  form.oldest = 2;
  form.name = "kv.entry";
  if (!handoff::Form::make(form, table->form).ok()) abort();
  inventory.tables.push_back(std::move(table));
  std::string agreed;
  (void)handoff::agree_forms(inventory, items, agreed);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  read_as_record(bytes);
  read_as_batch(bytes);
  negotiate(bytes);
  (void)handoff::decode_header(bytes);
  (void)handoff::printable(bytes);
  return 0;
}
