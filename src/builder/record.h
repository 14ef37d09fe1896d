// SPDX-License-Identifier: Apache-2.0
// What is known of one commit and its build, and how it lies on disk: one JSON object.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace segue::builder {

inline constexpr std::size_t kMaxRecordBytes = std::size_t{64} << 10;
inline constexpr std::uint32_t kRecordFormat = 1;

enum class Stage {
  queued,
  preparing,  // a clean working copy, and what its segue.yaml says
  building,
  testing,
  publishing,
  confirming,  // the builder was killed while it published: did it?
  held,        // built and tested; a plan goes live, and it is published after that
  ended,
};

enum class Verdict {
  none,  // not ended
  published,
  passed,  // built and tested; this ref is not published
  failed,
};

// What the forges call it.
enum class Status { pending, success, failure };

std::string_view to_string(Stage stage);
std::string_view to_string(Verdict verdict);
std::string_view to_string(Status status);

struct Record {
  std::uint64_t id = 0;  // also the order of builds
  std::string repository;
  std::string ref;
  std::string commit;
  std::string component;  // both empty until segue.yaml was read
  std::string version;
  Stage stage = Stage::queued;
  Verdict verdict = Verdict::none;
  std::string why;             // of a failure, or of being held, for a person
  std::uint32_t attempts = 0;  // how often it was begun
  std::int64_t queued_s = 0;   // seconds since 1970
  std::int64_t began_s = 0;    // the last attempt
  std::int64_t ended_s = 0;
  std::string noted;  // the status that stands in git's notes; empty: none
  std::string told;   // … that the forge has heard

  friend bool operator==(const Record&, const Record&) = default;
};

Status status_of(const Record& record);
// One line for a person: "published chat 1.0.7", "test failed: …".
std::string describe(const Record& record);

std::string encode(const Record& record);
// data_loss: not what encode() gives.
base::Result<Record> parse_record(std::string_view bytes);

}  // namespace segue::builder
