// SPDX-License-Identifier: Apache-2.0
#include "staging/go_live.h"

#include <algorithm>

namespace segue::staging {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

std::string waiting_names(const Place& place) {
  std::string text;
  for (const PlacedTree& tree : place.trees()) {
    if (tree.role == Role::live || tree.record.version.empty()) continue;
    text += fmt::format("{}{}", text.empty() ? "" : ", ", tree.record.name());
  }
  return text.empty() ? "none" : text;
}

bool is_named(const PlacedTree& tree, const std::string& component, const std::string& version) {
  return !tree.record.version.empty() &&
         (component.empty() || tree.record.component == component) &&
         (version.empty() || tree.record.version == version);
}

Result<tree::Verification> compare(const Place& place, const PlacedTree& tree, Check check,
                                   const tree::Progress& progress) {
  SEGUE_ASSIGN(const delta::Manifest manifest, place.manifest_of(tree.record));
  const std::vector<tree::FileStamp> stamps = place.stamps_of(tree.record);
  tree::VerifyOptions options;
  if (check == Check::changed) options.known = &stamps;
  return tree::verify_tree(tree.path, manifest, options, progress);
}

// The newest of that name that waits; without a version the only one.
Result<const PlacedTree*> choose(const Place& place, const std::string& component,
                                 const std::string& version) {
  const PlacedTree* chosen = nullptr;
  for (const PlacedTree& tree : place.trees()) {
    if (tree.role == Role::live || !is_named(tree, component, version)) continue;
    if (version.empty() && tree.role == Role::previous) continue;
    if (chosen != nullptr && chosen->record.name() != tree.record.name()) {
      return fail(ErrorCode::failed_precondition, "several trees wait in {}: {}; name one",
                  tree::shown(place.directory()), waiting_names(place));
    }
    if (chosen == nullptr) chosen = &tree;
  }
  if (chosen != nullptr) return chosen;
  return fail(
      ErrorCode::not_found, "{} does not wait in {} (what does: {}); run `segue stage` first",
      version.empty() ? "no tree" : (component.empty() ? "version" : component) + " " + version,
      tree::shown(place.directory()), waiting_names(place));
}

Result<SwitchReport> make_live(Place& place, const PlacedTree& tree, const SwitchOptions& options) {
  SwitchReport report{.from = {}, .to = tree.record};
  if (place.live() != nullptr) report.from = place.live()->record;
  if (options.check != Check::nothing && tree.record.root) {
    SEGUE_TRY(check_tree(place, tree, options.check, options.progress));
  }
  if (!options.dry_run) SEGUE_TRY(place.exchange(tree.record.number));
  return report;
}

}  // namespace

std::string differences_text(const tree::Verification& verification, std::size_t max_named) {
  std::string text;
  const std::size_t named = std::min(max_named, verification.differences.size());
  for (std::size_t i = 0; i < named; ++i) {
    text += fmt::format("{}{}", i == 0 ? "" : "; ", verification.differences[i].to_string());
  }
  if (verification.difference_count > named) {
    text += fmt::format("; and {} more", verification.difference_count - named);
  }
  return text;
}

Result<void> check_tree(const Place& place, const PlacedTree& tree, Check check,
                        const tree::Progress& progress) {
  SEGUE_ASSIGN(const tree::Verification verification, compare(place, tree, check, progress));
  // Whatever ran in a tree may have left its logs there.
  const bool was_used = tree.role != Role::staged;
  if (was_used ? !verification.has_all() : !verification.matches()) {
    return fail(ErrorCode::data_loss,
                "the {} tree {} is not what it has to be: {}; `segue stage` fetches it again",
                to_string(tree.role), tree.record.name(), differences_text(verification));
  }
  // They only save reading the next time, which no full disk may keep from going live.
  if (verification.bytes_read > 0) {
    static_cast<void>(place.keep_stamps(tree.record, verification.stamps));
  }
  return {};
}

Result<std::optional<std::string>> signed_digest(const Place& place, const TreeRecord& tree,
                                                 const std::string& path) {
  SEGUE_ASSIGN(const delta::Manifest manifest, place.manifest_of(tree));
  const delta::Entry* file = delta::file_at(manifest, path);
  if (file == nullptr) return std::nullopt;
  return "sha256:" + file->content.hex();
}

Result<SwitchReport> switch_to(Place& place, const std::string& component,
                               const std::string& version, const SwitchOptions& options) {
  const PlacedTree* live = place.live();
  const bool is_live = live != nullptr && !version.empty() && is_named(*live, component, version);
  // One that waits was staged since: the live one was found not to be what it has to be.
  const bool waits_too = std::ranges::any_of(place.trees(), [&](const PlacedTree& tree) {
    return tree.role == Role::staged && is_named(tree, component, version);
  });
  if (is_live && !waits_too) {
    return SwitchReport{.from = live->record, .to = live->record, .was_live = true};
  }
  SEGUE_ASSIGN(const PlacedTree* tree, choose(place, component, version));
  return make_live(place, *tree, options);
}

Result<SwitchReport> undo(Place& place, const SwitchOptions& options) {
  const auto previous = place.state().previous;
  const PlacedTree* tree = previous ? place.find(*previous) : nullptr;
  if (tree == nullptr) {
    return fail(ErrorCode::failed_precondition, "there is no previous tree in {}",
                tree::shown(place.directory()));
  }
  return make_live(place, *tree, options);
}

std::vector<TreeCheck> verify(const Place& place, Check check, const tree::Progress& progress) {
  std::vector<TreeCheck> checks;
  for (const PlacedTree& tree : place.trees()) {
    TreeCheck result{.tree = tree, .error = {}, .verification = {}};
    auto compared = compare(place, tree, check, progress);
    if (compared) {
      result.verification = *std::move(compared);
    } else {
      result.error = std::move(compared).error();
    }
    checks.push_back(std::move(result));
  }
  return checks;
}

}  // namespace segue::staging
