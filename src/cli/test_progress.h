// SPDX-License-Identifier: Apache-2.0
// A canary of three hosts in its second share, as the server tells of it; for tests.
#pragma once

#include <string>

#include "cli/output.h"

namespace segue::cli {

inline Json test_step(const char* name, const char* kind, const char* state, int instances,
                      int moved) {
  return {{"name", name},
          {"kind", kind},
          {"state", state},
          {"share_ppm", 100'000},
          {"instances", instances},
          {"moved", moved},
          {"moving", 0},
          {"failed", 0},
          {"silent", 0},
          {"skipped", 0}};
}

inline Json test_instance(const std::string& host, const char* slot, int step,
                          const char* standing) {
  const bool is_new = standing == std::string("good");
  return {{"host", host},
          {"slot", slot},
          {"step", step},
          {"standing", standing},
          {"revision", is_new ? 5 : 4},
          {"activity", "idle"},
          {"health", "good"},
          {"connections", 120},
          {"since_ms", 1'000'000},
          {"text", ""}};
}

inline Json test_progress() {
  Json progress{{"segue_progress", 1},
                {"id", "chat-7"},
                {"component", "chat"},
                {"title", "chat 1.4"},
                {"author", "ada"},
                {"signed_by", Json::array()},
                {"phase", "running"},
                {"step", 1},
                {"step_phase", "baking"},
                {"since_ms", 1'000'000},
                {"share_ppm", 100'000},
                {"paused", false},
                {"stopped", false},
                {"why", ""},
                {"waits_for", "23 s more to pass without trouble"},
                {"next", "step 1 host begins"},
                {"remaining_ms", 250'000}};
  progress["steps"] = {test_step("canary 1%", "canary", "done", 3, 3),
                       test_step("canary 10%", "canary", "current", 0, 0),
                       test_step("1 host", "wave", "to-come", 1, 0),
                       test_step("rest", "wave", "to-come", 2, 0),
                       test_step("settle", "settle", "to-come", 0, 0)};
  progress["gates"] = {
      {{"name", "errors"}, {"verdict", "wait"}, {"text", "not enough data: 12 requests"}}};
  progress["shares"] = Json::array();
  progress["noteworthy"] = Json::array();
  progress["traffic"] = {{"stable", 360}, {"canary", 12}, {"handoffs", 0},
                         {"moved", 0},    {"lost", 0},    {"worst_blackout_us", 0}};
  progress["instances"] = Json::array();
  for (const char* host : {"h1", "h2", "h3"}) {
    progress["instances"].push_back(test_instance(host, "canary", 0, "good"));
  }
  progress["instances"].push_back(test_instance("h1", "stable", 2, "waiting"));
  progress["instances"].push_back(test_instance("h2", "stable", 3, "waiting"));
  progress["instances"].push_back(test_instance("h3", "stable", 3, "waiting"));
  return progress;
}

}  // namespace segue::cli
