// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace segue::control {

// A request to a keeper: one message of NUL-separated words,
//   segue/1 COMMAND KEY=VALUE... [-- PROGRAM ARGUMENT...]
struct Request {
  struct Option {
    std::string key;
    std::string value;
    bool operator==(const Option&) const = default;
  };

  std::string command;
  std::vector<Option> options;       // a key may occur more than once
  std::vector<std::string> program;  // absolute path, then arguments; empty where there is no `--`

  bool operator==(const Request&) const = default;
};

// Puts KEY=VALUE into the request, in place of what it says of the key; keys that may be repeated
// are added. invalid_argument: it has no '='.
base::Result<void> set_option(Request& request, const std::string& setting);

// Fits the default send buffer of a Unix socket with room to spare.
inline constexpr std::size_t kMaxRequestBytes = std::size_t{128} << 10;
inline constexpr std::size_t kMaxRequestWords = 4'096;
// A reply, likewise one message.
inline constexpr std::size_t kMaxReplyBytes = std::size_t{128} << 10;

// Fails when a word holds a NUL or the whole is beyond the bounds: a person typed it.
base::Result<std::string> encode(const Request& request);
base::Result<Request> decode(std::string_view message);

// The words after `segue/1 COMMAND`, as they also stand on the keeper's own command line, where a
// key may be written --KEY=VALUE.
base::Result<Request> parse_words(std::string command, const std::vector<std::string>& words);

}  // namespace segue::control
