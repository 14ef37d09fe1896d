// SPDX-License-Identifier: Apache-2.0
#include "delta/operations.h"

#include <divsufsort.h>

#include <algorithm>
#include <array>

#include "base/assert.h"

namespace segue::delta {

std::size_t common_prefix(ByteView left, ByteView right) {
  const std::size_t end = std::min(left.size(), right.size());
  std::size_t i = 0;
  while (i + 8 <= end && load_u64(left.data() + i) == load_u64(right.data() + i)) i += 8;
  while (i < end && left[i] == right[i]) ++i;
  return i;
}

namespace {

struct Found {
  std::size_t base_at = 0;
  std::size_t length = 0;
};

// The longest match by a suffix array, which starts in the range of the first two bytes.
class SuffixIndex {
 public:
  explicit SuffixIndex(ByteView base) : base_(base), order_(base.size()) {
    SEGUE_ASSERT(base.size() <= kMaxMatchBytes);
    if (base.empty()) return;
    SEGUE_ASSERT(divsufsort(base.data(), order_.data(), static_cast<saidx_t>(base.size())) == 0);
    for (std::size_t i = 0; i + 1 < base.size(); ++i) ++starts_[pair(i) + 1];
    // A suffix of one byte sorts before all pairs with that byte.
    ++starts_[std::size_t{base.back()} * 256];
    for (std::size_t i = 1; i < starts_.size(); ++i) starts_[i] += starts_[i - 1];
  }

  [[nodiscard]] Found longest(ByteView wanted) const {
    if (wanted.size() < 2 || base_.size() < 2) return {};
    const std::size_t key = std::size_t{wanted[0]} * 256 + wanted[1];
    std::size_t low = starts_[key];
    std::size_t high = starts_[key + 1];
    // What both ends share with `wanted`, all between share.
    std::size_t shared_low = 0;
    std::size_t shared_high = 0;
    Found best;
    while (low < high) {
      const std::size_t middle = low + (high - low) / 2;
      const auto at = static_cast<std::size_t>(order_[middle]);
      const std::size_t skip = std::min({shared_low, shared_high, base_.size() - at});
      const std::size_t length =
          skip + common_prefix(base_.subspan(at + skip), wanted.subspan(skip));
      if (length > best.length) best = {at, length};
      if (length == wanted.size()) break;
      if (at + length == base_.size() || base_[at + length] < wanted[length]) {
        low = middle + 1;
        shared_low = length;
      } else {
        high = middle;
        shared_high = length;
      }
    }
    return best;
  }

 private:
  [[nodiscard]] std::size_t pair(std::size_t at) const {
    return std::size_t{base_[at]} * 256 + base_[at + 1];
  }

  ByteView base_;
  std::vector<saidx_t> order_;
  std::vector<std::size_t> starts_ = std::vector<std::size_t>(65537);
};

// bsdiff's scan: go on with the alignment at hand until another explains enough more, then share
// the bytes between the two alignments out by what each explains.
class Scanner {
  // So that repetitive files do not cost the square of their size.
  static constexpr std::size_t kMaxCompared = 4096;
  // An alignment that goes on for so long is kept without a look at others.
  static constexpr std::size_t kLongRun = 32;

 public:
  Scanner(ByteView base, ByteView target, const MatchOptions& options)
      : base_(base), target_(target), index_(base), options_(options) {}

  std::vector<Operation> run() {
    while (scan_ < target_.size()) {
      next_alignment();
      if (found_.length != explained_ || scan_ == target_.size()) close_operation();
    }
    return std::move(operations_);
  }

 private:
  [[nodiscard]] bool old_alignment_fits(std::size_t at) const {
    const std::int64_t place = static_cast<std::int64_t>(at) + shift_;
    return place >= 0 && place < static_cast<std::int64_t>(base_.size()) &&
           base_[static_cast<std::size_t>(place)] == target_[at];
  }

  [[nodiscard]] std::size_t run_of_old_alignment() const {
    const std::int64_t place = static_cast<std::int64_t>(scan_) + shift_;
    if (place < 0 || place >= static_cast<std::int64_t>(base_.size())) return 0;
    return common_prefix(base_.subspan(static_cast<std::size_t>(place)), target_.subspan(scan_));
  }

  void next_alignment() {
    explained_ = 0;
    scan_ += found_.length;
    if (const std::size_t run = run_of_old_alignment(); run >= kLongRun) {
      found_ = {static_cast<std::size_t>(static_cast<std::int64_t>(scan_) + shift_), run};
      explained_ = run;
      return;
    }
    std::size_t counted = scan_;
    for (; scan_ < target_.size(); ++scan_) {
      found_ =
          index_.longest(target_.subspan(scan_, std::min(target_.size() - scan_, kMaxCompared)));
      for (; counted < scan_ + found_.length; ++counted) {
        if (old_alignment_fits(counted)) ++explained_;
      }
      if ((found_.length == explained_ && found_.length != 0) ||
          found_.length > explained_ + options_.min_gain_bytes) {
        return;
      }
      if (counted > scan_ && old_alignment_fits(scan_)) --explained_;
      if (counted == scan_) ++counted;
    }
    found_.length = 0;
  }

  // How far an alignment explains more than half of the bytes.
  [[nodiscard]] std::size_t forward_length() const {
    std::int64_t score = 0;
    std::int64_t best = 0;
    std::size_t length = 0;
    for (std::size_t i = 0; last_target_ + i < scan_ && last_base_ + i < base_.size();) {
      score += base_[last_base_ + i] == target_[last_target_ + i] ? 1 : -1;
      ++i;
      if (score > best) {
        best = score;
        length = i;
      }
    }
    return length;
  }
  [[nodiscard]] std::size_t backward_length() const {
    if (scan_ == target_.size()) return 0;
    std::int64_t score = 0;
    std::int64_t best = 0;
    std::size_t length = 0;
    for (std::size_t i = 1; scan_ >= last_target_ + i && found_.base_at >= i; ++i) {
      score += base_[found_.base_at - i] == target_[scan_ - i] ? 1 : -1;
      if (score > best) {
        best = score;
        length = i;
      }
    }
    return length;
  }

  void close_operation() {
    std::size_t forward = forward_length();
    std::size_t backward = backward_length();
    if (last_target_ + forward > scan_ - backward) {
      const std::size_t overlap = last_target_ + forward - (scan_ - backward);
      std::int64_t score = 0;
      std::int64_t best = 0;
      std::size_t share = 0;
      for (std::size_t i = 0; i < overlap; ++i) {
        if (target_[last_target_ + forward - overlap + i] ==
            base_[last_base_ + forward - overlap + i]) {
          ++score;
        }
        if (target_[scan_ - backward + i] == base_[found_.base_at - backward + i]) --score;
        if (score > best) {
          best = score;
          share = i + 1;
        }
      }
      forward = forward + share - overlap;
      backward -= share;
    }
    const std::size_t literal = scan_ - backward - (last_target_ + forward);
    if (forward + literal > 0) operations_.push_back({last_base_, forward, literal});
    last_target_ = scan_ - backward;
    last_base_ = found_.base_at - backward;
    shift_ = static_cast<std::int64_t>(found_.base_at) - static_cast<std::int64_t>(scan_);
  }

  ByteView base_;
  ByteView target_;
  SuffixIndex index_;
  MatchOptions options_;
  std::vector<Operation> operations_;
  Found found_;
  std::size_t scan_ = 0;
  std::size_t explained_ = 0;
  std::size_t last_target_ = 0;
  std::size_t last_base_ = 0;
  std::int64_t shift_ = 0;
};

}  // namespace

std::vector<Operation> find_operations(ByteView base, ByteView target,
                                       const MatchOptions& options) {
  return Scanner(base, target, options).run();
}

}  // namespace segue::delta
