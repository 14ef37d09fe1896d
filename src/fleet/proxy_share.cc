// SPDX-License-Identifier: Apache-2.0
#include "fleet/proxy_share.h"

#include <algorithm>
#include <set>

#include "control/name.h"

namespace segue::fleet {
namespace {

using base::ErrorCode;
using base::fail;

constexpr std::string_view kHost = "{host}";
constexpr const char* kStableServer = "{host}";
constexpr const char* kCanaryServer = "{host}.canary";
constexpr const char* kMapValue = "canary";
constexpr std::size_t kMaxWordBytes = 200;
constexpr std::size_t kMaxSocketBytes = 300;

std::string filled(std::string pattern, const std::string& host) {
  for (std::size_t at = pattern.find(kHost); at != std::string::npos;
       at = pattern.find(kHost, at + host.size())) {
    pattern.replace(at, kHost.size(), host);
  }
  return pattern;
}

std::string or_usual(const std::string& text, const char* usual) {
  return text.empty() ? usual : text;
}

}  // namespace

std::uint32_t ProxyShare::share_ppm() const {
  std::uint32_t most = 0;
  for (const auto& one : canaries) most = std::max(most, one.share_ppm);
  return most;
}

const SeenCanary* SeenShare::find(std::string_view host) const {
  const auto found = std::ranges::find(canaries, host, &SeenCanary::host);
  return found == canaries.end() ? nullptr : &*found;
}

const SeenCanary* SeenShare::find(std::string_view host, std::string_view order) const {
  const auto found = std::ranges::find_if(
      canaries, [&](const SeenCanary& one) { return one.host == host && one.order == order; });
  return found == canaries.end() ? nullptr : &*found;
}

std::optional<ProxyPlace> proxy_place(const Sharing& sharing, const std::string& host) {
  if (sharing.kind != Sharing::Kind::haproxy) return std::nullopt;
  ProxyPlace place;
  place.proxy_host = sharing.proxy_host.empty() ? host : sharing.proxy_host;
  place.share.socket = sharing.proxy_socket;
  place.share.backend = sharing.backend;
  place.share.map = sharing.map;
  place.share.routed = sharing.routed;
  if (!sharing.map.empty()) place.share.map_value = or_usual(sharing.map_value, kMapValue);
  place.canary.host = host;
  place.canary.server = filled(or_usual(sharing.canary_server, kCanaryServer), host);
  place.canary.stable = filled(or_usual(sharing.stable_server, kStableServer), host);
  return place;
}

bool is_proxy_word(std::string_view text) {
  return !text.empty() && text.size() <= kMaxWordBytes && std::ranges::all_of(text, [](char c) {
    return c > ' ' && c != 0x7F && c != ';' && c != '\\' && c != '#';
  });
}

base::Result<void> check_share(const std::string& component, const ProxyShare& share) {
  const auto wrong = [&](std::string_view what) {
    return fail(ErrorCode::data_loss, "the share of '{}': {}", component.substr(0, 80), what);
  };
  if (const auto named = control::check_name(component); !named) {
    return wrong(named.error().message());
  }
  if (share.canaries.size() + share.readied.size() > ProxyShare::kMaxCanaries) {
    return wrong("too many canaries");
  }
  if (share.routed.size() > ProxyShare::kMaxRouted) return wrong("too many values in a map");
  if (share.is_empty()) return {};
  if (share.socket.empty() || share.socket.size() > kMaxSocketBytes) return wrong("its socket");
  if (!is_proxy_word(share.backend)) return wrong("its backend");
  if (!share.map.empty() && (!is_proxy_word(share.map) || !is_proxy_word(share.map_value))) {
    return wrong("its map");
  }
  if (!std::ranges::all_of(share.routed, is_proxy_word)) return wrong("a value in a map");
  std::set<std::string_view> servers;
  for (const auto& one : share.readied) {
    if (!is_proxy_word(one)) return wrong("a server's name");
    if (!servers.insert(one).second) return wrong("a server that is named twice");
  }
  for (const auto& one : share.canaries) {
    if (!is_proxy_word(one.host) || !is_proxy_word(one.server) ||
        (!one.stable.empty() && !is_proxy_word(one.stable))) {
      return wrong("a server's name");
    }
    if (one.order.size() > kMaxOrderBytes) return wrong("an order's name");
    if (one.share_ppm > kWholeShare) return wrong("a share above 1");
    if (!servers.insert(one.server).second) return wrong("a server that stands for two canaries");
  }
  return {};
}

}  // namespace segue::fleet
