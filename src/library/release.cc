// SPDX-License-Identifier: Apache-2.0
#include "library/release.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/assert.h"
#include "crypto/digest.h"
#include "tuf/fields.h"

namespace segue::library {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using delta::Digest;

constexpr std::string_view kImageKind = "image";

Result<Digest> digest_field(tuf::Fields& fields, const std::string& name) {
  SEGUE_ASSIGN(const std::string digits, fields.string(name));
  if (const auto digest = digest_from_hex(digits)) return *digest;
  return fail(ErrorCode::data_loss, "'{}' of {} is not 64 lower-case hexadecimal digits", name,
              fields.what());
}

Result<std::uint64_t> bounded_field(tuf::Fields& fields, const std::string& name, std::uint64_t min,
                                    std::uint64_t max) {
  SEGUE_ASSIGN(const std::uint64_t number, fields.number(name, min));
  if (number <= max) return number;
  return fail(ErrorCode::data_loss, "'{}' of {} is {}: at most {} is allowed", name, fields.what(),
              number, max);
}

Result<ReleaseDelta> parse_delta(tuf::Json json, const std::string& what) {
  SEGUE_ASSIGN(auto fields, tuf::Fields::of(std::move(json), what));
  ReleaseDelta delta;
  SEGUE_ASSIGN(delta.from, fields.string("from"));
  SEGUE_TRY(check_version(delta.from));
  SEGUE_ASSIGN(delta.object.length, bounded_field(fields, "length", 1, delta::kMaxDeltaBytes));
  SEGUE_ASSIGN(delta.object.sha256, digest_field(fields, "sha256"));
  return delta;
}

Result<void> parse_deltas(tuf::Fields& fields, Release& release) {
  const tuf::Json list = fields.take_if_any("deltas");
  if (list.is_null()) return {};
  const std::string what = "a delta of " + fields.what();
  if (!list.is_array() || list.size() > kMaxDeltas) {
    return fail(ErrorCode::data_loss, "'deltas' of {} is not a list of at most {}", fields.what(),
                kMaxDeltas);
  }
  std::set<std::string> from;
  for (const auto& each : list) {
    SEGUE_ASSIGN(ReleaseDelta delta, parse_delta(each, what));
    if (delta.from == release.version || !from.insert(delta.from).second) {
      return fail(ErrorCode::data_loss, "{} names the delta from '{}' twice, or itself",
                  fields.what(), delta.from);
    }
    release.deltas.push_back(std::move(delta));
  }
  return {};
}

Result<void> parse_pending(tuf::Fields& fields, Release& release) {
  tuf::Json json = fields.take_if_any("pending");
  if (json.is_null()) return {};
  SEGUE_ASSIGN(auto inner, tuf::Fields::of(std::move(json), "what is pending of " + fields.what()));
  PendingDeltas pending;
  SEGUE_ASSIGN(const std::string until, inner.string("until"));
  SEGUE_ASSIGN(pending.until, tuf::parse_time(until));
  SEGUE_ASSIGN(pending.from, inner.strings("from"));
  if (pending.from.size() > kMaxDeltas) {
    return fail(ErrorCode::data_loss, "{} names more than {} versions", inner.what(), kMaxDeltas);
  }
  for (const auto& version : pending.from) SEGUE_TRY(check_version(version));
  release.pending = std::move(pending);
  return {};
}

Result<void> parse_commit(tuf::Fields& fields, Release& release) {
  const tuf::Json commit = fields.take_if_any("commit");
  if (commit.is_null()) return {};
  if (commit.is_string()) release.commit = commit.get<std::string>();
  if (check_commit(release.commit)) return {};
  return fail(ErrorCode::data_loss, "'commit' of {} is not 1 to {} printable characters",
              fields.what(), kMaxCommitBytes);
}

Result<void> parse_kind(tuf::Fields& fields, Release& release) {
  const tuf::Json kind = fields.take_if_any("kind");
  if (kind.is_null()) return {};
  if (kind.is_string() && kind.get_ref<const std::string&>() == kImageKind) {
    release.kind = ReleaseKind::image;
    return {};
  }
  return fail(ErrorCode::failed_precondition,
              "{} is of a kind that this program does not know: install a newer one",
              fields.what());
}

Result<void> parse_custom(tuf::Fields fields, Release& release) {
  SEGUE_TRY(parse_kind(fields, release));
  SEGUE_ASSIGN(release.root, digest_field(fields, "root"));
  SEGUE_ASSIGN(release.bytes, bounded_field(fields, "bytes", 0, kMaxReleaseBytes));
  SEGUE_ASSIGN(release.files, bounded_field(fields, "files", 0, delta::kMaxEntries));
  SEGUE_ASSIGN(const std::string published, fields.string("published"));
  SEGUE_ASSIGN(release.published, tuf::parse_time(published));
  SEGUE_TRY(parse_commit(fields, release));
  SEGUE_TRY(parse_deltas(fields, release));
  SEGUE_TRY(parse_pending(fields, release));
  release.extra = std::move(fields).rest();
  return {};
}

}  // namespace

std::string object_path(const Digest& sha256) {
  const std::string hex = sha256.hex();
  return fmt::format("{}/{}/{}", kObjectsFolder, hex.substr(0, 2), hex);
}

std::optional<Digest> digest_from_hex(std::string_view digits) {
  const bool lower_case = std::ranges::none_of(digits, [](char c) { return c >= 'A' && c <= 'F'; });
  const auto bytes = crypto::from_hex(digits);
  if (!lower_case || !bytes || bytes->size() != Digest::kBytes) return std::nullopt;
  Digest digest;
  std::ranges::copy(delta::view_of(*bytes), digest.bytes.begin());
  return digest;
}

Result<void> check_object(delta::ByteView bytes, const ObjectRef& object) {
  if (bytes.size() != object.length) {
    return fail(ErrorCode::data_loss, "object {} has {} bytes instead of {}", object.sha256.hex(),
                bytes.size(), object.length);
  }
  if (const Digest found = delta::digest_of(bytes); found != object.sha256) {
    return fail(ErrorCode::data_loss, "object {} holds other bytes, whose digest is {}",
                object.sha256.hex(), found.hex());
  }
  return {};
}

std::string_view to_string(ReleaseKind kind) {
  return kind == ReleaseKind::image ? kImageKind : "tree";
}

Result<void> check_commit(std::string_view commit) {
  const bool printable = std::ranges::all_of(commit, [](char c) { return c > ' ' && c < 127; });
  if (printable && !commit.empty() && commit.size() <= kMaxCommitBytes) return {};
  return fail(ErrorCode::invalid_argument,
              "'{}' cannot name a commit: use 1 to {} printable characters without spaces",
              commit.substr(0, kMaxCommitBytes), kMaxCommitBytes);
}

Result<void> check_component(std::string_view component) {
  SEGUE_TRY(control::check_name(component));
  if (!tuf::is_top_level(component) && component != kPlansRole) return {};
  return fail(ErrorCode::invalid_argument,
              "'{}' cannot name a component of a release library: it is a role of its own",
              component);
}

std::string target_path(std::string_view component, std::string_view version) {
  return fmt::format("{}/{}", component, version);
}

tuf::TargetFile to_target(const Release& release) {
  tuf::Json custom = release.extra;
  if (release.kind != ReleaseKind::tree) custom["kind"] = to_string(release.kind);
  custom["root"] = release.root.hex();
  custom["bytes"] = release.bytes;
  custom["files"] = release.files;
  custom["published"] = tuf::to_string(release.published);
  if (!release.commit.empty()) custom["commit"] = release.commit;
  for (const auto& delta : release.deltas) {
    custom["deltas"].push_back({{"from", delta.from},
                                {"length", delta.object.length},
                                {"sha256", delta.object.sha256.hex()}});
  }
  if (release.pending) {
    custom["pending"] = {{"until", tuf::to_string(release.pending->until)},
                         {"from", release.pending->from}};
  }
  tuf::TargetFile target;
  target.length = release.contents.length;
  target.hashes["sha256"] = release.contents.sha256.hex();
  target.custom = std::move(custom);
  SEGUE_ASSERT(parse_release(target_path(release.component, release.version), target).has_value());
  return target;
}

Result<Release> parse_release(std::string_view path, const tuf::TargetFile& target) {
  Release release;
  const std::size_t slash = path.find('/');
  if (slash == std::string_view::npos) {
    return fail(ErrorCode::data_loss, "the target '{}' is not COMPONENT/VERSION", path);
  }
  release.component = path.substr(0, slash);
  release.version = path.substr(slash + 1);
  const std::string what = fmt::format("release '{}'", path.substr(0, 200));
  const auto named = [&]() -> Result<void> {
    SEGUE_TRY(check_component(release.component));
    SEGUE_TRY(check_version(release.version));
    SEGUE_ASSIGN(auto fields, tuf::Fields::of(target.custom, what));
    return parse_custom(std::move(fields), release);
  }();
  if (!named) {
    const auto& error = named.error();
    const bool newer = error.code() == ErrorCode::failed_precondition;
    return fail(newer ? error.code() : ErrorCode::data_loss, "{}", error.message());
  }
  const auto sha256 = target.hashes.find("sha256");
  const auto digest =
      sha256 == target.hashes.end() ? std::nullopt : digest_from_hex(sha256->second);
  if (!digest || target.length == 0 || target.length > kMaxContentsBytes) {
    return fail(ErrorCode::data_loss, "{} has no SHA-256, or a length that is out of bounds", what);
  }
  release.contents = {target.length, *digest};
  return release;
}

const Release* ReleaseList::find_version(std::string_view version) const {
  const auto found = std::ranges::find(releases, version, &Release::version);
  return found == releases.end() ? nullptr : &*found;
}

const Release* ReleaseList::find_root(const Digest& root) const {
  const auto found = std::find_if(releases.rbegin(), releases.rend(),
                                  [&](const Release& each) { return each.root == root; });
  return found == releases.rend() ? nullptr : &*found;
}

ReleaseList releases_of(std::string_view component, const tuf::Targets& role) {
  ReleaseList list;
  for (const auto& [path, target] : role.targets) {
    auto release = parse_release(path, target);
    if (release && release->component != component) {
      release = fail(ErrorCode::data_loss, "'{}' is no release of '{}'", path, component);
    }
    if (release) {
      list.releases.push_back(*std::move(release));
    } else {
      list.refused.push_back(std::move(release).error());
    }
  }
  std::ranges::stable_sort(list.releases, {}, &Release::published);
  return list;
}

const ReleaseDelta* delta_from(const ReleaseList& list, const Release& release,
                               const Digest& root) {
  for (const auto& delta : release.deltas) {
    const Release* base = list.find_version(delta.from);
    if (base != nullptr && base->root == root) return &delta;
  }
  return nullptr;
}

}  // namespace segue::library
