// SPDX-License-Identifier: Apache-2.0
#include "fleet/sharing_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <string_view>
#include <utility>

#include "control/name.h"
#include "fleet/endpoint.h"
#include "fleet/proxy_share.h"

namespace segue::fleet {
namespace {

constexpr std::string_view kHost = "{host}";

std::string shown(std::string_view text) {
  return std::string(text.substr(0, 80));
}

// A name in the configuration of a proxy.
bool is_proxy_name(std::string_view text) {
  return !text.empty() && text.size() <= 200 && std::ranges::all_of(text, [](unsigned char c) {
    return std::isalnum(c) != 0 ||
           std::string_view("._:-").find(static_cast<char>(c)) != std::string_view::npos;
  });
}

// … in which {host} stands for a host's.
bool is_server_name(std::string text) {
  for (std::size_t at = text.find(kHost); at != std::string::npos; at = text.find(kHost)) {
    text.replace(at, kHost.size(), "host");
  }
  return is_proxy_name(text);
}

class Checker {
 public:
  Checker(const Sharing& sharing, const HostSelector& hosts) : its_(sharing), hosts_(hosts) {}

  std::vector<ComponentProblem> run() {
    if (its_.kind == Sharing::Kind::haproxy) {
      proxy();
      servers();
      map();
      return std::move(problems_);
    }
    Sharing without;
    without.kind = its_.kind;
    if (its_.kind == Sharing::Kind::kernel) without.pick = its_.pick;
    if (its_ != without) {
      add("sharing", "what is said of a proxy or of a pick is not of 'kind: {}'",
          to_string(its_.kind));
    }
    return std::move(problems_);
  }

 private:
  template <class... Args>
  void add(std::string field, fmt::format_string<Args...> format, Args&&... args) {
    problems_.push_back({std::move(field), fmt::format(format, std::forward<Args>(args)...)});
  }

  void proxy() {
    if (its_.pick != Sharing::Pick::random) {
      add("sharing.pick", "a proxy picks by its own rules: leave it out");
    }
    if (!its_.proxy_host.empty()) {
      const auto fine = control::check_name(its_.proxy_host, "a host");
      if (!fine) add("sharing.proxy_host", "{}", fine.error().message());
    }
    const std::string& socket = its_.proxy_socket;
    if (socket.empty()) {
      add("sharing.proxy_socket",
          "missing: HAProxy's stats socket of `level admin`, as /run/haproxy/admin.sock");
    } else if (!is_numeric_endpoint(socket) &&
               !(socket.starts_with('/') && is_proxy_word(socket))) {
      add("sharing.proxy_socket",
          "'{}' is neither an absolute path nor HOST:PORT with a numeric host", shown(socket));
    }
    if (its_.backend.empty()) {
      add("sharing.backend", "missing: the backend of haproxy.cfg whose servers the slots are");
    } else if (!is_proxy_name(its_.backend)) {
      add("sharing.backend", "'{}' is not a name in HAProxy's configuration", shown(its_.backend));
    }
  }

  void servers() {
    const std::pair<const char*, const std::string*> named[] = {
        {"sharing.stable_server", &its_.stable_server},
        {"sharing.canary_server", &its_.canary_server}};
    for (const auto& [field, name] : named) {
      if (name->empty()) continue;
      if (!is_server_name(*name)) {
        add(field, "'{}' is not a name in HAProxy's configuration", shown(*name));
      } else if (!its_.proxy_host.empty() && hosts_.names.size() != 1 &&
                 name->find(kHost) == std::string::npos) {
        add(field, "'{}' would stand for every host: write {{host}} for the host's name, as '{}'",
            shown(*name), "{host}-" + shown(*name));
      }
    }
    const auto place = proxy_place(its_, "host");
    if (place && place->canary.server == place->canary.stable) {
      add("sharing.canary_server", "'{}' is the stable server too", shown(its_.canary_server));
    }
  }

  void map() {
    if (its_.map.empty()) {
      if (!its_.routed.empty() || !its_.map_value.empty()) {
        add("sharing.map", "missing: the file that haproxy.cfg looks the header or cookie up in");
      }
      return;
    }
    if (!its_.map.starts_with('/') || !is_proxy_word(its_.map)) {
      add("sharing.map", "'{}' is not an absolute path without blanks", shown(its_.map));
    }
    if (!its_.map_value.empty() && !is_proxy_word(its_.map_value)) {
      add("sharing.map_value", "'{}' has blanks, ';', '\\' or '#'", shown(its_.map_value));
    }
    if (its_.routed.empty()) {
      add("sharing.routed", "missing: the values of the header or cookie, as [alice, bob]");
    }
    if (its_.routed.size() > ProxyShare::kMaxRouted) {
      add("sharing.routed", "{} of them; at most {}", its_.routed.size(), ProxyShare::kMaxRouted);
      return;
    }
    std::set<std::string_view> seen;
    for (std::size_t i = 0; i < its_.routed.size(); ++i) {
      const std::string field = fmt::format("sharing.routed[{}]", i);
      const std::string& value = its_.routed[i];
      if (!is_proxy_word(value)) {
        add(field, "'{}' has blanks, ';', '\\' or '#', or is too long", shown(value));
      } else if (!seen.insert(value).second) {
        add(field, "'{}' is there twice", shown(value));
      }
    }
  }

  const Sharing& its_;
  const HostSelector& hosts_;
  std::vector<ComponentProblem> problems_;
};

}  // namespace

std::vector<ComponentProblem> problems_of(const Sharing& sharing, const HostSelector& hosts) {
  return Checker(sharing, hosts).run();
}

}  // namespace segue::fleet
