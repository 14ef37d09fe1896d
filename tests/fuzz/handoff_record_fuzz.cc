// SPDX-License-Identifier: Apache-2.0
// Records, batches, the C readers on them, and forms that are converted up and down again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "handoff/fields.h"
#include "handoff/form.h"
#include "handoff/frame.h"
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

// A version up adds a field that the record lacks; a version down keeps what it does not know.
int copy_fields(void*, uint32_t, const segue_record* in, segue_writer* out) {
  segue_put_fields(out, in->bytes.data(), in->bytes.size());
  return SEGUE_OK;
}

void convert_there_and_back(std::string_view bytes) {
  if (!handoff::is_record(bytes)) return;
  segue_form declared{};
  declared.size = sizeof declared;
  declared.version = 4;
  declared.oldest = 1;
  declared.name = "kv.entry";
  declared.up = copy_fields;
  declared.down = copy_fields;
  handoff::Form form;
  if (!handoff::Form::make(declared, form).ok()) abort();
  segue_writer record;
  record.fields = bytes;
  if (!form.convert(1, 4, record).ok() || !form.convert(4, 2, record).ok()) abort();
  if (record.fields != bytes) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  read_as_record(bytes);
  read_as_batch(bytes);
  convert_there_and_back(bytes);
  (void)handoff::decode_header(bytes);
  (void)handoff::printable(bytes);
  return 0;
}
