// SPDX-License-Identifier: Apache-2.0
#include "keeper/losses.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "control/text.h"
#include "handoff/fields.h"

namespace segue::keeper {
namespace {

using control::counted;
using handoff::get_bytes;
using handoff::get_number;

constexpr std::size_t kMostLosses = 64;
constexpr std::size_t kMaxNameBytes = 256;

std::string_view to_string(LossKind kind) {
  switch (kind) {
    case LossKind::dropped:
      return "dropped";
    case LossKind::changed:
      return "changed";
    case LossKind::kept:
      return "kept";
    case LossKind::retired:
      return "retired";
    case LossKind::refused:
      return "refused";
  }
  return "unknown";
}

bool is_lost(const Loss& loss) {
  return loss.kind == LossKind::dropped || loss.kind == LossKind::changed ||
         loss.kind == LossKind::retired;
}

std::string line_of(const Loss& loss, std::string_view to) {
  const std::string records = counted(loss.records, "record");
  const std::string field =
      loss.field.empty() ? fmt::format("field {}", loss.tag) : fmt::format("'{}'", loss.field);
  const std::string form = fmt::format("form {}/{}", loss.form, loss.to);
  switch (loss.kind) {
    case LossKind::dropped:
      return fmt::format("{}: {} ({}) has no place in {} of {}: it is dropped", loss.item, field,
                         records, form, to);
    case LossKind::changed:
      return fmt::format("{}: {} ({}) does not fit into {} of {}: it does not come back as it is",
                         loss.item, field, records, form, to);
    case LossKind::kept:
      return fmt::format("{}: {} ({}) is not known to {} of {}: kept as it is, and comes back",
                         loss.item, field, records, form, to);
    case LossKind::retired:
      return fmt::format("{}: {} does without it: {} are dropped", loss.item, to, records);
    case LossKind::refused:
      return fmt::format("{}{}{} could not take over: {}", loss.item, loss.item.empty() ? "" : ": ",
                         to, loss.field);
  }
  return "";
}

}  // namespace

LossReport losses_of(std::string_view record) {
  LossReport report;
  report.known = true;
  report.looked_at = get_number(record, 3, 0);
  report.more = get_number(record, 4, 0) != 0;
  while (!record.empty()) {
    const auto field = handoff::take_field(record);
    if (!field) break;
    if (field->tag != 2 || !handoff::is_record(field->bytes)) continue;
    const std::uint64_t kind = get_number(field->bytes, 1, 0);
    if (kind < 1 || kind > 5 || report.losses.size() == kMostLosses) {
      report.more = true;  // a newer kind, or too many
      continue;
    }
    const auto text = [&](std::uint32_t tag) {
      return std::string(get_bytes(field->bytes, tag).substr(0, kMaxNameBytes));
    };
    const auto small = [&](std::uint32_t tag) {
      return static_cast<std::uint32_t>(get_number(field->bytes, tag, 0));
    };
    report.losses.push_back({static_cast<LossKind>(kind), text(2), text(3), small(4), small(5),
                             small(6), text(7), get_number(field->bytes, 8, 0)});
  }
  return report;
}

bool loses(const LossReport& report) {
  for (const Loss& loss : report.losses) {
    if (is_lost(loss)) return true;
  }
  return report.more;
}

std::vector<std::string> loss_lines(const LossReport& report, std::string_view to) {
  if (!report.known) {
    return {fmt::format("what {} cannot hold of the state is not known: {}", to, report.why_not)};
  }
  std::vector<std::string> lines;
  for (const Loss& loss : report.losses) lines.push_back(line_of(loss, to));
  if (report.more) lines.emplace_back("there is more than can be told");
  return lines;
}

std::string loss_text(const LossReport& report, std::string_view to) {
  if (!report.known) return loss_lines(report, to).front();
  std::vector<std::string> lines;
  for (const Loss& loss : report.losses) {
    if (is_lost(loss)) lines.push_back(line_of(loss, to));
  }
  if (report.more) lines.emplace_back("there is more than can be told");
  return fmt::format("{}", fmt::join(lines, "; "));
}

void write_losses(base::JsonWriter& json, const LossReport& report, std::string_view to) {
  json.begin_object()
      .field("known", report.known)
      .field("to", to)
      .field("lost", loses(report))
      .field("records_looked_at", report.looked_at);
  json.key("items").begin_array();
  for (const Loss& loss : report.losses) {
    json.begin_object()
        .field("kind", to_string(loss.kind))
        .field("item", loss.item)
        .field("form", loss.form)
        .field("from_version", loss.from)
        .field("to_version", loss.to)
        .field("tag", loss.tag)
        .field("field", loss.field)
        .field("records", loss.records)
        .end();
  }
  json.end().key("lines").begin_array();
  for (const std::string& line : loss_lines(report, to)) json.value(line);
  json.end().end();
}

std::string losses_json(const LossReport& report, std::string_view to) {
  base::JsonWriter json;
  write_losses(json, report, to);
  return std::move(json).take();
}

}  // namespace segue::keeper
