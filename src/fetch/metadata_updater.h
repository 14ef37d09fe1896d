// SPDX-License-Identifier: Apache-2.0
// Drives tuf::Client: metadata over HTTP into a directory.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "fetch/http.h"
#include "tuf/client.h"

namespace segue::fetch {

// `base` and `path` with one slash between them.
std::string join_url(std::string_view base, std::string_view path);

class MetadataUpdater {
 public:
  struct Settings {
    std::string directory;  // role.json each; root.json has to be there
    std::string url;        // of the metadata
    HttpLimits limits;      // max_bytes is set for each file
    tuf::ClientLimits client;
    std::vector<std::string> fields;  // of each request (HttpRequest::fields)
    bool dry_run = false;             // writes nothing: what is new lives as long as this object
  };
  // `http` outlives it.
  MetadataUpdater(Settings settings, HttpClient& http);

  // Both are errors of the client, of the server or of the disk, which say what was being done.
  base::Result<void> refresh(tuf::Time now);
  base::Result<tuf::FoundTarget> find(const std::string& target_path);

  // All of the first delegated role that is trusted with the path; nothing: there is none.
  base::Result<std::optional<tuf::Targets>> find_role(const std::string& target_path);

  [[nodiscard]] const tuf::Client& client() const { return client_; }

 private:
  base::Result<void> run(tuf::Command command);
  tuf::Event carry_out(tuf::Command& command);
  tuf::Event load(const tuf::Load& load) const;
  tuf::Event fetch(const tuf::Fetch& fetch);
  tuf::Event persist(const tuf::Persist& persist);
  tuf::Event forget(const tuf::Forget& forget);
  [[nodiscard]] std::string path_of(std::string_view role) const;

  Settings settings_;
  HttpClient& http_;
  tuf::Client client_;
  std::map<std::string, std::optional<std::string>, std::less<>> unwritten_;  // by role
};

// Makes a directory to begin from: `root` becomes its root.json, once it is known to be signed by
// its own keys.
base::Result<void> trust_root(const std::string& directory, std::string_view root, tuf::Time now);

// Downloads what find() came to into `path`, unless it is there already, with its length and its
// digests checked before it takes that name. True: it was downloaded.
base::Result<bool> download_target(HttpClient& http, const tuf::FoundTarget& target,
                                   const std::string& url, const std::string& path,
                                   HttpLimits limits);

}  // namespace segue::fetch
