// SPDX-License-Identifier: Apache-2.0
#include "delta/large_file.h"

#include <algorithm>
#include <utility>

namespace segue::delta {

namespace {

class LargeFile {
 public:
  LargeFile(ByteView base, ByteView target, const LargeFileOptions& options)
      : base_(base), target_(target), options_(options) {}

  std::vector<Operation> run() {
    while (at_ < target_.size()) {
      if (!take_run()) take(search());
    }
    return std::move(operations_);
  }

 private:
  // A copy has to be so long to say where the next piece is likely to be.
  static constexpr std::size_t kTellingBytes = 4096;

  // Goes on with the alignment at hand as long as that explains every byte.
  bool take_run() {
    const std::int64_t place = static_cast<std::int64_t>(at_) + shift_;
    if (place < 0 || place >= static_cast<std::int64_t>(base_.size())) return false;
    const auto base_at = static_cast<std::size_t>(place);
    const std::size_t run = common_prefix(base_.subspan(base_at), target_.subspan(at_));
    if (run < options_.min_run_bytes && run < target_.size() - at_) return false;
    append({base_at, run, 0});
    return true;
  }

  [[nodiscard]] std::vector<Operation> search() const {
    auto near = search_in(options_.near_piece_bytes, options_.near_window_bytes);
    std::uint64_t literal = 0;
    for (const Operation& operation : near) literal += operation.literal;
    if (literal <= options_.near_literal_bytes) return near;
    return search_in(options_.far_piece_bytes, options_.far_window_bytes);
  }

  // A third of the window lies before the place where the piece is likely to be.
  [[nodiscard]] std::vector<Operation> search_in(std::size_t piece_bytes,
                                                 std::size_t window_bytes) const {
    const ByteView piece = target_.subspan(at_, std::min(piece_bytes, target_.size() - at_));
    const auto begin = static_cast<std::size_t>(std::clamp<std::int64_t>(
        static_cast<std::int64_t>(at_) + shift_ - static_cast<std::int64_t>(window_bytes / 3), 0,
        static_cast<std::int64_t>(base_.size())));
    const ByteView window = base_.subspan(begin, std::min(window_bytes, base_.size() - begin));
    std::vector<Operation> operations = find_operations(window, piece, {});
    for (Operation& operation : operations) operation.base_at += begin;
    return operations;
  }

  void take(const std::vector<Operation>& operations) {
    for (const Operation& operation : operations) {
      if (operation.copied > kTellingBytes) {
        shift_ = static_cast<std::int64_t>(operation.base_at) - static_cast<std::int64_t>(at_);
      }
      append(operation);
    }
  }

  void append(const Operation& operation) {
    at_ += static_cast<std::size_t>(operation.copied + operation.literal);
    if (!operations_.empty()) {
      Operation& last = operations_.back();
      if (last.literal == 0 && last.base_at + last.copied == operation.base_at) {
        last.copied += operation.copied;
        last.literal = operation.literal;
        return;
      }
    }
    operations_.push_back(operation);
  }

  ByteView base_;
  ByteView target_;
  LargeFileOptions options_;
  std::vector<Operation> operations_;
  std::size_t at_ = 0;
  std::int64_t shift_ = 0;  // from a place in the target to that in the base
};

}  // namespace

std::vector<Operation> operations_of_large(ByteView base, ByteView target,
                                           const LargeFileOptions& options) {
  return LargeFile(base, target, options).run();
}

}  // namespace segue::delta
