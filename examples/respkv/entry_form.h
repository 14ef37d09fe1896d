// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <segue/segue.h>

#include <array>
#include <cstdint>

namespace respkv {

// Converters of the form "respkv.entry" between all versions; see segue_convert.
int entry_up(void* user, std::uint32_t from, const segue_record* in, segue_writer* out);
int entry_down(void* user, std::uint32_t from, const segue_record* in, segue_writer* out);

// What people call the fields that came with a version.
extern const std::array<segue_form_field, 5> kEntryFields;

// Copies all fields; what versions that only differ in added fields need.
int copy_fields(void* user, std::uint32_t from, const segue_record* in, segue_writer* out);

}  // namespace respkv
