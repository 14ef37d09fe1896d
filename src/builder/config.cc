// SPDX-License-Identifier: Apache-2.0
#include "builder/config.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "builder/notice.h"
#include "config/yaml_reader.h"
#include "control/name.h"

namespace segue::builder {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using config::YamlReader;

constexpr std::uint64_t kMaxQueue = 10'000;
constexpr std::uint64_t kMaxKeep = 100'000;
constexpr std::uint64_t kDayS = 86'400;

class Reader {
 public:
  Reader(const YamlReader& yaml, const YAML::Node& root) : yaml_(yaml), root_(root) {}

  Result<Config> read() {
    SEGUE_TRY(yaml_.check_keys(
        root_, "",
        {"state", "publish", "publisher", "queue", "keep", "limits", "listen", "repositories"}));
    Config config;
    SEGUE_TRY(read_path(root_, "state", config.state));
    SEGUE_TRY(read_publish(root_, config.publish));
    SEGUE_TRY(read_text(root_, "publisher", config.publisher));
    SEGUE_TRY(read_number(root_, "queue", 1, kMaxQueue, config.queue));
    SEGUE_TRY(read_number(root_, "keep", 1, kMaxKeep, config.keep));
    SEGUE_TRY(read_text(root_, "listen", config.listen));
    if (root_["limits"]) {
      SEGUE_TRY(read_limits(root_["limits"], yaml_, "limits.", config.limits));
    }
    const YAML::Node repositories = root_["repositories"];
    if (!repositories || !repositories.IsMap() || repositories.size() == 0 ||
        repositories.size() > kMaxRepositories) {
      return fail(ErrorCode::invalid_argument,
                  "{}: 'repositories' has to name 1 to {} of them, each with its url", yaml_.path(),
                  kMaxRepositories);
    }
    for (const auto& entry : repositories) {
      SEGUE_ASSIGN(const std::string name, yaml_.scalar(entry.first, "a repository's name"));
      if (const auto fine = control::check_name(name); !fine) {
        return fail(ErrorCode::invalid_argument, "{}: {}", yaml_.at(entry.first),
                    fine.error().message());
      }
      SEGUE_ASSIGN(auto repository, read_repository(entry.second, "repositories." + name + "."));
      if (!config.repositories.emplace(name, std::move(repository)).second) {
        return fail(ErrorCode::invalid_argument, "{}: repository '{}' is there twice",
                    yaml_.at(entry.first), name);
      }
    }
    return config;
  }

 private:
  Result<RepositoryConfig> read_repository(const YAML::Node& node, const std::string& prefix) {
    SEGUE_TRY(yaml_.check_keys(node, prefix,
                               {"url", "refs", "publish_refs", "poll_s", "fetch_s", "notes",
                                "webhook_secret", "status", "publish"}));
    RepositoryConfig repository;
    SEGUE_TRY(read_text(node, "url", repository.url));
    if (repository.url.empty() || repository.url.starts_with('-')) {
      return fail(ErrorCode::invalid_argument, "{}: {}url has to be what `git fetch` takes",
                  yaml_.at(node), prefix);
    }
    if (repository.url.find(':') == std::string::npos) {
      SEGUE_TRY(read_path(node, "url", repository.url));
    }
    SEGUE_TRY(read_refs(node, "refs", repository.refs));
    if (repository.refs.empty()) repository.refs = {"refs/heads/main"};
    SEGUE_TRY(read_refs(node, "publish_refs", repository.publish_refs));
    if (!node["publish_refs"]) repository.publish_refs = repository.refs;
    SEGUE_TRY(read_number(node, "poll_s", 0, kDayS, repository.poll_s));
    SEGUE_TRY(read_number(node, "fetch_s", 1, kDayS, repository.fetch_s));
    if (node["notes"]) {
      SEGUE_ASSIGN(repository.notes, yaml_.truth(node["notes"], "notes"));
    }
    SEGUE_TRY(read_path(node, "webhook_secret", repository.webhook_secret));
    SEGUE_TRY(read_publish(node, repository.publish));
    const YAML::Node status = node["status"];
    if (!status) return repository;
    SEGUE_TRY(yaml_.check_keys(status, prefix + "status.", {"url", "header", "secret"}));
    SEGUE_TRY(read_text(status, "url", repository.status_url));
    if (!repository.status_url.starts_with("http://") &&
        !repository.status_url.starts_with("https://")) {
      return fail(ErrorCode::invalid_argument, "{}: {}status.url is not an http(s) address",
                  yaml_.at(status), prefix);
    }
    SEGUE_TRY(read_path(status, "header", repository.status_header));
    SEGUE_TRY(read_path(status, "secret", repository.status_secret));
    return repository;
  }

  Result<void> read_publish(const YAML::Node& map, std::vector<std::string>& options) {
    SEGUE_TRY(read_list(map, "publish", options));
    if (std::ranges::find(options, "--background-deltas") == options.end()) return {};
    return fail(ErrorCode::invalid_argument,
                "{}: the builder ends what a step leaves behind, also what would make the deltas: "
                "publish without --background-deltas",
                yaml_.at(map["publish"]));
  }

  Result<void> read_text(const YAML::Node& map, const char* key, std::string& place) {
    if (map[key]) {
      SEGUE_ASSIGN(place, yaml_.scalar(map[key], key));
    }
    return {};
  }

  Result<void> read_path(const YAML::Node& map, const char* key, std::string& place) {
    SEGUE_TRY(read_text(map, key, place));
    if (place.empty()) return {};
    const auto folder = std::filesystem::path(yaml_.path()).parent_path();
    place = (folder / place).lexically_normal().string();
    return {};
  }

  Result<void> read_list(const YAML::Node& map, const char* key, std::vector<std::string>& place) {
    if (map[key]) {
      SEGUE_ASSIGN(place, yaml_.scalars(map[key], key));
    }
    return {};
  }

  Result<void> read_refs(const YAML::Node& map, const char* key, std::vector<std::string>& place) {
    SEGUE_TRY(read_list(map, key, place));
    for (const auto& ref : place) {
      const auto plain = ref.ends_with('*') ? ref.substr(0, ref.size() - 1) + "x" : ref;
      if (is_ref(plain)) continue;
      return fail(ErrorCode::invalid_argument,
                  "{}: {}: '{}' is not a ref, such as refs/heads/main or refs/tags/*",
                  yaml_.at(map[key]), key, ref);
    }
    return {};
  }

  template <class T>
  Result<void> read_number(const YAML::Node& map, const char* key, std::uint64_t min,
                           std::uint64_t max, T& place) {
    if (!map[key]) return {};
    SEGUE_ASSIGN(const std::uint64_t value, yaml_.number(map[key], key, min, max));
    place = static_cast<T>(value);
    return {};
  }

  const YamlReader& yaml_;
  const YAML::Node& root_;
};

bool any_matches(const std::vector<std::string>& patterns, std::string_view ref) {
  return std::ranges::any_of(patterns,
                             [&](const std::string& pattern) { return matches(pattern, ref); });
}

}  // namespace

Result<Config> parse_config(const std::string& path, const std::string& text) {
  return config::read_yaml<Config>(path, text, [](const YAML::Node& root, const YamlReader& yaml) {
    return Reader(yaml, root).read();
  });
}

bool is_built(const RepositoryConfig& repository, std::string_view ref) {
  return any_matches(repository.refs, ref);
}

bool is_published(const RepositoryConfig& repository, std::string_view ref) {
  return any_matches(repository.publish_refs, ref);
}

}  // namespace segue::builder
