// SPDX-License-Identifier: Apache-2.0
#include "builder/decider.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace segue::builder {
namespace {

void append(Commands& to, Commands from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

std::string_view name_of_failed(Stage stage) {
  switch (stage) {
    case Stage::preparing:
      return "the working copy could not be prepared";
    case Stage::building:
      return "the build failed";
    case Stage::testing:
      return "the test failed";
    case Stage::publishing:
      return "it could not be published";
    case Stage::confirming:
      return "whether it was published could not be found out";
    case Stage::queued:
    case Stage::held:
    case Stage::ended:
      break;
  }
  SEGUE_ASSERT(false && "a stage in which nothing runs");
}

}  // namespace

Commands Decider::restore(std::vector<Record> records) {
  SEGUE_ASSERT(records_.empty());
  Commands commands;
  for (auto& record : records) {
    next_id_ = std::max(next_id_, record.id + 1);
    ids_.emplace(std::pair(record.repository, record.commit), record.id);
    const std::uint64_t id = record.id;
    records_.emplace(id, std::move(record));
  }
  for (auto& [id, record] : records_) {
    append(commands, resume(record));
    const std::string status(to_string(status_of(record)));
    if (record.noted != status || record.told != status) commands.emplace_back(Tell{id});
  }
  return commands;
}

Commands Decider::resume(Record& record) {
  switch (record.stage) {
    case Stage::queued:
      queue_.insert(record.id);
      return {};
    case Stage::preparing:
    case Stage::building:
    case Stage::testing: {
      if (record.attempts >= kMaxAttempts) {
        return end(record, Verdict::failed,
                   fmt::format("the builder ended {} times while this commit was {}",
                               record.attempts, to_string(record.stage)),
                   record.began_s);
      }
      record.stage = Stage::queued;
      queue_.insert(record.id);
      return {Save{record}};
    }
    case Stage::publishing:
    case Stage::confirming:
      record.stage = Stage::confirming;
      queue_.insert(record.id);
      return {Save{record}};
    case Stage::held:
      // What it had built is gone; that the builder ended meanwhile is no fault of the build.
      record.stage = Stage::queued;
      record.why.clear();
      if (record.attempts > 0) --record.attempts;
      queue_.insert(record.id);
      return {Save{record}};
    case Stage::ended:
      return {};
  }
  SEGUE_ASSERT(false && "a Stage outside its enumeration");
}

std::size_t Decider::room() const {
  return settings_.max_waiting - std::min(settings_.max_waiting, queue_.size() + held_.size());
}

Decider::Accounted Decider::account_for(const Sighting& sighting, std::int64_t now_s) {
  Accounted accounted;
  for (const auto& commit : sighting.commits) {
    const auto key = std::pair(sighting.repository, commit);
    if (!ids_.contains(key)) {
      if (room() == 0) break;
      Record record{.id = next_id_++,
                    .repository = sighting.repository,
                    .ref = sighting.ref,
                    .commit = commit,
                    .queued_s = now_s};
      ids_.emplace(key, record.id);
      queue_.insert(record.id);
      accounted.commands.emplace_back(Save{record});
      accounted.commands.emplace_back(Tell{record.id});
      records_.emplace(record.id, std::move(record));
    }
    ++accounted.count;
  }
  return accounted;
}

Commands Decider::begin_next(std::int64_t now_s) {
  if (under_way_) return {};
  for (const auto& [id, again_s] : held_) {
    if (again_s <= now_s) return publish_again(id);
  }
  // Its successors wait with a build that is held, so that they are published in their order.
  std::set<std::string> waiting;
  for (const auto& [id, again_s] : held_) waiting.insert(records_.at(id).repository);
  const auto next = std::ranges::find_if(
      queue_, [&](std::uint64_t id) { return !waiting.contains(records_.at(id).repository); });
  if (next == queue_.end()) return {};
  const std::uint64_t id = *next;
  queue_.erase(next);
  under_way_ = id;
  Record& record = records_.at(id);
  record.began_s = now_s;
  if (record.stage == Stage::confirming) return {Save{record}, RunStage{id, Stage::confirming}};
  ++record.attempts;
  return move_to(record, Stage::preparing);
}

Commands Decider::publish_again(std::uint64_t id) {
  held_.erase(id);
  under_way_ = id;
  return move_to(records_.at(id), Stage::publishing);
}

// Asked again now and then, as the plan may be cancelled.
Commands Decider::hold(Record& record, const StageResult& result, std::int64_t now_s) {
  record.stage = Stage::held;
  record.why = result.why;
  under_way_.reset();
  held_[record.id] = std::clamp(*result.frozen_until_s, now_s + 1, now_s + kAskAgainS);
  return {Save{record}};
}

Commands Decider::move_to(Record& record, Stage stage) {
  record.stage = stage;
  return {Save{record}, RunStage{record.id, stage}};
}

Commands Decider::end(Record& record, Verdict verdict, std::string why, std::int64_t now_s) {
  record.stage = Stage::ended;
  record.verdict = verdict;
  record.why = std::move(why);
  record.ended_s = now_s;
  if (under_way_ == record.id) under_way_.reset();
  return {Save{record}, Discard{record.id}, Tell{record.id}};
}

Commands Decider::end_stage(const StageResult& result, bool may_publish, std::int64_t now_s) {
  SEGUE_ASSERT(under_way_);
  Record& record = records_.at(*under_way_);
  if (result.frozen_until_s && record.stage == Stage::publishing) {
    return hold(record, result, now_s);
  }
  if (!result.good) {
    return end(record, Verdict::failed,
               fmt::format("{}: {}", name_of_failed(record.stage), result.why), now_s);
  }
  switch (record.stage) {
    case Stage::preparing:
      record.component = result.component;
      record.version = result.version;
      return move_to(record, Stage::building);
    case Stage::building:
      return move_to(record, Stage::testing);
    case Stage::testing:
      if (!may_publish) return end(record, Verdict::passed, "", now_s);
      return move_to(record, Stage::publishing);
    case Stage::publishing:
      return end(record, Verdict::published, "", now_s);
    case Stage::confirming:
      if (result.published) return end(record, Verdict::published, "", now_s);
      if (record.attempts >= kMaxAttempts) {
        return end(record, Verdict::failed,
                   fmt::format("the builder ended {} times while it published this commit",
                               record.attempts),
                   now_s);
      }
      // It was not: what there is of the output may not have outlived a power failure.
      ++record.attempts;
      return move_to(record, Stage::preparing);
    case Stage::queued:
    case Stage::held:
    case Stage::ended:
      break;
  }
  SEGUE_ASSERT(false && "a stage in which nothing runs");
}

Commands Decider::interrupt() {
  if (!under_way_) return {};
  Record& record = records_.at(*std::exchange(under_way_, std::nullopt));
  if (record.stage == Stage::publishing || record.stage == Stage::confirming) return {};
  record.stage = Stage::queued;
  --record.attempts;
  return {Save{record}};
}

Commands Decider::note_delivered(std::uint64_t id, Status status) {
  const auto found = records_.find(id);
  if (found == records_.end()) return {};
  found->second.noted = to_string(status);
  return {Save{found->second}};
}

Commands Decider::told_delivered(std::uint64_t id, Status status) {
  const auto found = records_.find(id);
  if (found == records_.end()) return {};
  found->second.told = to_string(status);
  return {Save{found->second}};
}

const Record* Decider::find(std::uint64_t id) const {
  const auto found = records_.find(id);
  return found == records_.end() ? nullptr : &found->second;
}

const Record* Decider::find(const std::string& repository, const std::string& commit) const {
  const auto found = ids_.find({repository, commit});
  return found == ids_.end() ? nullptr : find(found->second);
}

std::vector<std::uint64_t> Decider::forget_beyond(std::size_t keep) {
  std::vector<std::uint64_t> forgotten;
  std::size_t ended = static_cast<std::size_t>(std::ranges::count_if(
      records_, [](const auto& entry) { return entry.second.stage == Stage::ended; }));
  for (auto entry = records_.begin(); entry != records_.end() && ended > keep;) {
    const Record& record = entry->second;
    if (record.stage != Stage::ended) {
      ++entry;
      continue;
    }
    ids_.erase({record.repository, record.commit});
    forgotten.push_back(entry->first);
    entry = records_.erase(entry);
    --ended;
  }
  return forgotten;
}

}  // namespace segue::builder
