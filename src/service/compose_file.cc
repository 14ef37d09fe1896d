// SPDX-License-Identifier: Apache-2.0
#include "service/compose_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "control/name.h"
#include "service/compose_keys.h"
#include "service/compose_service.h"
#include "service/compose_values.h"
#include "service/service_file.h"
#include "service/values.h"

namespace segue::service {
namespace {

using config::Findings;
using config::Layers;
using config::Place;

class Reader {
 public:
  Reader(const ComposeOptions& options, Findings& findings)
      : options_(options), findings_(findings) {}

  ComposeReading read(const Place& root) {
    std::string name;
    read_section(
        {root},
        {{"version", [](const Layers&) {}},  // says nothing any more
         {"name", [&](const Layers& layers) { read_name(layers.back(), name); }},
         {"secrets", [this](const Layers& layers) { read_secrets(layers); }},
         {"volumes", [this](const Layers& layers) { read_volumes(layers); }},
         {"services", [this](const Layers& layers) { read_services(layers); }},
         refused_key("networks",
                     "components are on the host's network, the engine's bridge or none",
                     findings_),
         refused_key("configs", "name the file in a service's 'volumes', read only", findings_),
         refused_key("include", "write one file", findings_),
         refused_key("models", "write where a model is served into the environment", findings_),
         refused_key("<<", "merge keys are not followed: write the values here", findings_)},
        findings_, is_extension);
    if (services_.empty() && findings_.empty()) findings_.add(root, "there are no 'services'");
    ComposeReading reading;
    reading.service = Service{service_name(name, root), {}};
    reading.text.heading = heading();
    for (const std::size_t index : in_order()) {
      ComposeService& one = services_[index];
      one.component.spec.service = reading.service->name;
      if (!one.after.empty()) {
        one.comments.push_back(fmt::format("after {}", fmt::join(one.after, ", ")));
      }
      reading.text.comments[one.component.spec.name] = one.comments;
      reading.service->components.push_back(std::move(one.component));
    }
    return reading;
  }

 private:
  void read_name(const Place& place, std::string& name) {
    const auto read = read_plain(place, findings_);
    if (!read) return;
    name = *read;
    name_place_ = place;
  }

  void read_secrets(const Layers& layers) {
    each_entry(layers, findings_, [this](const std::string& name, const Place& place) {
      bool has_file = false;
      const char* why = "name the secret's file on the host";
      read_section({place},
                   {{"file",
                     [&](const Layers& file) {
                       has_file = true;
                       read_secret_file(name, file.back());
                     }},
                    refused_key("environment", "a secret is a file, never an environment variable",
                                findings_),
                    refused_key("external", why, findings_),
                    refused_key("name", why, findings_),
                    refused_key("driver", why, findings_),
                    refused_key("driver_opts", why, findings_),
                    refused_key("template_driver", why, findings_),
                    refused_key("labels", "nothing reads them here", findings_)},
                   findings_, is_extension);
      if (!has_file && place.node.IsMap()) findings_.add(place, "'file' is missing");
    });
  }

  void read_secret_file(const std::string& name, const Place& place) {
    const auto path = read_as(place, findings_, [&](const std::string& text) {
      return text.empty() ? base::Result<std::string>(base::fail(base::ErrorCode::invalid_argument,
                                                                 "without the file's path"))
                          : absolute_path(text, options_.directory);
    });
    if (path) top_.secret_files[name] = *path;
  }

  void read_volumes(const Layers& layers) {
    each_entry(layers, findings_, [this](const std::string& name, const Place& place) {
      top_.volumes.insert(name);
      if (const auto fine = control::check_name(name, "a volume"); !fine) {
        findings_.add(place, fine.error().message());
      }
      if (place.node.IsNull()) return;
      const char* why = "a volume becomes a directory of the host";
      read_section(
          {place},
          {refused_key("driver", why, findings_), refused_key("driver_opts", why, findings_),
           refused_key("external", why, findings_), refused_key("name", why, findings_),
           refused_key("labels", why, findings_)},
          findings_, is_extension);
    });
  }

  void read_services(const Layers& layers) {
    each_entry(layers, findings_, [this](const std::string& name, const Place& place) {
      if (services_.size() == kMaxComponents) {
        findings_.add(place, fmt::format("more than {} services", kMaxComponents));
      } else {
        services_.push_back(read_compose_service(name, place, top_, options_, findings_));
      }
    });
  }

  std::string service_name(const std::string& its, const Place& root) {
    std::string name = options_.service;
    if (name.empty()) name = its;
    if (name.empty()) name = std::filesystem::path(options_.directory).filename().string();
    if (const auto fine = control::check_name(name, "a service"); !fine) {
      const bool is_its_own = options_.service.empty() && name_place_;
      findings_.add(is_its_own ? *name_place_ : root,
                    fmt::format("{}; name one with --name", fine.error().message()));
    }
    return name;
  }

  // Whatever is depended on comes first; otherwise as in the file.
  std::vector<std::size_t> in_order() {
    std::vector<std::size_t> order;
    std::vector<bool> is_placed(services_.size(), false);
    const auto before = indexes_before();
    const auto is_ready = [&](std::size_t index) {
      return std::ranges::all_of(before[index], [&](std::size_t one) { return is_placed[one]; });
    };
    for (std::size_t rounds = 0; rounds < services_.size() && order.size() < services_.size();
         ++rounds) {
      for (std::size_t i = 0; i < services_.size(); ++i) {
        if (is_placed[i] || !is_ready(i)) continue;
        is_placed[i] = true;
        order.push_back(i);
        break;
      }
    }
    for (std::size_t i = 0; i < services_.size(); ++i) {
      if (is_placed[i]) continue;
      findings_.add_at(services_[i].line, "services." + services_[i].component.spec.name,
                       "it depends on itself, through 'depends_on' of others or its own");
    }
    return order;
  }

  // Of each service those that it depends on.
  std::vector<std::vector<std::size_t>> indexes_before() {
    std::vector<std::vector<std::size_t>> before(services_.size());
    for (std::size_t i = 0; i < services_.size(); ++i) {
      for (const auto& name : services_[i].after) {
        if (const auto index = index_of(name); index < services_.size()) {
          before[i].push_back(index);
        } else {
          findings_.add_at(services_[i].line,
                           "services." + services_[i].component.spec.name + ".depends_on",
                           fmt::format("there is no service '{}'", name.substr(0, 40)));
        }
      }
    }
    return before;
  }

  std::size_t index_of(const std::string& name) const {
    const auto found = std::ranges::find_if(
        services_, [&](const ComposeService& one) { return one.component.spec.name == name; });
    return static_cast<std::size_t>(found - services_.begin());
  }

  std::vector<std::string> heading() const {
    std::vector<std::string> lines = {
        "From a compose.yaml, by `segue import`. What Compose leaves to itself stands here as it",
        "would be: all addresses of the host, the engine's usual capabilities, no restarts.",
        "Look at 'upgrade' and at 'rollout', of which Compose says nothing: docs/services.md."};
    const auto on_bridge = std::ranges::count_if(services_, [](const ComposeService& one) {
      return one.component.spec.network == fleet::Network::bridge;
    });
    if (on_bridge > 1) {
      lines.emplace_back(
          "Components do not find each other by their names, as Compose's services do: give them");
      lines.emplace_back("addresses in their environment.");
    }
    return lines;
  }

  const ComposeOptions& options_;
  Findings& findings_;
  ComposeTop top_;
  std::optional<Place> name_place_;  // where the file names the service
  std::vector<ComposeService> services_;
};

}  // namespace

ComposeReading read_compose(const std::string& path, const std::string& text,
                            const ComposeOptions& options) {
  Findings findings(path);
  ComposeReading reading;
  try {
    if (const auto root = findings.load(text, kMaxComposeFileBytes)) {
      reading = Reader(options, findings).read({*root, ""});
    }
  } catch (const YAML::Exception& error) {  // none is expected of a tree that was loaded
    findings.add_at(error.mark.line + 1, "", error.msg);
  }
  if (!findings.empty()) reading.service.reset();
  reading.problems = findings.lines();
  return reading;
}

}  // namespace segue::service
