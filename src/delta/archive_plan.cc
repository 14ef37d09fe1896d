// SPDX-License-Identifier: Apache-2.0
#include "delta/archive_plan.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <unordered_map>

#include "delta/digest.h"
#include "delta/members.h"
#include "delta/pairing.h"

namespace segue::delta {

namespace {

ByteView packed_bytes_of(ByteView file, const Member& member) {
  return file.subspan(static_cast<std::size_t>(member.at),
                      static_cast<std::size_t>(member.packed_bytes));
}

Bytes plain_bytes_of(ByteView file, const Member& member) {
  auto unpacked = unpack_stream(member.codec, packed_bytes_of(file, member), member.plain_bytes);
  return unpacked ? std::move(unpacked->plain) : Bytes();
}

// Which of the base's members one is made of.
class MemberPairing {
 public:
  explicit MemberPairing(ByteView base) : base_(base), members_(find_members(base)) {
    for (std::size_t i = 0; i < members_.size(); ++i) {
      packed_.insert(digest_of(packed_bytes_of(base_, members_[i])));
      if (!members_[i].name.empty()) by_name_[members_[i].name].push_back(i);
    }
  }

  [[nodiscard]] bool has_packed(ByteView packed) const {
    return packed_.contains(digest_of(packed));
  }

  const Member* choose(const Member& wanted, ByteView plain) {
    const Member* found = by_name(wanted.name);
    if (found == nullptr && members_.size() == 1) found = members_.data();
    if (found == nullptr) found = by_content(plain);
    return found != nullptr && found->codec == wanted.codec ? found : nullptr;
  }

 private:
  // The second of a name is paired with the second.
  const Member* by_name(std::string_view name) {
    const auto found = by_name_.find(name);
    if (found == by_name_.end()) return nullptr;
    const std::size_t number = asked_[name]++;
    return &members_[found->second[std::min(number, found->second.size() - 1)]];
  }

  const Member* by_content(ByteView plain) {
    constexpr std::size_t kMinCommon = 3;
    sketch_members();
    const auto hashes = sketch_of(plain);
    std::map<std::size_t, std::size_t> common;
    for (const std::uint32_t hash : hashes) {
      const auto found = by_hash_.find(hash);
      if (found == by_hash_.end()) continue;
      for (const std::size_t member : found->second) ++common[member];
    }
    const Member* best = nullptr;
    std::size_t best_count = std::min(kMinCommon, hashes.size());
    for (const auto& [member, count] : common) {
      if (count < best_count || (best != nullptr && count == best_count)) continue;
      best = &members_[member];
      best_count = count;
    }
    return best;
  }

  void sketch_members() {
    constexpr std::size_t kMaxPerHash = 32;
    if (is_sketched_) return;
    is_sketched_ = true;
    for (std::size_t i = 0; i < members_.size(); ++i) {
      for (const std::uint32_t hash : sketch_of(plain_bytes_of(base_, members_[i]))) {
        auto& members = by_hash_[hash];
        if (members.size() < kMaxPerHash) members.push_back(i);
      }
    }
  }

  ByteView base_;
  std::vector<Member> members_;
  std::set<Digest> packed_;
  std::map<std::string_view, std::vector<std::size_t>> by_name_;
  std::map<std::string_view, std::size_t> asked_;
  bool is_sketched_ = false;
  std::unordered_map<std::uint32_t, std::vector<std::size_t>> by_hash_;
};

class ArchivePlanner {
 public:
  ArchivePlanner(ByteView base, ByteView target, Framer& framer)
      : base_(base), target_(target), framer_(framer), pairing_(base) {}

  std::optional<ArchivePlan> run() {
    // As the reader bounds it.
    unpacked_left_ = 2 * kMaxExpansion * (base_.size() + target_.size());
    for (const Member& member : find_members(target_)) {
      if (!pairing_.has_packed(packed_bytes_of(target_, member))) unpack(member);
    }
    if (plan_.parts.empty()) return std::nullopt;
    add_raw(target_.size());
    if (plan_.parts.back().raw_bytes == 0) plan_.parts.pop_back();
    plan_raw();
    return std::move(plan_);
  }

 private:
  void unpack(const Member& member) {
    const Bytes plain = plain_bytes_of(target_, member);
    const auto settings =
        find_settings(packed_bytes_of(target_, member), plain, likely_[member.codec]);
    if (!settings) return;
    const Member* like = pairing_.choose(member, plain);
    Bytes base;
    if (like != nullptr) base = plain_bytes_of(base_, *like);
    if (plain.size() + base.size() > unpacked_left_) return;

    MemberPlan made{
        .settings = *settings, .plain_bytes = plain.size(), .packed_bytes = member.packed_bytes};
    made.contents = plan_file(base, plain, true);
    made.has_base = made.contents.literal_bytes < plain.size();
    if (made.has_base) {
      made.base_at = like->at;
    } else {
      made.contents = plan_file({}, plain, true);
      base.clear();
    }
    unpacked_left_ -= plain.size() + base.size();
    likely_[member.codec] = *settings;
    add_raw(static_cast<std::size_t>(member.at));
    raw_begin_ = static_cast<std::size_t>(member.at + member.packed_bytes);
    framer_.consider(made.contents, base, plain);
    plan_.parts.back().member = std::move(made);
  }

  void add_raw(std::size_t end) {
    const ByteView raw = target_.subspan(raw_begin_, end - raw_begin_);
    skeleton_.insert(skeleton_.end(), raw.begin(), raw.end());
    plan_.parts.emplace_back().raw_bytes = raw.size();
  }

  // All that stays packed is matched at once, then cut where the parts end.
  void plan_raw() {
    const std::vector<Operation> operations = operations_between(base_, skeleton_);
    auto next = operations.begin();
    Operation rest = next == operations.end() ? Operation{} : *next;
    for (ArchivePart& part : plan_.parts) {
      for (std::uint64_t left = part.raw_bytes; left > 0;) {
        if (rest.copied + rest.literal == 0) rest = *++next;
        Operation& taken = part.raw.operations.emplace_back();
        taken = {rest.base_at, std::min(rest.copied, left), 0};
        rest.base_at += taken.copied;
        rest.copied -= taken.copied;
        left -= taken.copied;
        if (rest.copied > 0) continue;
        taken.literal = std::min(rest.literal, left);
        rest.literal -= taken.literal;
        left -= taken.literal;
      }
      bound_operations(part.raw.operations);
      part.raw.literal_bytes = literals_of(part.raw.operations);
    }
  }

  ByteView base_;
  ByteView target_;
  Framer& framer_;
  MemberPairing pairing_;
  std::map<PackCodec, PackSettings> likely_ = {{PackCodec::deflate, {}},
                                               {PackCodec::zstd, {PackCodec::zstd, 3, 3}}};
  std::uint64_t unpacked_left_ = 0;
  std::size_t raw_begin_ = 0;
  Bytes skeleton_;
  ArchivePlan plan_;
};

}  // namespace

std::optional<ArchivePlan> plan_archive(ByteView base, ByteView target, Framer& framer) {
  if (base.size() > kMaxArchiveBytes || target.size() > kMaxArchiveBytes) return std::nullopt;
  return ArchivePlanner(base, target, framer).run();
}

}  // namespace segue::delta
