// SPDX-License-Identifier: Apache-2.0
#include "handoff/form.h"

#include <algorithm>
#include <cstddef>

#include "handoff/sized.h"

namespace segue::handoff {

bool is_name(std::string_view name) {
  constexpr size_t kMaxNameBytes = 63;
  if (name.empty() || name.size() > kMaxNameBytes) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == ':' || c == '-';
  });
}

std::optional<uint32_t> agree(FormRange predecessor, FormRange successor) {
  const uint32_t highest = std::min(predecessor.version, successor.version);
  const uint32_t lowest = std::max(predecessor.oldest, successor.oldest);
  if (highest < lowest || highest == 0) return std::nullopt;
  return highest;
}

Status Form::make(const segue_form& given, Form& form) {
  // As it was when the structure was first published.
  constexpr size_t kFirstBytes = offsetof(segue_form, fields);
  constexpr uint32_t kMostFields = 4096;
  segue_form declared{};
  if (!take_sized(given, kFirstBytes, declared)) {
    return Status::bad(SEGUE_INVALID, "segue_form.size is not sizeof(segue_form)");
  }
  if (declared.name == nullptr || !is_name(declared.name)) {
    return Status::bad(SEGUE_INVALID, "a form's name must be 1 to 63 of [A-Za-z0-9._:-]");
  }
  if (declared.oldest == 0 || declared.oldest > declared.version) {
    return Status::bad(SEGUE_INVALID,
                       std::string("form ") + declared.name + ": oldest must be from 1 to version");
  }
  const bool converts = declared.oldest < declared.version;
  if (converts && (declared.up == nullptr || declared.down == nullptr)) {
    return Status::bad(SEGUE_INVALID, std::string("form ") + declared.name +
                                          ": versions below its own need both converters");
  }
  form.name_ = declared.name;
  form.range_ = {declared.version, declared.oldest};
  form.up_ = declared.up;
  form.down_ = declared.down;
  form.user_ = declared.user;
  const uint32_t count = declared.fields == nullptr ? 0 : declared.field_count;
  if (count > kMostFields) {
    return Status::bad(SEGUE_INVALID,
                       std::string("form ") + declared.name + ": more than 4,096 fields are named");
  }
  for (uint32_t i = 0; i < count; ++i) {
    const segue_form_field& field = declared.fields[i];
    form.fields_.push_back({field.tag, field.since, field.name == nullptr ? "" : field.name});
  }
  return Status::good();
}

std::string_view Form::field_name(uint32_t tag) const {
  for (const Named& field : fields_) {
    if (field.tag == tag) return field.name;
  }
  return {};
}

bool Form::is_unknown_to(uint32_t version, uint32_t tag) const {
  return std::any_of(fields_.begin(), fields_.end(),
                     [&](const Named& field) { return field.tag == tag && field.since > version; });
}

Status Form::convert(uint32_t from, uint32_t to, segue_writer& record) const {
  finish(record);
  while (from != to) {
    const bool up = from < to;
    segue_writer next;
    next.fields.reserve(record.fields.size() + 16);
    const segue_record in{record.fields};
    const int code = (up ? up_ : down_)(user_, from, &in, &next);
    const uint32_t reached = up ? from + 1 : from - 1;
    if (code != SEGUE_OK) {
      return Status::bad(SEGUE_REFUSED, "form " + name_ + ": the converter from version " +
                                            std::to_string(from) + " to " +
                                            std::to_string(reached) + " failed");
    }
    finish(next);
    record = std::move(next);
    from = reached;
  }
  return Status::good();
}

}  // namespace segue::handoff
