// SPDX-License-Identifier: Apache-2.0
// builder.yaml: which repositories a builder watches, and what it may do with them. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "builder/build_file.h"

namespace segue::builder {

inline constexpr std::size_t kMaxConfigBytes = std::size_t{256} << 10;
inline constexpr std::size_t kMaxRepositories = 256;

struct RepositoryConfig {
  std::string url;                        // as git fetch takes it
  std::vector<std::string> refs;          // patterns, see matches(); what is built
  std::vector<std::string> publish_refs;  // … and published
  std::uint32_t poll_s = 60;              // 0: only when it is told to look
  std::uint32_t fetch_s = 600;            // limit of one talk with the repository
  bool notes = true;                      // write refs/notes/segue there
  std::string webhook_secret;             // file; empty: no webhook
  std::string status_url;                 // {commit} is replaced; empty: no status
  std::string status_header;              // file with one header line, such as Authorization: …
  std::string status_secret;              // file; the body is signed with it
  std::vector<std::string> publish;       // more options of `segue publish`
};

struct Config {
  std::string state;                 // folder; empty: this user's
  std::vector<std::string> publish;  // options of `segue publish` for every repository
  std::string publisher;             // the program; empty: this one
  std::size_t queue = 64;            // commits that wait
  std::size_t keep = 1'000;          // ended builds, with their logs
  Limits limits;                     // the most that a repository may ask for
  std::string listen;                // HOST:PORT of the webhook; empty: none
  std::map<std::string, RepositoryConfig> repositories;
};

// `path` is for messages; relative paths in the file are below its folder.
base::Result<Config> parse_config(const std::string& path, const std::string& text);

bool is_built(const RepositoryConfig& repository, std::string_view ref);
bool is_published(const RepositoryConfig& repository, std::string_view ref);

}  // namespace segue::builder
