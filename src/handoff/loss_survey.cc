// SPDX-License-Identifier: Apache-2.0
#include "handoff/loss_survey.h"

#include <algorithm>

#include "handoff/clock.h"

namespace segue::handoff {
namespace {

constexpr size_t kMostKinds = 64;
constexpr uint32_t kScanKeys = 128;
// Between two looks at the clock.
constexpr int kRecordsPerStep = 16;

// The fields `tag` from the front of `record`, as bytes.
std::string_view take_run(std::string_view& record, uint32_t tag) {
  const std::string_view all = record;
  for (std::string_view rest = record; !rest.empty(); record = rest) {
    const auto field = take_field(rest);
    if (!field || field->tag != tag) break;
  }
  return all.substr(0, all.size() - record.size());
}

uint32_t first_tag(std::string_view record) {
  const auto field = take_field(record);
  return field ? field->tag : 0;
}

}  // namespace

LossSurvey::LossSurvey(Inventory& inventory, uint64_t number, std::string_view theirs)
    : inventory_(inventory), number_(number) {
  ItemOffers offers;
  if (const Status status = read_offers(theirs, offers); !status.ok()) {
    refuse("", status.text);
    return;
  }
  for (const auto& table : inventory.tables) {
    plan({.table = table.get()}, ItemKind::table, offers);
  }
  for (const auto& cls : inventory.classes) {
    plan({.cls = cls.get()}, ItemKind::connection_class, offers);
  }
  for (const auto& heap : inventory.heaps) {
    plan({.heap = heap.get()}, ItemKind::heap, offers);
  }
  for (const auto& arena : inventory.arenas) {
    const auto found = offers.find(arena->name);
    if (found == offers.end()) {
      refuse(arena->name, "the successor does not declare it");
    } else if (!found->second.retired && found->second.range.version != arena->form_version) {
      const FormRange own{arena->form_version, arena->form_version};
      refuse(arena->name, no_common_version(arena->name, arena->name, own, found->second.range));
    }
  }
}

void LossSurvey::plan(Task task, ItemKind kind, const ItemOffers& offers) {
  const auto found = offers.find(task.name());
  if (found == offers.end()) return refuse(task.name(), "the successor does not declare it");
  const ItemOffer& offer = found->second;
  const Form& form = task.form();
  task.retired = offer.retired;
  if (task.retired) {
    if (task.cls == nullptr) tasks_.push_back(task);
    return;
  }
  if (offer.kind != kind || offer.form != form.name()) {
    return refuse(task.name(),
                  "the successor declares it as form " + offer.form + ", here " + form.name());
  }
  const auto version = agree(form.range(), offer.range);
  if (!version) {
    return refuse(task.name(),
                  no_common_version(task.name(), form.name(), form.range(), offer.range));
  }
  task.to = *version;
  if (task.to < form.range().version) tasks_.push_back(task);
}

LossSurvey::Found* LossSurvey::find(Key key) {
  if (const auto found = found_.find(key); found != found_.end()) return &found->second;
  if (found_.size() >= kMostKinds) {
    more_ = true;
    return nullptr;
  }
  return &found_[std::move(key)];
}

void LossSurvey::refuse(const std::string& item, const std::string& why) {
  (void)find({LossKind::refused, item, 0, why});
}

void LossSurvey::count(const Task& task, LossKind kind, uint32_t tag) {
  Found* found = find({kind, task.name(), tag, {}});
  if (found == nullptr) return;
  if (found->records++ > 0) return;
  found->form = task.form().name();
  found->field = task.form().field_name(tag);
  found->from = task.form().range().version;
  found->to = task.to;
}

// ---- Going through the records ---------------------------------------------------------------

LoopNumber LossSurvey::wanted_loop() {
  if (over()) return kInstanceThread;
  const Task& task = tasks_[at_];
  if (task.table != nullptr) return task.table->loop;
  return task.cls != nullptr ? loop_at_ : kInstanceThread;
}

void LossSurvey::work(uint64_t until_ns) {
  while (!over() && inventory_.loops.holds(wanted_loop())) {
    step();
    if (monotonic_ns() >= until_ns) return;
  }
}

void LossSurvey::step() {
  Task& task = tasks_[at_];
  if (task.table != nullptr) return step_table(task);
  if (task.cls != nullptr) return step_class(task);
  step_heap(task);
}

void LossSurvey::next_task() {
  ++at_;
  cursor_ = 0;
  scan_more_ = true;
  keys_.clear();
  key_at_ = 0;
  slot_at_ = 0;
  loop_at_ = kInstanceThread;
}

void LossSurvey::step_table(Task& task) {
  const segue_table& table = *task.table;
  if (key_at_ == keys_.size()) {
    if (!scan_more_) return next_task();
    keys_.clear();
    key_at_ = 0;
    segue_scan out{&keys_};
    const int code = table.ops.scan(table.user, &cursor_, kScanKeys, &out);
    scan_more_ = code == 1;
    if (code < 0) refuse(table.name, "the scan failed");
    return;
  }
  for (int i = 0; i < kRecordsPerStep && key_at_ < keys_.size(); ++i) {
    const std::string& key = keys_[key_at_++];
    segue_writer record;
    const int code = table.ops.encode(table.user, key.data(), key.size(), &record);
    if (code == SEGUE_OK) look(task, record);
    if (code != SEGUE_OK && code != SEGUE_GONE) refuse(table.name, "encoding a record failed");
  }
}

void LossSurvey::step_class(Task& task) {
  segue_class& cls = *task.cls;
  for (int i = 0; i < kRecordsPerStep; ++i) {
    segue_conn* conn = inventory_.connections.seek(slot_at_, loop_at_, false);
    if (conn == nullptr) {
      if (slot_at_ < inventory_.connections.slot_count()) return;
      slot_at_ = 0;
      if (++loop_at_ > inventory_.loops.count()) next_task();
      return;
    }
    ++slot_at_;
    if (conn->cls != &cls) continue;
    segue_writer record;
    if (cls.ops.encode(cls.user, conn, &record) == SEGUE_OK) {
      look(task, record);
    } else {
      refuse(cls.name, "encoding a connection failed");
    }
  }
}

void LossSurvey::step_heap(Task& task) {
  const segue_heap& heap = *task.heap;
  const HeapGuard guard(heap);
  for (int i = 0; i < kRecordsPerStep; ++i) {
    HeapImage::Record there;
    const segue_status status = heap.image.valid() ? heap.image.next(slot_at_, there) : SEGUE_GONE;
    if (status == SEGUE_GONE) return next_task();
    slot_at_ = there.slot + 1;
    if (status != SEGUE_OK) {
      refuse(heap.name, "a record is damaged");
      continue;
    }
    segue_writer record;
    put_heap_record(record, there.type, {there.data, there.size});
    look(task, record);
  }
}

// ---- One record ------------------------------------------------------------------------------

void LossSurvey::look(const Task& task, segue_writer& record) {
  ++looked_at_;
  if (task.retired) return count(task, LossKind::retired, 0);
  finish(record);
  const std::string original = record.fields;
  const Form& form = task.form();
  const uint32_t own = form.range().version;
  const auto convert = [&](uint32_t from, uint32_t to) {
    return task.heap != nullptr ? convert_heap_record(form, from, to, record)
                                : form.convert(from, to, record);
  };
  Status status = convert(own, task.to);
  const std::string down = record.fields;
  if (status.ok()) status = convert(task.to, own);
  if (!status.ok()) return refuse(task.name(), status.text);
  compare(task, original, down, record.fields);
}

void LossSurvey::compare(const Task& task, std::string_view original, std::string_view down,
                         std::string_view back) {
  while (!original.empty()) {
    const uint32_t tag = first_tag(original);
    const std::string_view before = take_run(original, tag);
    // What only came to be by converting up is no loss.
    while (!back.empty() && first_tag(back) < tag) (void)take_run(back, first_tag(back));
    const std::string_view after = take_run(back, tag);
    if (after == before) continue;
    count(task, after.empty() ? LossKind::dropped : LossKind::changed, tag);
  }
  if (task.heap != nullptr) return;  // its fields are the record's bytes and type
  while (!down.empty()) {
    const uint32_t tag = first_tag(down);
    (void)take_run(down, tag);
    if (task.form().is_unknown_to(task.to, tag)) count(task, LossKind::kept, tag);
  }
}

segue_writer LossSurvey::result() const {
  segue_writer out;
  put_number(out, 1, number_);
  for (const auto& [key, found] : found_) {
    segue_writer record;
    put_number(record, 1, static_cast<uint64_t>(key.kind));
    put_field(record, 2, key.item);
    put_field(record, 3, found.form);
    put_number(record, 4, found.from);
    put_number(record, 5, found.to);
    put_number(record, 6, key.tag);
    put_field(record, 7, key.kind == LossKind::refused ? key.detail : found.field);
    put_number(record, 8, found.records);
    put_field(out, 2, record.fields);
  }
  put_number(out, 3, looked_at_);
  put_number(out, 4, more_ ? 1 : 0);
  return out;
}

}  // namespace segue::handoff
