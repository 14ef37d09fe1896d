// SPDX-License-Identifier: Apache-2.0
#include "entry_form.h"

#include <cstddef>

#include "entry_tags.h"

namespace respkv {
namespace {

template <class Skip>
void copy_unless(const segue_record* in, segue_writer* out, Skip skip) {
  std::size_t cursor = 0;
  std::uint32_t tag = 0;
  const void* data = nullptr;
  std::size_t size = 0;
  while (segue_next(in, &cursor, &tag, &data, &size) == SEGUE_OK) {
    if (!skip(tag)) segue_put(out, tag, data, size);
  }
}

void put_unless_zero(segue_writer* out, std::uint32_t tag, std::uint64_t number) {
  if (number != 0) segue_put_u64(out, tag, number);
}

}  // namespace

const std::array<segue_form_field, 5> kEntryFields = {{
    {entry_tag::kCreatedAt, 1, "time of creation"},
    {entry_tag::kModifiedAt, 2, "time of the last change"},
    {entry_tag::kChanges, 2, "number of changes"},
    {entry_tag::kActivity, 3, "last change and number of changes"},
    {entry_tag::kLongestRest, 3, "longest rest"},
}};

int copy_fields(void* /*user*/, std::uint32_t /*from*/, const segue_record* in, segue_writer* out) {
  copy_unless(in, out, [](std::uint32_t) { return false; });
  return SEGUE_OK;
}

// 1 to 2: what version 2 added is absent until a key changes. 2 to 3: two fields become one.
int entry_up(void* user, std::uint32_t from, const segue_record* in, segue_writer* out) {
  if (from == 1) return copy_fields(user, from, in, out);
  copy_unless(in, out, [](std::uint32_t tag) {
    return tag == entry_tag::kModifiedAt || tag == entry_tag::kChanges;
  });
  const std::uint64_t modified_at_ms = segue_get_u64(in, entry_tag::kModifiedAt, 0);
  const std::uint64_t changes = segue_get_u64(in, entry_tag::kChanges, 0);
  put_unless_zero(out, entry_tag::kActivity,
                  (modified_at_ms << entry_tag::kChangesBits) | (changes & entry_tag::kMaxChanges));
  return SEGUE_OK;
}

// 3 to 2: one field becomes two, and the longest rest is dropped: as version 2 would keep it, it
// would be wrong with the next change. 2 to 1: version 1 keeps what it does not know.
int entry_down(void* user, std::uint32_t from, const segue_record* in, segue_writer* out) {
  if (from == 2) return copy_fields(user, from, in, out);
  copy_unless(in, out, [](std::uint32_t tag) {
    return tag == entry_tag::kActivity || tag == entry_tag::kLongestRest;
  });
  const std::uint64_t activity = segue_get_u64(in, entry_tag::kActivity, 0);
  put_unless_zero(out, entry_tag::kModifiedAt, activity >> entry_tag::kChangesBits);
  put_unless_zero(out, entry_tag::kChanges, activity & entry_tag::kMaxChanges);
  return SEGUE_OK;
}

}  // namespace respkv
