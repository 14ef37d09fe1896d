// SPDX-License-Identifier: Apache-2.0
// What is settled before anything is touched: the payload of a HELLO as the predecessor reads it,
// and of an ACCEPT as the successor reads it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "handoff/fields.h"
#include "handoff/frame.h"
#include "handoff/inventory.h"
#include "handoff/loss_survey.h"
#include "handoff/negotiation.h"
#include "handoff/receiver.h"

namespace {

namespace handoff = segue::handoff;

class Sink : public handoff::ArrivalSink {
 public:
  handoff::Status listener_arrived(const std::string&, int) override {
    return handoff::Status::good();
  }
  handoff::Status descriptor_arrived(const std::string&, int) override {
    return handoff::Status::good();
  }
};

int keep(void*, uint32_t, const segue_record*, segue_writer*) {
  return SEGUE_OK;
}

handoff::Form form(const char* name, uint32_t version, uint32_t oldest) {
  segue_form declared{};
  declared.size = sizeof declared;
  declared.version = version;
  declared.oldest = oldest;
  declared.name = name;
  declared.up = keep;
  declared.down = keep;
  handoff::Form made;
  if (!handoff::Form::make(declared, made).ok()) abort();
  return made;
}

// The items of the golden HELLO.
void declare(handoff::Inventory& inventory) {
  auto table = std::make_unique<segue_table>();
  table->name = "data";
  table->form = form("kv.entry", 2, 1);
  inventory.tables.push_back(std::move(table));
  auto cls = std::make_unique<segue_class>();
  cls->name = "clients";
  cls->form = form("kv.client", 1, 1);
  inventory.classes.push_back(std::move(cls));
  auto arena = std::make_unique<segue_arena>();
  arena->name = "heap";
  arena->form_version = 3;
  arena->max_size = 65'536;
  inventory.arenas.push_back(std::move(arena));
}

bool retires_something(const handoff::Inventory& inventory) {
  return inventory.tables[0]->retired || inventory.arenas[0]->retired;
}

void check_versions(const handoff::Inventory& inventory) {
  const uint32_t data = inventory.tables[0]->wire_version;
  if (data != 1 && data != 2) abort();
  if (inventory.classes[0]->wire_version != 1) abort();
  if (inventory.arenas[0]->wire_version != 3) abort();
}

void read_as_hello(std::string_view payload) {
  const auto protocol = handoff::agree_protocol(handoff::get_number(payload, 2, 0),
                                                handoff::get_number(payload, 3, 0));
  if (protocol && (*protocol < handoff::kLowestProtocol || *protocol > handoff::kHighestProtocol)) {
    abort();
  }
  if (handoff::same_secret(handoff::get_bytes(payload, 6), {})) abort();
  handoff::Inventory inventory;
  declare(inventory);
  (void)handoff::LossSurvey(inventory, 1, handoff::get_bytes(payload, 8)).result();
  std::string agreed;
  const handoff::Status status =
      handoff::agree_forms(inventory, handoff::get_bytes(payload, 8), agreed);
  if (!status.ok()) {
    if (status.text.empty()) abort();
    return;
  }
  if (inventory.classes[0]->retired) abort();
  if (retires_something(inventory)) return;
  check_versions(inventory);
  // The same program on the other side understands what was agreed.
  handoff::Inventory other;
  declare(other);
  Sink sink;
  if (!handoff::Receiver(other, sink).agree_items(agreed).ok()) abort();
  check_versions(other);
}

void read_as_accept(std::string_view payload) {
  handoff::Inventory inventory;
  declare(inventory);
  Sink sink;
  const handoff::Status status =
      handoff::Receiver(inventory, sink).agree_items(handoff::get_bytes(payload, 5));
  if (!status.ok() && status.text.empty()) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view payload(reinterpret_cast<const char*>(data), size);
  if (!handoff::is_record(payload)) return 0;
  read_as_hello(payload);
  read_as_accept(payload);
  return 0;
}
