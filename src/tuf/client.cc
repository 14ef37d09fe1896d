// SPDX-License-Identifier: Apache-2.0
#include "tuf/client.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"

namespace segue::tuf {
namespace {

using base::Error;
using base::ErrorCode;
using base::Result;

// Of a file whose length may be stated by one that was verified.
std::size_t bound_of(const MetaFile& file, std::size_t limit) {
  if (!file.length) return limit;
  return static_cast<std::size_t>(std::min<std::uint64_t>(*file.length, limit));
}

// The bytes that came, or why there are none to look at.
Result<std::string> fetched(Event& event, std::size_t max_bytes) {
  if (auto* bytes = std::get_if<Bytes>(&event)) {
    if (bytes->bytes.size() <= max_bytes) return std::move(bytes->bytes);
    return base::fail(ErrorCode::resource_exhausted, "more came than the {} bytes allowed",
                      max_bytes);
  }
  if (auto* broken = std::get_if<Broken>(&event)) return base::fail(std::move(broken->error));
  return base::fail(ErrorCode::not_found, "the repository does not have it");
}

const Error* error_of(const Event& event) {
  const auto* broken = std::get_if<Broken>(&event);
  return broken == nullptr ? nullptr : &broken->error;
}

}  // namespace

bool is_last(const Command& command) {
  return std::holds_alternative<Done>(command) || std::holds_alternative<Failed>(command);
}

std::string file_name_of(std::string_view role) {
  return percent_encode(role) + ".json";
}

std::string FoundTarget::location(bool consistent) const {
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash + 1);
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  std::string prefix;
  if (consistent) {
    const auto sha256 = file.hashes.find("sha256");
    const auto& digits = sha256 == file.hashes.end() ? file.hashes.begin() : sha256;
    prefix = percent_encode(digits->second) + ".";
  }
  return percent_encode(folder, "/") + prefix + percent_encode(name);
}

Command Client::ask(Step step, Command command) {
  step_ = step;
  return command;
}

Command Client::stop(Error error, std::string_view doing) {
  step_ = Step::idle;
  return Failed{std::move(error).with(std::string(doing))};
}

Command Client::persist(Step step, std::string_view role, std::string bytes) {
  return ask(step, Persist{std::string(role), std::move(bytes)});
}

Command Client::refresh(Time now) {
  SEGUE_ASSERT(step_ == Step::idle);
  fresh_ = false;
  now_ = now;
  trusted_.reset();
  root_updates_ = 0;
  found_.reset();
  target_path_.clear();
  return ask(Step::root_load, Load{std::string(kRoot), limits_.max_root_bytes});
}

Command Client::find(const std::string& target_path) {
  SEGUE_ASSERT(step_ == Step::idle && fresh_);
  found_.reset();
  target_path_ = target_path;
  wants_role_ = false;
  to_visit_.clear();
  visited_ = {std::string(kTargets)};
  visit_ = {};
  return search(targets_);
}

Command Client::find_role(const std::string& target_path) {
  SEGUE_ASSERT(step_ == Step::idle && fresh_);
  found_.reset();
  target_path_ = target_path;
  wants_role_ = true;
  to_visit_.clear();
  visited_ = {std::string(kTargets)};
  visit_ = {};
  return search(targets_);
}

Command Client::on(Event event) {
  switch (step_) {
    case Step::idle:
      break;
    case Step::root_load:
    case Step::root_fetch:
    case Step::root_forget_timestamp:
    case Step::root_forget_snapshot:
    case Step::root_persist:
      return on_root(event);
    case Step::timestamp_load:
    case Step::timestamp_fetch:
    case Step::timestamp_persist:
      return on_timestamp(event);
    case Step::snapshot_load:
    case Step::snapshot_fetch:
    case Step::snapshot_persist:
      return on_snapshot(event);
    case Step::role_load:
    case Step::role_fetch:
    case Step::role_persist:
      return on_role(event);
  }
  SEGUE_ASSERT(!"an answer needs a question");
}

// ---- Root

Command Client::on_root(Event& event) {
  if (step_ == Step::root_load) return load_first_root(event);
  if (step_ == Step::root_fetch) return take_root(event);
  if (const Error* error = error_of(event)) return stop(*error, "cannot keep the new root");
  // What the old keys of timestamp and snapshot signed goes before the new root is kept: if the
  // power fails between the two, the next refresh comes by here again.
  if (step_ == Step::root_forget_timestamp) {
    return ask(Step::root_forget_snapshot, Forget{std::string(kSnapshot)});
  }
  if (step_ == Step::root_forget_snapshot) {
    return persist(Step::root_persist, kRoot, std::move(pending_bytes_));
  }
  return fetch_root();
}

Command Client::load_first_root(Event& event) {
  constexpr std::string_view kDoing = "cannot begin from the root that is kept here";
  const auto bytes = fetched(event, limits_.max_root_bytes);
  if (!bytes) return stop(bytes.error(), kDoing);
  auto trusted = TrustedMetadata::start(*bytes, now_);
  if (!trusted) return stop(trusted.error(), kDoing);
  trusted_ = *std::move(trusted);
  return fetch_root();
}

Command Client::fetch_root() {
  if (root_updates_ == limits_.max_root_updates) return end_roots();
  ++root_updates_;
  return ask(Step::root_fetch, Fetch{fmt::format("{}.root.json", trusted_->root().version + 1),
                                     limits_.max_root_bytes});
}

Command Client::take_root(Event& event) {
  if (std::holds_alternative<Absent>(event)) return end_roots();
  const std::string doing = fmt::format("cannot take root {}", trusted_->root().version + 1);
  auto bytes = fetched(event, limits_.max_root_bytes);
  if (!bytes) return stop(bytes.error(), doing);
  const auto rotated = trusted_->update_root(*bytes);
  if (!rotated) return stop(rotated.error(), doing);
  if (!*rotated) return persist(Step::root_persist, kRoot, *std::move(bytes));
  pending_bytes_ = *std::move(bytes);
  return ask(Step::root_forget_timestamp, Forget{std::string(kTimestamp)});
}

Command Client::end_roots() {
  if (const auto valid = trusted_->check_root_expiry(); !valid) {
    return stop(valid.error(), "cannot go on from the last root");
  }
  return ask(Step::timestamp_load, Load{std::string(kTimestamp), limits_.max_timestamp_bytes});
}

// ---- Timestamp

Command Client::on_timestamp(Event& event) {
  if (step_ == Step::timestamp_load) {
    // One that no longer verifies was signed by keys that are not trusted any more.
    if (const auto* kept = std::get_if<Bytes>(&event)) {
      (void)trusted_->recall_timestamp(kept->bytes);
    }
    return ask(Step::timestamp_fetch, Fetch{file_name_of(kTimestamp), limits_.max_timestamp_bytes});
  }
  if (step_ == Step::timestamp_fetch) return take_timestamp(event);
  if (const Error* error = error_of(event)) return stop(*error, "cannot keep the new timestamp");
  return load_snapshot();
}

Command Client::take_timestamp(Event& event) {
  constexpr std::string_view kDoing = "cannot take the timestamp";
  auto bytes = fetched(event, limits_.max_timestamp_bytes);
  if (!bytes) return stop(bytes.error(), kDoing);
  const auto is_new = trusted_->update_timestamp(*bytes);
  if (!is_new) return stop(is_new.error(), kDoing);
  if (!*is_new) return load_snapshot();
  return persist(Step::timestamp_persist, kTimestamp, *std::move(bytes));
}

// ---- Snapshot

Command Client::load_snapshot() {
  return ask(Step::snapshot_load, Load{std::string(kSnapshot), limits_.max_snapshot_bytes});
}

Command Client::fetch_snapshot() {
  const MetaFile& described = trusted_->timestamp().snapshot;
  std::string file = file_name_of(kSnapshot);
  if (trusted_->consistent_snapshot()) file = fmt::format("{}.{}", described.version, file);
  return ask(Step::snapshot_fetch,
             Fetch{std::move(file), bound_of(described, limits_.max_snapshot_bytes)});
}

Command Client::on_snapshot(Event& event) {
  if (step_ == Step::snapshot_load) {
    const auto* kept = std::get_if<Bytes>(&event);
    if (kept == nullptr) return fetch_snapshot();
    const auto is_current = trusted_->recall_snapshot(kept->bytes);
    return is_current && *is_current ? load_role({}) : fetch_snapshot();
  }
  if (step_ == Step::snapshot_fetch) {
    constexpr std::string_view kDoing = "cannot take the snapshot";
    auto bytes =
        fetched(event, bound_of(trusted_->timestamp().snapshot, limits_.max_snapshot_bytes));
    if (!bytes) return stop(bytes.error(), kDoing);
    const auto valid = trusted_->update_snapshot(*bytes);
    if (!valid) return stop(valid.error(), kDoing);
    return persist(Step::snapshot_persist, kSnapshot, *std::move(bytes));
  }
  if (const Error* error = error_of(event)) return stop(*error, "cannot keep the new snapshot");
  return load_role({});
}

// ---- Targets, top-level and delegated

Command Client::load_role(Visit visit) {
  visit_ = std::move(visit);
  if (!trusted_->snapshot().meta.contains(visit_.role)) {
    return stop({ErrorCode::not_found, "the snapshot does not name it"},
                fmt::format("cannot take the role '{}'", visit_.role));
  }
  return ask(Step::role_load, Load{visit_.role, limits_.max_targets_bytes});
}

Command Client::fetch_role() {
  const MetaFile& described = trusted_->snapshot().meta.at(visit_.role);
  std::string file = file_name_of(visit_.role);
  if (trusted_->consistent_snapshot()) file = fmt::format("{}.{}", described.version, file);
  return ask(Step::role_fetch,
             Fetch{std::move(file), bound_of(described, limits_.max_targets_bytes)});
}

// By whoever led here, each time: that another role trusts it proves nothing on this way.
Result<Targets> Client::check_role(const std::string& bytes) const {
  if (visit_.delegator == nullptr) return trusted_->check_targets(bytes);
  return trusted_->check_delegated(bytes, *visit_.delegator, visit_.delegator->roles[visit_.index]);
}

Command Client::on_role(Event& event) {
  const std::string doing = fmt::format("cannot take the role '{}'", visit_.role);
  if (step_ == Step::role_load) {
    const auto* kept = std::get_if<Bytes>(&event);
    if (kept == nullptr) return fetch_role();
    auto targets = check_role(kept->bytes);
    return targets ? accept_role(*std::move(targets)) : fetch_role();
  }
  if (step_ == Step::role_fetch) {
    auto bytes = fetched(
        event, bound_of(trusted_->snapshot().meta.at(visit_.role), limits_.max_targets_bytes));
    if (!bytes) return stop(bytes.error(), doing);
    auto targets = check_role(*bytes);
    if (!targets) return stop(targets.error(), doing);
    pending_targets_ = *std::move(targets);
    return persist(Step::role_persist, visit_.role, *std::move(bytes));
  }
  if (const Error* error = error_of(event)) return stop(*error, doing);
  return accept_role(std::move(pending_targets_));
}

Command Client::accept_role(Targets targets) {
  if (visit_.delegator != nullptr) return search(targets);
  targets_ = std::move(targets);
  fresh_ = true;
  return ask(Step::idle, Done{});
}

Command Client::search(const Targets& targets) {
  if (wants_role_ && visit_.delegator != nullptr) {
    found_role_ = targets;
    return ask(Step::idle, Done{});
  }
  const auto file = wants_role_ ? targets.targets.end() : targets.targets.find(target_path_);
  if (file != targets.targets.end()) {
    found_ = FoundTarget{target_path_, file->second, visit_.role};
    found_role_ = targets;
    return ask(Step::idle, Done{});
  }
  if (targets.delegations) {
    const auto delegations = std::make_shared<const Delegations>(*targets.delegations);
    std::vector<Visit> below;
    for (std::size_t i = 0; i < delegations->roles.size(); ++i) {
      const DelegatedRole& role = delegations->roles[i];
      if (!role.covers(target_path_)) continue;
      below.push_back({role.name, delegations, i});
      if (role.terminating) {
        to_visit_.clear();
        break;
      }
    }
    to_visit_.insert(to_visit_.end(), below.rbegin(), below.rend());
  }
  return next_visit();
}

Command Client::next_visit() {
  while (!to_visit_.empty() && visited_.size() <= limits_.max_delegations) {
    Visit visit = std::move(to_visit_.back());
    to_visit_.pop_back();
    if (visited_.insert(visit.role).second) return load_role(std::move(visit));
  }
  return stop({ErrorCode::not_found, to_visit_.empty()
                                         ? "no role that is trusted with its path describes it"
                                         : fmt::format("none of the first {} roles describes it",
                                                       limits_.max_delegations)},
              fmt::format("there is no target '{}'", target_path_));
}

}  // namespace segue::tuf
