// SPDX-License-Identifier: Apache-2.0
#include "tcp/move.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "base/assert.h"
#include "os/network_namespace.h"

namespace segue::tcp {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

}  // namespace

Move::Move(std::span<const int> originals, MoveHooks hooks, MoveOptions options,
           const os::Clock& clock)
    : originals_(originals), hooks_(std::move(hooks)), options_(options), clock_(clock) {
  SEGUE_ASSERT(hooks_.block_link && hooks_.hand_over_address && hooks_.open_link &&
               hooks_.take_back_address && hooks_.unblock_link);
}

Result<void> Move::run() {
  SEGUE_ASSERT(stage_ == Stage::ready);
  SEGUE_TRY(choose());
  started_ = part_started_ = clock_.monotonic_now();
  if (auto crossed = cross(); !crossed) return fail(take_back(std::move(crossed).error()));
  return discard_all();
}

// Up to the point of no return.
Result<void> Move::cross() {
  stage_ = Stage::blocking;
  if (auto blocked = hooks_.block_link(); !blocked) {
    return fail(std::move(blocked).error().with("cannot block the link"));
  }
  end_part(report_.block);
  SEGUE_TRY(dump_all());
  end_part(report_.dump);
  stage_ = Stage::handing_over;
  if (auto handed = hooks_.hand_over_address(); !handed) {
    return fail(std::move(handed).error().with("cannot hand over the address"));
  }
  end_part(report_.hand_over);
  SEGUE_TRY(restore_all());
  end_part(report_.restore);
  return {};
}

Result<void> Move::choose() {
  chosen_.clear();
  windows_.clear();
  report_.left_behind.clear();
  for (std::size_t index = 0; index < originals_.size(); ++index) {
    const int fd = originals_[index];
    auto movable = check_movable(fd);
    if (movable) {
      SEGUE_ASSIGN(const std::uint32_t window, congestion_window_segments(fd));
      chosen_.push_back(index);
      windows_.push_back(window);
      continue;
    }
    if (!options_.leave_refused_behind) {
      return fail(std::move(movable).error().with(fmt::format(
          "cannot move connection {} of {}, nothing was touched", index + 1, originals_.size())));
    }
    report_.left_behind.push_back({.index = index, .error = std::move(movable).error()});
  }
  return {};
}

Result<void> Move::dump_all() {
  std::vector<std::size_t> dumped;
  images_.reserve(chosen_.size());
  for (std::size_t i = 0; i < chosen_.size(); ++i) {
    auto image = dump(originals_[chosen_[i]], windows_[i]);
    if (image) {
      images_.push_back(*std::move(image));
      dumped.push_back(chosen_[i]);
      continue;
    }
    // It may have ended since it was chosen; anything else is a fault of the move.
    const bool ended = image.error().code() == ErrorCode::failed_precondition;
    if (ended && options_.leave_refused_behind) {
      report_.left_behind.push_back({.index = chosen_[i], .error = std::move(image).error()});
      continue;
    }
    chosen_ = std::move(dumped);
    return fail(std::move(image).error());
  }
  chosen_ = std::move(dumped);
  return {};
}

Result<void> Move::restore_all() {
  std::optional<os::InNetworkNamespace> inside;
  if (options_.destination_namespace >= 0) {
    SEGUE_ASSIGN(os::InNetworkNamespace entered,
                 os::InNetworkNamespace::enter(options_.destination_namespace));
    inside.emplace(std::move(entered));
  }
  restored_.reserve(images_.size());
  for (const ConnectionImage& image : images_) {
    auto restored = RestoredConnection::restore(image, {.initial_window = options_.initial_window});
    if (!restored) {
      return fail(std::move(restored).error().with(
          fmt::format("connection {} of {}", restored_.size() + 1, images_.size())));
    }
    restored_.push_back(*std::move(restored));
  }
  return {};
}

Result<void> Move::discard_all() {
  stage_ = Stage::discarded;
  std::size_t kept = 0;
  std::optional<base::Error> first;
  for (const std::size_t index : chosen_) {
    auto gone = discard(originals_[index]);
    if (gone) continue;
    ++kept;
    if (!first) first = std::move(gone).error();
  }
  images_.clear();
  end_part(report_.discard);
  if (kept == 0) return {};
  return fail(ErrorCode::unknown_outcome,
              "{} originals could not be discarded; they stay silent: close them, then finish the "
              "move, whose connections are all restored; the first said: {}",
              kept, first->to_string());
}

base::Error Move::take_back(base::Error error) {
  std::string stuck;
  const auto note = [&stuck](const char* what, const Result<void>& done) {
    if (!done) stuck += fmt::format("; {}: {}", what, done.error().to_string());
  };
  restored_.clear();
  if (stage_ == Stage::handing_over) {
    note("cannot take back the address", hooks_.take_back_address());
  }
  note("cannot unblock the link", hooks_.unblock_link());
  for (std::size_t i = 0; i < images_.size(); ++i) {
    note("a connection is stuck", resume(originals_[chosen_[i]], images_[i]));
  }
  images_.clear();
  stage_ = Stage::finished;
  if (stuck.empty()) {
    return std::move(error).with("the move was taken back, the connections go on at the source");
  }
  return {
      ErrorCode::unknown_outcome,
      fmt::format("the move failed: {}; taking it back failed too{}", error.to_string(), stuck)};
}

Result<void> Move::finish() {
  SEGUE_ASSERT(stage_ == Stage::discarded);
  if (auto opened = hooks_.open_link(); !opened) {
    return fail(std::move(opened).error().with(
        fmt::format("cannot open the link: {} restored connections wait behind it, call again",
                    restored_.size())));
  }
  stage_ = Stage::opened;
  end_part(report_.open);
  connections_.resize(originals_.size());
  for (std::size_t i = 0; i < restored_.size(); ++i) {
    auto left = restored_[i].leave();
    if (left) {
      connections_[chosen_[i]] = restored_[i].release();
    } else {
      report_.broken.push_back({.index = chosen_[i], .error = std::move(left).error()});
    }
  }
  end_part(report_.leave);
  report_.blackout = clock_.monotonic_now() - started_;
  restored_.clear();
  stage_ = Stage::finished;
  return {};
}

std::vector<os::UniqueFd> Move::release_connections() {
  return std::move(connections_);
}

void Move::end_part(base::Duration& part) {
  const base::MonotonicTime now = clock_.monotonic_now();
  part += now - part_started_;
  part_started_ = now;
}

}  // namespace segue::tcp
